"""The commands there are: name, module, one line of help. The help page and the lazy loader both read this table."""

from __future__ import annotations

from fairway.spec.record import Record, record


@record
class Entry(Record):
    """One command; it is the attribute `command` of `fairway.cli.MODULE`. Those with the same `line` share one of the help page, with that
    text."""

    name: str
    module: str
    help: str
    line: str = ""


_BEGIN = "Make a small project that works; check this machine."
_RUN = "Run a pipeline, its parameters are options; stop one."
_AGAIN = "Go on with a run that stopped; do a task again."
_TRAIN = "Look at a gang; search for the best parameters."
_LOOK = "Open the dashboard; list runs; draw one's graph."
_WHY = "Print what was written; why a task ran; what differs."
_PIPELINE = "Write a pipeline as SVG or YAML; list parameters."
_KEPT = "List, fetch artifacts; read, describe, check data."
_SERVE = "Serve a model: here; under a name, by a server."
_ENDPOINTS = "What is served, how it does; send it a request."
_ROLLOUT = "Bring a new revision to callers by steps; go back."
_LABELS = "Tag a run, write a note on it."
_LESS = "Hide a run from listings; delete what none needs."
_SERVER = "Put a server into a Kubernetes namespace; remove it."
_MADE = "Write Kubernetes YAML of a pipeline; build its image."
_ACCESS = "Users of a server; secrets that its steps get."
_TRAFFIC = "Share requests out; try scaling on a recorded load."

SECTIONS: dict[str, tuple[Entry, ...]] = {
    "Run": (
        Entry("init", "init", "Make a small project that works, to start from.", _BEGIN),
        Entry("doctor", "doctor", "Check this machine, this project, and a cluster (--on).", _BEGIN),
        Entry("run", "run_command", "Run a pipeline; its parameters are options.", _RUN),
        Entry("cancel", "cancel", "Stop a run cleanly.", _RUN),
        Entry("resume", "resume", "Go on with a run that failed, was cancelled or killed.", _AGAIN),
        Entry("rerun", "rerun", "Do one task again with its inputs; --pdb debugs it.", _AGAIN),
        Entry("train", "train", "Show a gang: each rank's variables and command.", _TRAIN),
        Entry("tune", "tune", "Search for the parameters that make a metric best.", _TRAIN),
    ),
    "Look": (
        Entry("ui", "ui", "Open the dashboard in a browser.", _LOOK),
        Entry("runs", "runs", "List runs.", _LOOK),
        Entry("show", "show", "Draw a run's graph with states and times.", _LOOK),
        Entry("logs", "logs", "Print what a run or an endpoint wrote; -f follows.", _WHY),
        Entry("why", "why", "Say why a task ran, or why it came from the cache.", _WHY),
        Entry("diff", "diff", "Say what differs between two runs.", _WHY),
        Entry("graph", "graph", "Write a pipeline as SVG, Mermaid, JSON or YAML.", _PIPELINE),
        Entry("params", "params", "Show the parameters of a pipeline or of a run.", _PIPELINE),
        Entry("artifacts", "artifacts", "List, fetch and print artifacts.", _KEPT),
        Entry("data", "data", "Read, describe, check data; find what moved in it.", _KEPT),
    ),
    "Serve": (
        Entry("serve", "serve", "Serve a model here, in the foreground.", _SERVE),
        Entry("deploy", "deploy", "Serve a model under a name, kept by a server.", _SERVE),
        Entry("endpoints", "endpoints", "List endpoints, show one, delete one; say who may call.", _ENDPOINTS),
        Entry("test", "test_endpoint", "Send an endpoint a request, show the answer.", _ENDPOINTS),
        Entry("rollout", "rollout", "Bring a new revision to its callers, step by step.", _ROLLOUT),
        Entry("rollback", "rollback", "Send all traffic where it went before.", _ROLLOUT),
        Entry("traffic", "traffic", "Say which revision gets which share of requests.", _TRAFFIC),
        Entry("simulate", "simulate", "Replay a load through the autoscaler; compare settings.", _TRAFFIC),
    ),
    "Keep": (
        Entry("tag", "tag", "Add tags to a run or remove them.", _LABELS),
        Entry("note", "note", "Write a note on a run.", _LABELS),
        Entry("archive", "archive", "Hide a run from listings.", _LESS),
        Entry("gc", "gc", "Delete what no kept run needs.", _LESS),
    ),
    "Cluster": (
        Entry("up", "up", "Put the server into a Kubernetes namespace, or upgrade it.", _SERVER),
        Entry("down", "down", "Take the server out of its namespace.", _SERVER),
        Entry("export", "export", "Write a pipeline and its server as Kubernetes YAML.", _MADE),
        Entry("cluster", "cluster", "Show nodes, what waits, what fits, what is idle."),
        Entry("image", "image", "Build container images, without a container daemon.", _MADE),
        Entry("token", "token", "Who may use a server: add, list, remove tokens.", _ACCESS),
        Entry("secret", "secret", "Set, list, remove the secrets that steps get on a cluster.", _ACCESS),
    ),
}
ENTRIES = {entry.name: entry for entries in SECTIONS.values() for entry in entries}


def render_help() -> str:
    """The page of `fairway --help`; it fits a terminal of 24 lines and 80 columns."""
    lines = ["Usage: fairway [-C DIR] COMMAND [ARGUMENTS]", ""]
    for title, entries in SECTIONS.items():
        shown: dict[str, list[str]] = {}
        for entry in entries:
            shown.setdefault(entry.line or entry.help, []).append(entry.name)
        for number, (text, names) in enumerate(shown.items()):
            lines.append(f"{title + ':' if number == 0 else '':<8} {', '.join(names):<17} {text}")
    lines.append("")
    lines.append("-C DIR: act as if started in DIR. --version: say which this is.")
    lines.append("Start here: `fairway init`. `fairway COMMAND --help` has examples.")
    return "\n".join(lines) + "\n"
