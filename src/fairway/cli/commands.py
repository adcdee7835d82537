"""The commands there are: name, module, one line of help. The help page and the lazy loader both read this table."""

from __future__ import annotations

from fairway.spec.record import Record, record


@record
class Entry(Record):
    """One command; it is the attribute `command` of `fairway.cli.MODULE`."""

    name: str
    module: str
    help: str


SECTIONS: dict[str, tuple[Entry, ...]] = {
    "Run": (
        Entry("init", "init", "Make a small project that works, to start from."),
        Entry("run", "run_command", "Run a pipeline; its parameters are options."),
        Entry("resume", "resume", "Go on with a run that failed, was cancelled or killed."),
        Entry("rerun", "rerun", "Do one task again with its recorded inputs; --pdb debugs it."),
        Entry("cancel", "cancel", "Stop a run cleanly."),
    ),
    "Look": (
        Entry("runs", "runs", "List runs."),
        Entry("show", "show", "Draw a run's graph with states and times."),
        Entry("logs", "logs", "Print what a run's tasks wrote; -f follows."),
        Entry("why", "why", "Say why a task ran, or why it came from the cache."),
        Entry("diff", "diff", "Say what differs between two runs."),
        Entry("graph", "graph", "Write a pipeline as SVG, Mermaid, JSON or YAML."),
        Entry("params", "params", "Show the parameters of a pipeline or of a run."),
        Entry("artifacts", "artifacts", "List, fetch and print artifacts."),
    ),
    "Keep": (
        Entry("tag", "tag", "Add tags to a run or remove them."),
        Entry("note", "note", "Write a note on a run."),
        Entry("archive", "archive", "Hide a run from listings."),
        Entry("gc", "gc", "Delete what no kept run needs."),
        Entry("doctor", "doctor", "Check this machine and this project."),
    ),
}
ENTRIES = {entry.name: entry for entries in SECTIONS.values() for entry in entries}


def render_help() -> str:
    """The page of `fairway --help`; it fits a terminal of 24 lines and 80 columns."""
    lines = ["Usage: fairway [-C DIR] COMMAND [ARGUMENTS]", ""]
    for title, entries in SECTIONS.items():
        for entry in entries:
            lines.append(f"{title + ':' if entry is entries[0] else '':<6} {entry.name:<10} {entry.help}")
    lines.append("")
    lines.append("-C DIR: act as if started in DIR. --version: say which this is.")
    lines.append("Start here: `fairway init`. `fairway COMMAND --help` has examples.")
    return "\n".join(lines) + "\n"
