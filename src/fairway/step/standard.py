"""The standard streams: descriptors 0, 1 and 2 exist, so that no file of ours can be opened under their numbers and be written into."""

from __future__ import annotations

import os
import sys

_NAMES = ("stdin", "stdout", "stderr")


def open_missing_streams() -> None:
    """Open the null device for each of the three that this process was started without (as by `>&-`, or by a service). Idempotent."""
    for number, name in enumerate(_NAMES):
        try:
            os.fstat(number)
        except OSError:
            _fill(number)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False, encoding="utf-8", errors="backslashreplace"))


def _fill(number: int) -> None:
    opened = os.open(os.devnull, os.O_RDWR)
    if opened != number:
        os.dup2(opened, number)
        os.close(opened)
    os.set_inheritable(number, True)
