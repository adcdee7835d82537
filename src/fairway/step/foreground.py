"""One attempt in this very process and terminal: what `fairway rerun` and a pod of its own do."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from fairway.spec.attempt import AttemptSpec
from fairway.spec.outcome import Outcome
from fairway.spec.record import from_plain
from fairway.step.attempt import Attempt

_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def run_here(spec: AttemptSpec, home: str, *, source: str = "", secrets: dict[str, str] | None = None, pdb: bool = False) -> Outcome:
    """Run the attempt to its outcome and return it. With `pdb`, a debugger opens in the frame where user code raised."""
    if spec.environment.variables:
        os.environ.update(spec.environment.variables)
    attempt = Attempt(
        spec, os.path.abspath(home), source=source, secrets=secrets or {n: os.environ[n] for n in spec.secrets if n in os.environ}
    )
    attempt.run(debugger=_debug if pdb else None)
    return from_plain(Outcome, json.loads(attempt.store.get(attempt.key)))


def _debug(error: BaseException) -> None:
    """A debugger in the innermost frame of the user's own; ours are left out, those of libraries are below it."""
    import pdb
    import traceback

    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None and trace.tb_frame.f_code.co_filename.startswith(_HERE):
        trace = trace.tb_next
    traceback.print_exception(type(error), error, trace)
    debugger = pdb.Pdb(nosigint=True)
    frames = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(trace)]
    below = next((n for n, file in enumerate(reversed(frames)) if is_own(file)), 0)
    if below:
        debugger.cmdqueue.append(f"up {below}")
    debugger.reset()
    debugger.interaction(None, trace)


def is_own(file: str) -> bool:
    """Is it a file of the user's: neither ours, nor a library's, nor Python's?"""
    library = os.path.dirname(os.path.abspath(os.__file__)) + os.sep
    return not ("site-packages" in file or file.startswith((_HERE, library, "<")))


def main(argv: list[str]) -> int:
    """`run SPEC.json --home HOME …`: prints the outcome as JSON on the last line; 0 if every item succeeded or was skipped, else 3."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m fairway.step run")
    parser.add_argument("spec", help="a file with the attempt as JSON; - reads standard input")
    parser.add_argument("--home", required=True)
    parser.add_argument("--source", default="")
    parser.add_argument("--pdb", action="store_true")
    options: Any = parser.parse_args(argv)
    if options.spec == "-":
        text = sys.stdin.read()
    else:
        with open(options.spec, encoding="utf-8") as file:
            text = file.read()
    outcome = run_here(from_plain(AttemptSpec, json.loads(text)), options.home, source=options.source, pdb=options.pdb)
    from fairway.spec.record import to_plain

    print(json.dumps(to_plain(outcome)))
    return 0 if outcome.status == "ended" and all(item.status != "failed" for item in outcome.items) else 3
