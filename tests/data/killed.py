"""Work that is killed at any line of it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any


def killed_at(number: int, is_looked_at: Callable[[str], bool], work: Callable[[], None]) -> bool:
    """Work in a process of its own that kills itself at the line of that number, among those of files that are looked at; whether it came
    so far. 0: it is left alone. The work must not fail."""
    process = os.fork()
    if process == 0:
        left = number

        def trace(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal left
            if not is_looked_at(frame.f_code.co_filename):
                return None
            if event == "line":
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        try:
            if number:
                threading.settrace(trace)
                sys.settrace(trace)
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status != 0
