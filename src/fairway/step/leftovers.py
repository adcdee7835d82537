"""Files of ours in the system's folder for temporary ones: they go with the process that made them, but where it is killed."""

from __future__ import annotations

import atexit
import os
import shutil
from contextlib import suppress

_made: dict[str, int] = {}  # path -> the process that made it: one that was forked later leaves it alone


def goes_with_process(path: str) -> None:
    """A file or folder that this process has just made. It goes when the process ends, or its attempt."""
    _made[path] = os.getpid()


def stays(path: str) -> None:
    """Somebody was told of it, or it is gone already."""
    _made.pop(path, None)


def remove_leftovers() -> None:
    """Remove all that go. A step's process ends without the interpreter's own end, so its attempt says when."""
    for path, process in list(_made.items()):
        if process == os.getpid():
            del _made[path]
            with suppress(OSError):
                shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)


atexit.register(remove_leftovers)
