"""`python -m fairway.serve.replica FOLDER …`: one inference server, the same on every target."""

from __future__ import annotations

import json
import sys

from fairway.errors import FairwayError
from fairway.serve.replica.options import parse_options
from fairway.serve.replica.run import print_ready, run_replica


def main() -> int:
    """Returns the exit status; says on stdout, in one line of JSON, that it is ready or why it is not."""
    try:
        return run_replica(parse_options(sys.argv[1:]), print_ready)
    except FairwayError as error:
        said = {"ready": False, "code": error.code, "message": error.message, "hint": error.hint}
        print(json.dumps(said), flush=True, file=sys.__stdout__)
        print(f"{error}\n{error.hint}" if error.hint else str(error), file=sys.stderr)
        return error.exit_status


if __name__ == "__main__":
    sys.exit(main())
