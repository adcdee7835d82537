"""Where in the user's own code something was written: "file:line" and the line's text."""

from __future__ import annotations

import os
import sys
from types import CodeType, FrameType

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_shown: dict[str, str] = {}


def shown(path: str) -> str:
    """The path as a person would write it: relative to the working folder if it lies in it."""
    text = _shown.get(path)
    if text is None:
        text = path
        here = os.getcwd() + os.sep
        if path.startswith(here):
            text = path[len(here) :]
        _shown[path] = text
    return text


def find_user_frame() -> FrameType | None:
    """The innermost frame that is not Fairway's own; None where a command of ours was the first to call."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return None if frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "click" else frame


def caller() -> str:
    """ "file:line" of the user's code that is running now, "" if there is none."""
    frame = find_user_frame()
    return "" if frame is None else f"{shown(frame.f_code.co_filename)}:{frame.f_lineno}"


def caller_line() -> str:
    """The text of the line that is running now, "" if its source is not at hand."""
    frame = find_user_frame()
    if frame is None:
        return ""
    import linecache

    return linecache.getline(frame.f_code.co_filename, frame.f_lineno, frame.f_globals).strip()


def blame(error: BaseException) -> str:
    """ "file:line" of the user's own code that raised `error` or called what did, "" if none of it was running."""
    libraries = os.path.dirname(os.__file__) + os.sep
    found, trace = "", error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith((_PACKAGE, libraries)) and "site-packages" not in file:
            found = f"{shown(file)}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found


def place(code: CodeType) -> str:
    """ "file:line" of a function's first line."""
    return f"{shown(code.co_filename)}:{code.co_firstlineno}"


def suggest(word: str, known: list[str]) -> str:
    """' Did you mean "x"?' if a known word is near, else ''."""
    import difflib

    near = difflib.get_close_matches(word, known, 1)
    return f" Did you mean `{near[0]}`?" if near else ""
