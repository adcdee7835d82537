"""Checks of texts: each distinct text is looked at once."""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
import uuid
from collections.abc import Callable
from threading import Lock

import numpy as np

from fairway.data.batch import Values

MOST_REMEMBERED = 100_000
IMAGE_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM", b"RIFF", b"II*\x00", b"MM\x00*")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`]*")
_DURATION = re.compile(r"P(?=.)(\d+W|(\d+Y)?(\d+M)?(\d+D)?(T(?=.)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?)")
_TIME = re.compile(r"\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})?")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_TRUE_FALSE = frozenset({"true", "false", "True", "False", "TRUE", "FALSE", "0", "1"})


class Memory:
    """What was found of texts by their hash, of the last MOST_REMEMBERED at least."""

    def __init__(self) -> None:
        self.known: dict[int, bool] = {}
        self.lock = Lock()

    def keep(self, hashes: list[int], answers: list[bool]) -> None:
        with self.lock:
            if len(self.known) > MOST_REMEMBERED:
                self.known = {}
            self.known.update(zip(hashes, answers, strict=True))


class TextCheck:
    """One question to texts, asked once for each distinct text. `pattern`, where that is what is asked, is tried on whole batches first."""

    def __init__(self, kind: str, is_right: Callable[[str], bool | None], pattern: str = "") -> None:
        self.kind, self._is_right, self._memory = kind, is_right, Memory()
        self._lines = line_pattern(pattern) if pattern else None

    def wrong(self, values: Values) -> np.ndarray:
        """A mask: True where the text is not right."""
        if self._lines is not None and _all_match(self._lines, values):
            return np.zeros(len(values), bool)
        distinct, index, inverse = np.unique(values.hashes(), return_index=True, return_inverse=True)
        known = self._memory.known
        answers = [known.get(one) for one in distinct.tolist()]
        new = [place for place, one in enumerate(answers) if one is None]
        if new:
            texts = values.values(index[new])
            made = [text is None or bool(self._is_right(text)) for text in texts]
            for place, answer in zip(new, made, strict=True):
                answers[place] = answer
            self._memory.keep(distinct[new].tolist(), made)
        return ~np.array(answers, bool)[inverse]


_NEWLINES = re.compile(r"\[\^|\\[sSWDnrvfAZbBx0-9uUN]|\(\?|\n")
"""What may match, or look at, the end of a line: patterns with it are not tried on many lines at once."""


def line_pattern(pattern: str) -> re.Pattern[str] | None:
    """A pattern that matches lines as long as each is a text with `pattern`; None where that cannot be told from the pattern."""
    if not (pattern.startswith("^") and pattern.endswith("$")) or pattern.endswith("\\$") or "|" in pattern or _NEWLINES.search(pattern):
        return None
    return re.compile(f"(?:{pattern[1:-1]}\n)*+")


def _all_match(lines: re.Pattern[str], values: Values) -> bool:
    """Whether each text of a column matches, found out at once: the texts as lines of one text."""
    assert values.offsets is not None
    if values.valid is not None:
        return False
    begin, end, count = int(values.offsets[0]), int(values.offsets[-1]), len(values)
    data = values.data[begin:end]
    if count == 0 or (data == 10).any():
        return count == 0
    ends = values.offsets[1:].astype(np.int64) - begin + np.arange(count)
    made = np.empty(len(data) + count, np.uint8)
    is_text = np.ones(len(made), bool)
    is_text[ends] = False
    made[is_text] = data
    made[ends] = 10
    text = made.tobytes().decode("utf-8", "replace")
    found = lines.match(text)
    return found is not None and found.end() == len(text)


def matches(pattern: str) -> Callable[[str], bool]:
    """Does a text have a pattern somewhere (as JSON Schema means it)?"""
    found = re.compile(pattern).search
    return lambda text: found(text) is not None


def is_format(name: str, text: str) -> bool | None:
    """Is a text of a format of JSON Schema, or a "number" or "boolean"? None: no such format is known."""
    check = _FORMATS.get(name)
    if check is None:
        return None
    try:
        return check(text)
    except (ValueError, OverflowError):
        return False


def _is_time(text: str) -> bool:
    dt.datetime.fromisoformat(text)
    return len(text) > 10


def _is_number(text: str) -> bool:
    float(text)
    return "_" not in text


_FORMATS: dict[str, Callable[[str], bool]] = {
    "date-time": _is_time,
    "date": lambda text: _DAY.fullmatch(text) is not None and bool(dt.date.fromisoformat(text)),
    "time": lambda text: _TIME.fullmatch(text) is not None and dt.time.fromisoformat(text) is not None,
    "duration": lambda text: _DURATION.fullmatch(text) is not None,
    "email": lambda text: _EMAIL.fullmatch(text) is not None,
    "hostname": lambda text: _HOST.fullmatch(text) is not None,
    "uri": lambda text: _URI.fullmatch(text) is not None,
    "uuid": lambda text: len(text) == 36 and bool(uuid.UUID(text)),
    "ipv4": lambda text: bool(ipaddress.IPv4Address(text)) or True,
    "ipv6": lambda text: bool(ipaddress.IPv6Address(text)) or True,
    "number": _is_number,
    "boolean": lambda text: text in _TRUE_FALSE,
}
