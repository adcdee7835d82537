"""What a cache sees: after an edit of a comment, a docstring or a helper, which steps run again? Counted by the steps themselves."""

from __future__ import annotations

from pathlib import Path

from benchmarks.figures import OURS, Bar
from benchmarks.peers import Peer
from benchmarks.process import Command, CommandError, run
from benchmarks.session import Benchmark, Session

NOTHING = Bar("edit-comments", "steps run again after edits of comments and docstrings, of steps and of helpers", 0, "re-runs")
HELPER = Bar("edit-helper", "steps run again that shouldn't be, or not run again that should, after an edit of a helper", 0, "errors")
COMMENTS = {
    "comment in a step": ('    note("scaled")\n', '    note("scaled")  # written down\n    # and scaled\n'),
    "docstring of a step": ('"""Scale it."""', '"""Scale it, by ten."""'),
    "comment in a helper": ("    factor = 10\n", "    # ten\n    factor = 10  # as agreed\n"),
    "docstring of a helper": ('"""Times a factor."""', '"""Times ten."""'),
}
FACTOR = ("    factor = 10\n", "    factor = 11\n")
REACHED = {"scaled", "finish"}
PEER_MODES = {
    "luigi": ("cache", "if self.i else 1)", "def log(s):\n"),
    "hamilton": ("resume", "return r1 + 1", "def _log(s):\n"),
    "kfp": ("cache", "return x + 1", ""),
    "prefect": ("cache", "return x + 1", "def log(s):\n"),
    "zenml": ("cache", "return x + 1", "def log(s):\n"),
    "flytekit": ("cache", "return x + 1", "def log(s):\n"),
    "flyte": ("cache", "return x + 1", "def log(s):\n"),
}
"""Peer -> (the mode that caches, an end of line in a step, the head of the helper that the step calls; "" if steps can't call any)."""


def measure(session: Session) -> None:
    names: set[str] = set()
    try:
        for number, (what, edit) in enumerate(COMMENTS.items()):
            session.talk(what)
            names |= {f"{step} ({what})" for step in run_edited(session, f"edits-{number}", edit)}
        again = run_edited(session, "edits-helper", FACTOR)
    except CommandError as error:
        session.record(NOTHING.name, OURS, "re-runs", [], str(error))
        return
    session.record(NOTHING.name, OURS, "re-runs", [float(len(names))], ", ".join(sorted(names)))
    session.record(HELPER.name, OURS, "errors", [float(len(again ^ REACHED))], f"ran again: {', '.join(sorted(again)) or 'nothing'}")
    for peer in session.peers.present():
        if peer.name in PEER_MODES:
            measure_peer(session, peer)


def run_edited(session: Session, name: str, edit: tuple[str, str]) -> set[str]:
    """The steps that run again after the edit of the file that was run before."""
    folder = session.project(name)
    log = folder / "steps"
    command = session.ours(folder, "run", "edited.py", variables={"STEPLOG": str(log)}, expect=r"result +\d+")
    run(command)
    first = log.read_text().split()
    if sorted(first) != ["aside", "finish", "scaled", "start"]:
        raise CommandError(f"the first run's steps were {first}")
    log.unlink()
    replace_text(folder / "edited.py", *edit)
    run(command)
    return set(log.read_text().split()) if log.exists() else set()


def measure_peer(session: Session, peer: Peer) -> None:
    """A comment, then a helper, edited in a peer's file: how many steps ran again."""
    mode, line, helper = PEER_MODES[peer.name]
    edits = {NOTHING.name: (line, f"{line}  # a comment")}
    if helper:
        edits[HELPER.name] = (helper, f"{helper}    s = s.strip()\n")
    for figure, edit in edits.items():
        session.talk(f"{peer.name} {figure}")
        command = session.peers.command(peer, mode, 4, session.work / f"peers-{figure}", again=True)
        if command is None:
            continue
        log = command.folder / "steps"
        logged = Command(command.argv, command.folder, {**command.variables, "STEPLOG": str(log)}, timeout_s=command.timeout_s)
        try:
            run(logged)
            first = len(log.read_text().splitlines())
            log.unlink()
            replace_text(command.folder / "pipe.py", *edit)
            run(logged)
        except (CommandError, OSError) as error:
            session.record(figure, peer.name, "re-runs", [], str(error))
            continue
        again = len(log.read_text().splitlines()) if log.exists() else 0
        if figure == NOTHING.name:
            session.record(figure, peer.name, "re-runs", [float(again)], f"of {first}")
        else:  # each step that writes a line calls the helper that was edited
            note = f"{again} of {first} ran again" + ("" if again else ": a stale result")
            session.record(figure, peer.name, "errors", [float(first - again)], note)


def replace_text(path: Path, old: str, new: str) -> None:
    """Replace the first `old`. Raises CommandError if there is none."""
    text = path.read_text()
    if old not in text:
        raise CommandError(f"{path.name} has no {old!r} to edit")
    path.write_text(text.replace(old, new, 1))


BENCHMARK = Benchmark("edits", "what a cache sees", (NOTHING, HELPER), measure)
