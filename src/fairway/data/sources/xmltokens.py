"""XML in bulk: tags found by numpy, texts cut out of the buffer. For plain markup, which expat has to find well-formed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fairway.data.sources.utf8texts import Utf8Texts
from fairway.data.sources.xmlevents import TEXT, Names

_MAX_LEVELS = 64
_MAX_NAME = 64
_SHORT_GAP = 16
_ATTRIBUTE = re.compile(rb"([^\s=]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_REFERENCE = re.compile(rb"&(#x[0-9a-fA-F]+|#[0-9]+|lt|gt|amp|quot|apos);")
_ENTITIES = {b"lt": b"<", b"gt": b">", b"amp": b"&", b"quot": b'"', b"apos": b"'"}
_SPACES = bytes.maketrans(b"\n\t", b"  ")
_NAMED = re.compile(rb"\s+([^\s=\"'<>/]+)\s*=\s*")
_LESS, _GREATER, _SLASH, _BANG, _QUESTION, _AND = b"<>/!?&"
_FACTOR, _STEP = np.uint64(0x9E3779B97F4A7C15), np.uint64(0x100000001B3)


@dataclass(slots=True)
class Bulk:
    """What a buffer holds: `cut` bytes of whole records; for each column the row and text of every value, and where each record begins."""

    cut: int
    columns: dict[str, tuple[np.ndarray, Utf8Texts]]
    starts: np.ndarray


class BulkReader:
    """Reads buffers that begin between two records named `record`. None from `read`: this buffer must be read by expat's events."""

    def __init__(self, record: str, names: Names) -> None:
        self._names = names
        self._record = record
        self._columns: list[str] = []  # "": an element that is no part of a record
        self._known = np.empty(0, np.uint64)  # hashes of paths, sorted …
        self._column_of = np.empty(0, np.int64)  # … and the column of each
        self._attributes: dict[tuple[int, str], str] = {}

    def read(self, buffer: bytes) -> Bulk | None:
        """The whole records of `buffer`; `cut` 0 when not even one is whole."""
        if b"\0" in buffer:
            return None  # expat says where
        array = np.frombuffer(buffer, np.uint8)
        left, right = np.flatnonzero(array == _LESS), np.flatnonzero(array == _GREATER)
        left = left[: len(right)]
        if len(left) != len(right) or not ((left < right).all() and (right[:-1] < left[1:]).all()):
            return None  # ">" within a text or an attribute
        if not len(left):
            return Bulk(0, {}, left)
        second = array[left + 1]
        if (second == _BANG).any() or (second == _QUESTION).any():
            return None  # comments, CDATA, instructions
        closing = second == _SLASH
        single = array[right - 1] == _SLASH
        depth = np.cumsum(np.where(closing, -1, np.where(single, 0, 1)))
        below = np.flatnonzero(depth < 0)
        last = int(below[0]) if len(below) else len(left)
        ends = np.flatnonzero((depth[:last] == 0) & (closing | single)[:last])
        if not len(ends):
            return None if last < len(left) else Bulk(0, {}, left[:0])
        count = int(ends[-1]) + 1
        return self._records(buffer, array, _Tags(left[:count], right[:count], closing[:count], single[:count], depth[:count]))

    def _records(self, buffer: bytes, array: np.ndarray, tags: _Tags) -> Bulk | None:
        opens = np.flatnonzero(~tags.closing)
        levels = tags.depth[opens] + tags.single[opens]
        if int(levels.max()) > _MAX_LEVELS or self._mixed(array, tags):
            return None
        hashed = _names_of(array, tags.left[opens] + 1)
        if hashed is None:
            return None
        names, name_ends = hashed
        paths = _paths(names, levels)
        column = self._columns_of(paths, opens, levels, buffer, tags)
        is_record = (levels == 1) & (column >= 0)
        rows = np.cumsum(is_record) - 1
        cut = int(tags.right[-1]) + 1
        made: Gathered = {}
        followed = np.append(tags.closing[1:], False)
        with_attributes = name_ends != tags.right[opens] - tags.single[opens]
        leaf = (tags.single | followed)[opens] & (column >= 0)
        starts = np.where(tags.single, tags.right, tags.right + 1)[opens]
        stops = np.where(tags.single, tags.right, np.append(tags.left[1:], 0))[opens]
        leaf &= (stops > starts) | ~(with_attributes | is_record)
        try:
            self._texts(made, np.flatnonzero(leaf), column, rows, _Slices(buffer, starts, stops))
            ours = np.flatnonzero(with_attributes & (column >= 0))
            self._read_attributes(made, ours, column, rows, _Slices(buffer, name_ends, tags.right[opens] - tags.single[opens]))
        except _IrregularError:
            return None
        return Bulk(cut, made, tags.left[opens[is_record]])

    def _mixed(self, array: np.ndarray, tags: _Tags) -> bool:
        """Whether there is text beside child elements."""
        gaps = np.ones(len(tags.left) - 1, bool)
        gaps &= ~(tags.closing[1:] & ~tags.closing[:-1] & ~tags.single[:-1])  # a start and its end: a leaf's text
        starts, stops = tags.right[:-1][gaps] + 1, tags.left[1:][gaps]
        some = stops > starts
        if not some.any():
            return False
        starts, stops = starts[some], stops[some]
        lengths = stops - starts
        longest = int(lengths.max())
        if longest <= _SHORT_GAP:
            return any(bool(((array.take(starts + place, mode="clip") > 32) & (lengths > place)).any()) for place in range(longest))
        edges = np.empty(2 * len(starts), np.int64)
        edges[::2], edges[1::2] = starts, stops
        inked = np.add.reduceat(array > 32, edges)[::2]
        return bool(inked.any())

    def _columns_of(self, paths: np.ndarray, opens: np.ndarray, levels: np.ndarray, buffer: bytes, tags: _Tags) -> np.ndarray:
        """The number of each element's column, -1 for what is no part of a record."""
        while True:
            if len(self._known):
                place = np.minimum(np.searchsorted(self._known, paths), len(self._known) - 1)
                unknown = self._known[place] != paths
                if not unknown.any():
                    return self._column_of[place]
                first = int(np.argmax(unknown))
            else:
                first = 0
            self._learn(paths[first], first, opens, levels, buffer, tags)

    def _learn(self, path: np.uint64, first: int, opens: np.ndarray, levels: np.ndarray, buffer: bytes, tags: _Tags) -> None:
        words: list[str] = []
        level, place = int(levels[first]), first
        while True:
            tag = opens[place]
            words.append(re.split(r"[\s/]", buffer[tags.left[tag] + 1 : tags.right[tag]].decode(), maxsplit=1)[0])
            if level == 1:
                break
            level -= 1
            place = int(np.flatnonzero(levels[:place] == level)[-1])
        named = [self._names.element(word) for word in reversed(words)]
        column = -1
        if named[0] == self._record:
            self._columns.append(".".join(named[1:]))
            column = len(self._columns) - 1
        at = int(np.searchsorted(self._known, path))
        self._known = np.insert(self._known, at, path)
        self._column_of = np.insert(self._column_of, at, column)

    def _texts(self, made: Gathered, leaves: np.ndarray, column: np.ndarray, rows: np.ndarray, slices: _Slices) -> None:
        ands = np.flatnonzero(np.frombuffer(slices.buffer, np.uint8) == _AND)
        for number, part in _by_column(leaves, column):
            starts, stops = slices.starts[part], slices.stops[part]
            plain = not len(ands) or not (np.searchsorted(ands, starts) != np.searchsorted(ands, stops)).any()
            texts = Utf8Texts.cut(slices.buffer, starts, stops) if plain else _unescaped_all(slices.of(part))
            _add(made, self._columns[number] or TEXT, rows[part], texts)

    def _read_attributes(self, made: Gathered, ours: np.ndarray, column: np.ndarray, rows: np.ndarray, slices: _Slices) -> None:
        for number, part in _by_column(ours, column):
            above = self._columns[number]
            said = slices.of(part)
            for raw, where, values in _alike(said, rows[part]) or _unlike(said, rows[part].tolist()):
                if raw.startswith("xmlns") or raw.endswith(":nil"):
                    raise _IrregularError
                name = self._attributes.get((number, raw))
                if name is None:
                    name = self._attributes[number, raw] = (above + "." if above else "") + self._names.attribute(raw)
                _add(made, name, where, _unescaped_all(values, spaces=True))


