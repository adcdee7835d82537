"""The command line. `main` is its entry point.

What is typed most often must not wait: the help page, a plain `fairway run` and `fairway ui` import neither click nor rich.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

COMPLETION_VARIABLE = "_FAIRWAY_COMPLETE"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the process's exit status."""
    if None in (sys.stdin, sys.stdout, sys.stderr):
        from fairway.step.standard import open_missing_streams

        open_missing_streams()
    words = list(sys.argv[1:] if argv is None else argv)
    completing = COMPLETION_VARIABLE in os.environ
    if words in ([], ["--help"], ["-h"]) and not completing:
        from fairway.cli.commands import render_help

        sys.stdout.write(render_help())
        return 0
    from fairway.cli.failure import guard

    return guard(_dispatch, words, completing)


def _dispatch(words: list[str], completing: bool) -> int:
    if words[:1] == ["run"] and not completing:
        from fairway.cli.request import parse_plain

        request = parse_plain(words[1:])
        if request is not None:
            from fairway.cli.run import run_pipeline

            return run_pipeline(request)
    if words[:1] == ["ui"] and not completing:
        from fairway.cli.dashboard import open_dashboard, parse_plain

        wanted = parse_plain(words[1:])
        if wanted is not None:
            return open_dashboard("", **wanted)
    from fairway.cli.app import app

    return app.main(words, prog_name="fairway", complete_var=COMPLETION_VARIABLE, standalone_mode=False) or 0
