"""Exceptions of user code as `ErrorInfo`: the user's own frames first in mind, ours left out, secrets masked."""

from __future__ import annotations

import os
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from fairway.errors import ConfigError, DefinitionError, FairwayError, UnsupportedError
from fairway.spec.attempt import AttemptSpec
from fairway.spec.outcome import ErrorInfo, Frame

_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_NEVER_BETTER = (DefinitionError, ConfigError, UnsupportedError)
_MESSAGE_CHARS = 4000
_TRACEBACK_CHARS = 20000
_RELATIVE_HINT = (
    "a step runs in a scratch folder of its own; give it files as inputs: annotate the parameter `fw.File` (or `fw.Directory`) "
    "and pass the path as the step's argument, or use an absolute path"
)


class Origin:
    """Where the user's code runs from (`root`, an unpacked bundle) and where the user edits it (`source`, "" where that is not known here:
    then paths begin in the bundle); what must not be shown."""

    def __init__(self, root: str, source: str = "", secrets: Iterable[str] = ()) -> None:
        self.root = os.path.realpath(root) if root else ""
        self.source = source
        self.secrets = tuple(sorted((s for s in secrets if s), key=len, reverse=True))

    def mask(self, text: str) -> str:
        """`text` with the values of secrets replaced by ***."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text

    def is_own(self, path: str) -> bool:
        """Is it the user's file, not a library's and not ours?"""
        if "site-packages" in path or path.startswith((_HERE + os.sep, "<frozen")):
            return False
        return bool(self.root) and os.path.realpath(path).startswith(self.root + os.sep)

    def show(self, path: str) -> str:
        """The file's path as the user knows it."""
        if self.root:
            real = os.path.realpath(path)
            if real.startswith(self.root + os.sep):
                inside = real[len(self.root) + 1 :]
                return f"{self.source}{os.sep}{inside}" if self.source else inside
        return path

    def show_all(self, text: str) -> str:
        """`text` with the paths in it as the user knows them."""
        return text.replace(self.root + os.sep, self.source + os.sep if self.source else "") if self.root else text


def describe_exception(error: BaseException, origin: Origin) -> ErrorInfo:
    """What happened, in a form that crosses processes. Never raises: an exception whose own `str` fails is named by its class."""
    import traceback

    frames = tuple(frame for frame in _frames(_first_foreign(error.__traceback__, error), origin))
    text = origin.show_all("".join(traceback.format_exception(type(error), error, _first_foreign(error.__traceback__, error))))
    return ErrorInfo(
        kind="oom" if isinstance(error, MemoryError) else type(error).__name__,
        code=_code(error),
        message=origin.mask(_message(error))[:_MESSAGE_CHARS],
        hint=origin.mask(_hint(error)),
        frames=frames,
        traceback=origin.mask(text)[-_TRACEBACK_CHARS:],
        mro=tuple(cls.__name__ for cls in type(error).__mro__ if cls is not object),
        retryable=not isinstance(error, _NEVER_BETTER),
    )


def _frames(tb: TracebackType | None, origin: Origin) -> Iterable[Frame]:
    import linecache

    while tb is not None:
        code = tb.tb_frame.f_code
        path = code.co_filename
        if not path.startswith(_HERE + os.sep):
            source = origin.mask(linecache.getline(path, tb.tb_lineno, tb.tb_frame.f_globals).strip())
            yield Frame(origin.show(path), tb.tb_lineno, code.co_qualname, source, origin.is_own(path))
        tb = tb.tb_next


def locate(frame: Frame, origin: Origin) -> Frame:
    """A frame of which only file, line and function are known, as `describe_exception` would give it."""
    import linecache

    source = origin.mask(linecache.getline(frame.file, frame.line).strip())
    return Frame(origin.show(frame.file), frame.line, frame.function, source, origin.is_own(frame.file))


def _first_foreign(tb: TracebackType | None, error: BaseException) -> TracebackType | None:
    """The traceback from the first frame that is not ours; if there is none, all of it for a defect of ours, and nothing for an error of
    ours that says all there is to say."""
    first = None if isinstance(error, FairwayError) else tb
    while tb is not None:
        if not tb.tb_frame.f_code.co_filename.startswith((_HERE + os.sep, "<frozen")):
            return tb
        tb = tb.tb_next
    return first


def _message(error: BaseException) -> str:
    try:
        text = error.message if isinstance(error, FairwayError) else str(error)
    except Exception:  # noqa: BLE001 - user code: its __str__ may do anything
        text = ""
    if not text and isinstance(error, AssertionError):
        return "assertion failed"
    if isinstance(error, MemoryError):  # its kind is "oom": the class is named here
        return f"MemoryError: {text or 'there is not enough memory'}"
    return text


def _code(error: BaseException) -> str:
    if isinstance(error, FairwayError):
        return error.code
    return "FW-TASK-OOM" if isinstance(error, MemoryError) else "FW-TASK-FAILED"


def _hint(error: BaseException) -> str:
    if isinstance(error, FairwayError):
        return error.hint
    if isinstance(error, FileNotFoundError | NotADirectoryError) and _is_relative(error.filename):
        return _RELATIVE_HINT
    if isinstance(error, EOFError) and "reading a line" in str(error):
        return "nobody answers a step that asks: make it a parameter of the pipeline, and of the step"
    if isinstance(error, ValueError) and "environment variable" in str(error) and "expected, but not set" in str(error):
        return 'PyTorch finds the other ranks in variables that a gang of it has: @fw.step(gang=fw.gang(replicas=2, framework="torch"))'
    if isinstance(error, MemoryError):
        return 'ask for what the step needs, as @fw.step(memory="8Gi"), so that fewer run at once; or work in smaller pieces'
    return "; ".join(str(note) for note in getattr(error, "__notes__", ()))


def is_breakpoint(error: BaseException) -> bool:
    """Did a debugger end the step: `breakpoint()` where nobody answers it, or somebody who typed `quit`?"""
    return type(error).__name__ == "BdbQuit" and type(error).__module__ == "bdb"


def explain_breakpoint(spec: AttemptSpec) -> tuple[str, str]:
    """Message and hint for a step that a debugger ended."""
    if spec.step.gang.replicas:
        message = "the step came to a breakpoint, and a debugger cannot stop in one of several processes"
        return (
            message,
            "take it out and print what you want to know; without gang= the step can be stopped by `fairway rerun … --pdb`",
        )
    if os.isatty(0):
        return "the debugger was left at a breakpoint", "type `continue` to go on"
    task = spec.items[0].task if len(spec.items) == 1 else spec.step.name
    return (
        "the step came to a breakpoint, and a run has no terminal for the debugger",
        f"`fairway rerun {spec.run} {_quote(task)} --pdb` does the task again in your terminal and stops there; else take it out",
    )


def _quote(task: str) -> str:
    return f"'{task}'" if "[" in task else task


def _is_relative(path: Any) -> bool:
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    return isinstance(path, str) and path != "" and not os.path.isabs(path)