Gathered = dict[str, tuple[np.ndarray, Utf8Texts]]


class _IrregularError(Exception):
    """Not for reading in bulk."""


def _by_column(which: np.ndarray, column: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """The elements of each column, in the document's order."""
    order = which[np.argsort(column[which], kind="stable")]
    numbers = column[order]
    for part in np.split(order, np.flatnonzero(np.diff(numbers)) + 1):
        if len(part):
            yield int(column[part[0]]), part


def _alike(said: list[bytes], rows: np.ndarray) -> list[tuple[str, np.ndarray, list[bytes]]] | None:
    """Attributes of tags that all have the same ones in the same order, between double quotes; None if they have not."""
    count = said[0].count(b'"') // 2
    joined = b"\1".join(said)
    if not count or joined.count(b'"') != 2 * count * len(said):
        return None
    parts = joined.split(b'"')
    made: list[tuple[str, np.ndarray, list[bytes]]] = []
    for place in range(count):
        spelt = set(parts[2 * place : -1 : 2 * count])
        first = spelt.pop() if len(spelt) == 1 else parts[2 * place]
        if spelt - {first} and (place or {one.rpartition(b"\1")[2] for one in spelt} != {first}):
            return None
        named = _NAMED.fullmatch(first)
        if named is None:
            return None
        made.append((named[1].decode(), rows, parts[2 * place + 1 :: 2 * count]))
    return made


def _unlike(said: list[bytes], rows: list[int]) -> list[tuple[str, np.ndarray, list[bytes]]]:
    gathered: dict[bytes, tuple[list[int], list[bytes]]] = {}
    for row, text in zip(rows, said, strict=True):
        for raw, double, single in _ATTRIBUTE.findall(text):
            found = gathered.get(raw)
            if found is None:
                found = gathered[raw] = ([], [])
            found[0].append(row)
            found[1].append(double or single)
    return [(raw.decode("utf-8", "replace"), np.array(where), values) for raw, (where, values) in gathered.items()]


def _unescaped_all(values: list[bytes], *, spaces: bool = False) -> Utf8Texts:
    joined = b"\0".join(values)
    if spaces and (b"\n" in joined or b"\t" in joined):
        joined = joined.translate(_SPACES)
    elif b"&" not in joined:
        return Utf8Texts(values)
    if b"&#" in joined:
        joined = _REFERENCE.sub(_meant, joined)
        if joined.count(b"\0") != len(values) - 1:
            raise _IrregularError  # a reference to a character that XML forbids: expat says where
    elif b"&" in joined:
        joined = _without_names(joined)
    return Utf8Texts.joined(joined)


def _without_names(joined: bytes) -> bytes:
    for name, meant in ((b"&lt;", b"<"), (b"&gt;", b">"), (b"&quot;", b'"'), (b"&apos;", b"'"), (b"&amp;", b"&")):
        if name in joined:
            joined = joined.replace(name, meant)
    return joined


@dataclass(slots=True)
class _Tags:
    left: np.ndarray
    right: np.ndarray
    closing: np.ndarray
    single: np.ndarray
    depth: np.ndarray


@dataclass(slots=True)
class _Slices:
    """Stretches of a buffer."""

    buffer: bytes
    starts: np.ndarray
    stops: np.ndarray

    def of(self, which: np.ndarray) -> list[bytes]:
        buffer = self.buffer
        return [buffer[start:stop] for start, stop in zip(self.starts[which].tolist(), self.stops[which].tolist(), strict=True)]


def _add(made: Gathered, name: str, rows: np.ndarray, values: Utf8Texts) -> None:
    """Values of one column, which may have some already: two prefixes may mean one namespace."""
    if name in made:
        rows, parts = np.concatenate([made[name][0], rows]), made[name][1].parts() + values.parts()
        order = np.argsort(rows, kind="stable")
        rows, values = rows[order], Utf8Texts([parts[place] for place in order.tolist()])
    made[name] = (rows, values)


def _names_of(array: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """A hash of each name, and where it ends; None if one is very long."""
    made = np.zeros(len(starts), np.uint64)
    alive = np.arange(len(starts))
    at = starts.copy()
    ends = np.empty(len(starts), np.int64)
    for _ in range(_MAX_NAME):
        letters = array[at]
        over = _ENDS_NAME[letters]
        if over.any():
            ends[alive[over]] = at[over]
            going = ~over
            alive, at, letters = alive[going], at[going], letters[going]
        if not len(alive):
            return made, ends
        made[alive] = (made[alive] ^ letters) * _STEP
        at += 1
    return None


_ENDS_NAME = np.zeros(256, bool)
_ENDS_NAME[[9, 10, 13, 32, _SLASH, _GREATER]] = True


def _paths(names: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """A hash of each element's path below the records' parent."""
    made = np.empty(len(names), np.uint64)
    above = np.flatnonzero(levels == 1)
    made[above] = names[above] * _FACTOR
    for level in range(2, int(levels.max()) + 1):
        here = np.flatnonzero(levels == level)
        parents = above[np.searchsorted(above, here) - 1]
        made[here] = (made[parents] ^ (names[here] + np.uint64(level))) * _FACTOR
        above = here
    return made


def _meant(found: re.Match[bytes]) -> bytes:
    word = found[1]
    if word[:1] != b"#":
        return _ENTITIES[word]
    try:
        return chr(int(word[2:], 16) if word[1:2] == b"x" else int(word[1:])).encode()
    except (ValueError, OverflowError):
        raise _IrregularError from None  # half a pair, or beyond all characters: expat says where


def lines_of(buffer: bytes, starts: Sequence[int] | Any, first: int) -> list[int]:
    """The line that each place is on, where the buffer begins on line `first`."""
    breaks = np.flatnonzero(np.frombuffer(buffer, np.uint8) == 10)
    return (np.searchsorted(breaks, starts) + first).tolist()
