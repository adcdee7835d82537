"""The text of a query changed as a press of a button wants it. Pure."""

from __future__ import annotations

import re
import shlex

from fairway.engine.query import parse_query, render_query
from fairway.errors import ConfigError, FairwayError
from fairway.spec.query import RUN_STATUSES, RunQuery
from fairway.spec.record import replace

_PART = re.compile(r'(?:"(?:\\.|[^"\\])*"?|\S)+')
_STATE = re.compile(r"(?:status|state)(?::|!?=)\S*")
_POSITION = re.compile(r" at character (\d+): ")


def only_state(text: str, status: str, now: float) -> str:
    """The query `text`, but of runs in this state alone; of all states again for "". It stays as it was typed where that can be."""
    wanted = replace(parse_query(text, now), statuses=(status,) if status else ())
    kept = [part for part in _PART.findall(text) if part not in RUN_STATUSES and not _STATE.fullmatch(part)]
    typed = " ".join([*kept, *([status] if status else [])])
    return typed if _reads_as(typed, wanted, now) else render_query(wanted)


def narrow(text: str, part: str) -> str:
    """The query `text` with one more condition, unless it has it."""
    return text if part in _PART.findall(text) else f"{text.strip()} {part}".strip()


def error_position(error: FairwayError, text: str) -> int:
    """Where in `text` the query cannot be read: 0 to its length."""
    found = _POSITION.search(error.message)
    return min(max(int(found[1]) - 1, 0), len(text)) if found else len(text)


def error_words(error: FairwayError) -> str:
    """What is wrong there."""
    return _POSITION.split(error.message, maxsplit=1)[-1]


def command_line(text: str) -> str:
    """What lists the same runs in a terminal."""
    return f"fairway runs {shlex.quote(text)}" if text else "fairway runs"


def _reads_as(text: str, wanted: RunQuery, now: float) -> bool:
    try:
        return parse_query(text, now) == wanted
    except ConfigError:
        return False
