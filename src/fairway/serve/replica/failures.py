"""What the model's own code did wrong, in the lines of those who wrote it."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

import fairway

_OURS = f"{Path(fairway.__file__).parent}{os.sep}"


def own_traceback(error: BaseException) -> str:
    """The traceback with the user's own frames alone; with all of them where none is the user's."""
    kept = traceback.TracebackException.from_exception(error)
    own = [frame for frame in kept.stack if not frame.filename.startswith((_OURS, "<frozen"))]
    if own:
        kept.stack = traceback.StackSummary.from_list(own)
    return "".join(kept.format())
