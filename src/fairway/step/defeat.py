"""How a process of ours ends when it cannot go on: what is said, and the exit status that the one above it reads."""

from __future__ import annotations

import os
import signal
from typing import Any

TERMINATED, UNWRITTEN, BROKEN = 143, 75, 70


class Terminated(BaseException):
    """SIGTERM: somebody gave the attempt up. Raised in the user's code, so that its `finally` blocks run."""


def raise_when_terminated() -> None:
    """Let SIGTERM raise Terminated, once, in this process's main thread."""

    def terminate(_number: int, _frame: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Terminated

    signal.signal(signal.SIGTERM, terminate)


def report_defeat(error: BaseException, what: str) -> int:
    """Say on stderr why `what` could not be finished; returns the exit status."""
    if isinstance(error, Terminated):
        return TERMINATED
    import traceback

    text = f"fairway: {what} could not be finished\n" + "".join(traceback.format_exception(error))
    os.write(2, text.encode("utf-8", "replace"))
    return UNWRITTEN if isinstance(error, OSError) or type(error).__name__ == "StoreUnavailable" else BROKEN
