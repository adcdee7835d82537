"""The command line's boundary: every error becomes one to five lines on stderr and an exit status."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from fairway.errors import FairwayError, InternalError

BROKEN_PIPE_STATUS = 141
INTERRUPTED_STATUS = 130


class ReaderGone(Exception):
    """A BrokenPipeError on its way through click, which would end the process with a status that means something else here."""


def guard(function: Callable[..., int], *arguments: Any) -> int:
    """Call `function` and return its exit status; an error is printed and becomes one.

    `FAIRWAY_DEBUG=1` lets the whole traceback through.
    """
    pressed = _note_interrupts()
    try:
        status = function(*arguments)
        sys.stdout.flush()
        return status
    except FairwayError as error:
        if os.environ.get("FAIRWAY_DEBUG") == "1":
            raise
        print_error(error)
        return error.exit_status
    except (BrokenPipeError, ReaderGone):
        return _end_unread()
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        return INTERRUPTED_STATUS
    except Exception as error:
        status = _click_status(error)
        if status is not None:
            return status
        if pressed or str(error).startswith("Query interrupted"):  # C code passes on Ctrl-C as errors of its own
            sys.stderr.write("\ninterrupted\n")
            return INTERRUPTED_STATUS
        if os.environ.get("FAIRWAY_DEBUG") == "1":
            raise
        print_error(_unexpected(error))
        return InternalError.exit_status


def _note_interrupts() -> list[bool]:
    """A list that is not empty once Ctrl-C was pressed, which else acts as ever. What callbacks of C code cannot raise is not shown."""
    pressed: list[bool] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        pressed.append(True)
        sys.unraisablehook = lambda _: None
        signal.default_int_handler(number, frame)

    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
    return pressed


def _end_unread() -> int:
    """Whoever read our output has gone, as `| head` does. Python would complain once more when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return BROKEN_PIPE_STATUS


def render_error(error: FairwayError) -> list[str]:
    """What, where, what to do: at most five lines."""
    lines = error.message.strip().splitlines()[:3] or [type(error).__name__]
    lines[0] = f"error: {lines[0]}"
    if error.where:
        lines.append(f"  at {_shorten(error.where)}")
    if error.hint:
        lines.append(f"  {' '.join(error.hint.splitlines())}")
    return lines


def print_error(error: FairwayError) -> None:
    """Write the error to stderr, in colour if it is a terminal."""
    from fairway.cli.style import paint

    first, *rest = render_error(error)
    sys.stdout.flush()
    sys.stderr.write("\n".join([first.replace("error:", paint("error:", "red", sys.stderr), 1), *rest]) + "\n")


def _shorten(where: str) -> str:
    """A path below the current folder is shown relative to it."""
    here = os.path.join(os.getcwd(), "")
    return where.removeprefix(here)


def _click_status(error: Exception) -> int | None:
    """Print an error of click's own and return its status; None if it is not one."""
    if "click" not in sys.modules:
        return None
    import click

    if isinstance(error, click.exceptions.Abort):
        sys.stderr.write("aborted\n")
        return INTERRUPTED_STATUS
    if not isinstance(error, click.ClickException):
        return None
    hint = ""
    if isinstance(error, click.UsageError) and error.ctx is not None:
        hint = f"see: {error.ctx.command_path} --help"
    print_error(FairwayError(error.format_message(), hint=hint))
    return error.exit_code


def _unexpected(error: Exception) -> InternalError:
    """A defect of ours: where it was noticed, and how to see all of it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""
    return InternalError(
        f"a defect of Fairway: {type(error).__name__}: {error}",
        where=where,
        hint="FAIRWAY_DEBUG=1 shows the whole traceback; please report it. No recorded work is lost: `fairway resume` goes on.",
    )
