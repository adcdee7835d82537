"""JSON: an array of objects, an object that holds one, an object of columns, or objects one after the other. Read in a stream."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator, Sequence
from typing import Any

from fairway.data.sources import files
from fairway.data.sources.jsonrecords import Record, record_source
from fairway.data.sources.rejects import Rejects
from fairway.data.sources.rowbuilder import RowSource
from fairway.data.sources.textinput import TextInput, open_text
from fairway.errors import ConfigError

_VALUE_CHARACTERS = 64 << 20
_STEP = 1 << 20
_BLANK = " \t\r\n\ufeff"


def open(uri: str | Sequence[str], options: dict[str, Any]) -> RowSource:
    """Option `records` names where the rows lie: "data" or "result.items". Raises ConfigError, NotFoundError."""
    paths = files.expand(uri, ("json", "geojson"))
    inputs = [open_text(path, {**options, "newline": "lf"}) for path in paths]
    notes = [note for one in inputs for note in one.notes]
    longest = int(options.get("max_line_bytes", _VALUE_CHARACTERS))
    keys = [one for one in str(options.get("records", "")).split(".") if one]
    if not keys:
        keys = _found_keys(inputs[0], notes, longest)

    def read(rejects: Rejects) -> Iterator[Record]:
        del rejects
        for one in inputs:
            yield from _records(_Text(one, longest), keys)

    return record_source(uri if isinstance(uri, str) else uri[0], options, read, notes, "json")


class _Text:
    """A text that is decoded value by value, with as little of it in memory as one value needs."""

    def __init__(self, one: TextInput, longest: int) -> None:
        self.path, self._longest = one.path, longest
        self._pieces = one.utf8()
        self._decode = codecs.getincrementaldecoder("utf-8")("strict")
        self._scan = json.JSONDecoder().raw_decode
        self._text, self._at, self._line, self._counted, self._ended = "", 0, 1, 0, False

    def _counted_to(self, at: int) -> int:
        """The line that a place is on."""
        self._line += self._text.count("\n", self._counted, at)
        self._counted = at
        return self._line

    def _more(self, size: int) -> bool:
        """Have `size` characters more, if there are as many."""
        if self._at:
            self._counted_to(self._at)
            self._text, self._at, self._counted = self._text[self._at :], 0, 0
        parts = [self._text]
        wanted = size
        while wanted > 0 and not self._ended:
            piece = next(self._pieces, None)
            if piece is None:
                self._ended = True
            try:
                parts.append(self._decode.decode(piece or b"", self._ended))
            except UnicodeDecodeError as error:
                raise ConfigError(f"{self.path} is not in UTF-8: {error.reason}", hint='name its encoding: encoding="…"') from None
            wanted -= len(parts[-1])
        before = len(self._text)
        self._text = "".join(parts)
        return len(self._text) > before

    def peek(self) -> str:
        """The next character that is not blank; "" at the end."""
        while True:
            text, at = self._text, self._at
            while at < len(text) and text[at] in _BLANK:
                at += 1
            self._at = at
            if at < len(text):
                return text[at]
            if not self._more(_STEP):
                return ""

    def take(self, expected: str) -> None:
        """One character, which must be this."""
        if self.peek() != expected:
            raise self.wrong(f"expected {expected!r}, not {self.peek() or 'the end'!r}")
        self._at += 1

    def value(self) -> Any:
        """The next value, whole."""
        self.peek()
        size = _STEP
        while True:
            try:
                value, end = self._scan(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._ended:
                    raise self.wrong(error.msg) from None
            except RecursionError:
                raise self.wrong("it is nested too deep") from None
            except ValueError:
                raise self.wrong("a whole number has thousands of digits") from None
            else:
                if end < len(self._text) or self._ended:  # a number may go on
                    self._at = end
                    return value
            if len(self._text) - self._at > self._longest:
                raise self.wrong(f"one value is longer than the {self._longest:,} characters that max_line_bytes allows")
            if not self._more(size) and not self._ended:
                raise self.wrong("it ends within a value")
            size *= 2

    def wrong(self, what: str) -> ConfigError:
        """What is said of a text that is no JSON."""
        line = self._counted_to(self._at)
        return ConfigError(
            f"this is no JSON: {what}", where=f"{self.path}:{line}", hint="is the file whole? rows before it can be read with head()"
        )

    def now(self) -> int:
        """The line that the next value is on."""
        self.peek()
        return self._counted_to(self._at)


def _records(text: _Text, keys: list[str]) -> Iterator[Record]:
    for key in keys:
        _enter(text, key)
    first = text.peek()
    if first == "[":
        text.take("[")
        yield from _elements(text)
        if not keys and text.peek():
            raise text.wrong("something follows the array")
        return
    while text.peek():
        line = text.now()
        value = text.value()
        if isinstance(value, dict) and value and all(isinstance(one, list) for one in value.values()):
            yield from _columns(value, line, text)
        else:
            yield line, value
        if keys:
            return


def _elements(text: _Text) -> Iterator[Record]:
    if text.peek() == "]":
        text.take("]")
        return
    while True:
        line = text.now()
        yield line, text.value()
        if text.peek() == ",":
            text.take(",")
            continue
        text.take("]")
        return


def _columns(value: dict[str, list[Any]], line: int, text: _Text) -> Iterator[Record]:
    if len({len(one) for one in value.values()}) > 1:
        raise text.wrong("its columns are not of one length")
    for row in zip(*value.values(), strict=True):
        yield line, dict(zip(value, row, strict=True))


def _enter(text: _Text, key: str) -> None:
    """Go on to where the value of a key begins."""
    text.take("{")
    while text.peek() not in ("}", ""):
        name = text.value()
        text.take(":")
        if name == key:
            return
        text.value()
        if text.peek() == ",":
            text.take(",")
    raise text.wrong(f"there is no {key!r} to find rows in")


def _found_keys(one: TextInput, notes: list[str], longest: int) -> list[str]:
    """The key of the only array of objects in the outermost object, if that is what the file is."""
    if one.sample.lstrip(_BLANK)[:1] != "{" or not one.again:
        return []
    text = _Text(one, longest)
    text.take("{")
    found: list[str] = []
    while text.peek() not in ("}", ""):
        name = text.value()
        text.take(":")
        if text.peek() == "[":
            text.take("[")
            if text.peek() == "{":
                found.append(str(name))
                notes.append(f"rows are in {name!r}; pin it with records={name!r}")
                return found
            if text.peek() != "]":
                return []
            text.take("]")
        else:
            text.value()
        if text.peek() == ",":
            text.take(",")
    return found
