"""`python -m fairway.serve.gateway`: see `--help`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fairway.errors import FairwayError
from fairway.serve.gateway.holder import hold
from fairway.serve.gateway.options import parse_options


def main(arguments: Sequence[str]) -> int:
    try:
        return hold(parse_options(arguments), arguments)
    except FairwayError as error:
        print(f"fairway gateway: {error}" + (f"\n  {error.hint}" if error.hint else ""), file=sys.stderr)
        return error.exit_status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
