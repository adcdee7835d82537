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
    import pdb
    import traceback

    traceback.print_exception(error)
    pdb.post_mortem(error.__traceback__)


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
