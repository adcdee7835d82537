"""Run ids: sortable by time, short enough to type; and the way from what somebody typed to the run that is meant."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fairway.errors import NotFoundError

if TYPE_CHECKING:
    from fairway.spec.ports import Journal

_LETTERS = "23456789abcdefghijkmnpqrstuvwxyz"  # 32 in their order; no l, o, 0, 1: they are taken for one another
_RUN_ID = re.compile(r"\d{8}-\d{6}-[0-9a-z]{5}")


def new_run_id(at: float | None = None) -> str:
    """An id such as "20261124-081503-x7kq3": UTC time, in the first two letters to a thousandth of a second, then 15 random bits.

    Hundreds may begin in one second without meeting, and of two that follow each other the later one sorts after.
    """
    now = time.time() if at is None else at
    share = int(now % 1 * 1024)
    letters = (share >> 5, share & 31, *os.urandom(3))
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}-{''.join(_LETTERS[n & 31] for n in letters)}"


def is_run_id(text: str) -> bool:
    """Could `new_run_id` have made it?"""
    return _RUN_ID.fullmatch(text) is not None


async def get_run(journal: Journal, text: str) -> str:
    """The run with this id, or the only one that begins or ends with it, or the newest of this name; "last" is the newest of all.

    Raises NotFoundError, with what could have been meant.
    """
    if await journal.head(text):
        return text
    if text in ("last", "latest", ""):
        newest = await journal.find_runs("")
        if newest:
            return newest[0]
        raise NotFoundError("there are no runs yet", hint="start one with `fairway run FILE`")
    found = await journal.find_runs(text)
    if len(found) == 1:
        return found[0]
    named = [run for run in found if (summary := await journal.find_summary(run)) is not None and summary.name == text]
    if named:
        return named[0]
    if not found:
        raise NotFoundError(f"there is no run {text!r}", hint="list them with `fairway runs`; the last five characters of an id are enough")
    raise NotFoundError(f"{text!r} can mean {_several(found)}", hint="write more of the id; its last five characters are enough")


def _several(runs: Sequence[str]) -> str:
    shown = ", ".join(runs[:3])
    if len(runs) <= 3:
        return shown
    return f"{shown} and {len(runs) - 3}{' or more' if len(runs) == 20 else ''} others"
