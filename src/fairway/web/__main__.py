"""`python -m fairway.web`: the server of a target."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress

from fairway.errors import FairwayError


def main() -> int:
    """Serve until SIGTERM; returns the exit status."""
    if any(word.startswith("--settings") for word in sys.argv[1:]):
        with suppress(PermissionError):  # started by hand it leads a group already
            os.setsid()  # a local server outlives its starter's terminal, and hears no Ctrl-C of it
    gc.disable()  # what is loaded now stays: nothing of it need be looked at again and again
    try:
        from fairway.web.options import read_options
        from fairway.web.server import serve

        return serve(read_options(sys.argv[1:], os.environ))
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn", "zstandard", "lightkube"):
            raise
        print(f"error: the server needs {error.name}\n  pip install 'fairway[server]'", file=sys.stderr)
        return 2
    except FairwayError as error:
        print(f"error: {error}" + (f"\n  {error.hint}" if error.hint else ""), file=sys.stderr)
        return error.exit_status


if __name__ == "__main__":
    sys.exit(main())
