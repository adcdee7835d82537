"""XML by expat's events, exactly: what a bulk reader cannot take (comments, CDATA, mixed content, namespaces that change) is read here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fairway.errors import ConfigError

MAX_DEPTH = 256
TEXT = "#text"


@dataclass
class Records:
    """Some records: for each column the row and the text of every value, in the document's order; and the line each record began on."""

    columns: dict[str, tuple[list[int], list[str | None]]] = field(default_factory=dict)
    lines: list[int] = field(default_factory=list)

    def add(self, column: str, value: str | None) -> None:
        """A value of the record that is being read."""
        found = self.columns.get(column)
        if found is None:
            found = self.columns[column] = ([], [])
        found[0].append(len(self.lines) - 1)
        found[1].append(value)


class Names:
    """Names without their namespaces; or, where a map of prefixes is given, with the prefix that the map has for their namespace."""

    def __init__(self, prefixes: Mapping[str, str] | None) -> None:
        self.by_uri = {uri: prefix for prefix, uri in (prefixes or {}).items()}
        self.scopes: list[dict[str, str]] = [{}]
        self._cache: dict[str, str] = {}

    def enter(self, attributes: list[str]) -> bool:
        """Take up an element's declarations of namespaces, if the names depend on them. Whether there were some."""
        if not self.by_uri:
            return False
        said = {
            name[6:]: value
            for name, value in zip(attributes[::2], attributes[1::2], strict=True)
            if name == "xmlns" or name.startswith("xmlns:")
        }
        if said:
            self.scopes.append({**self.scopes[-1], **said})
            self._cache = {}
        return bool(said)

    def leave(self) -> None:
        """The element that declared namespaces ends."""
        self.scopes.pop()
        self._cache = {}

    def element(self, raw: str) -> str:
        """An element's name as columns and paths have it."""
        made = self._cache.get(raw)
        if made is None:
            made = self._cache[raw] = self._resolved(raw, raw.partition(":")[0] if ":" in raw else "")
        return made

    def attribute(self, raw: str) -> str:
        """An attribute's; one without a prefix is in no namespace."""
        return "@" + (self._resolved(raw, raw.partition(":")[0]) if ":" in raw else raw)

    def _resolved(self, raw: str, prefix: str) -> str:
        local = raw.rpartition(":")[2]
        own = self.by_uri.get(self.scopes[-1].get(prefix, "")) if self.by_uri else None
        return f"{own}:{local}" if own else local


class Walker:
    """Handlers for expat that collect the records at one path. `take` hands over those that are complete."""

    def __init__(self, parser: Any, path: tuple[str, ...], names: Names, max_record: int) -> None:
        self._parser, self._path, self._names, self._max_record = parser, path, names, max_record
        self._depth = 0
        self._matched = 0  # how many of the open elements are the path's first ones
        self._stack: list[list[Any]] = []  # of the record: column's name, texts, has children, is nil, has attributes
        self._scoped: list[int] = []
        self._size = 0
        self._in_cdata = False
        parser.StartCdataSectionHandler, parser.EndCdataSectionHandler = self._start_cdata, self._end_cdata
        self.raw = ""
        self.records = Records()

    @property
    def between(self) -> bool:
        """Whether the last thing read was at the records' own level: the next record may begin."""
        return not self._stack and not self._in_cdata and self._depth == self._matched == len(self._path) - 1

    def take(self) -> Records:
        """The records that are complete; one that is open stays for the next time."""
        done, self.records = self.records, Records()
        if self._stack:
            row = len(done.lines) - 1
            self.records.lines = [done.lines.pop()]
            for name, (rows, values) in done.columns.items():
                first = next((place for place, one in enumerate(rows) if one == row), len(rows))
                if first < len(rows):
                    self.records.columns[name] = ([0] * (len(rows) - first), values[first:])
                    del rows[first:], values[first:]
        return done

    def attach(self) -> None:
        """From now on expat calls these handlers."""
        self._parser.StartElementHandler, self._parser.EndElementHandler, self._parser.CharacterDataHandler = (
            self._start,
            self._end,
            self._text,
        )

    def detach(self) -> None:
        """From now on expat only checks."""
        self._parser.StartElementHandler = self._parser.EndElementHandler = self._parser.CharacterDataHandler = None

    def _start(self, raw: str, attributes: list[str]) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ConfigError(f"elements are nested more than {MAX_DEPTH} deep")
        if attributes and self._names.enter(attributes):
            self._scoped.append(self._depth)
        if self._stack:
            above = self._stack[-1]
            above[2] = True
            name = self._names.element(raw)
            column = f"{above[0]}.{name}" if above[0] else name
            self._stack.append([column, [], False, False, bool(attributes)])
            if attributes:
                self._attributes(column + ".", attributes)
            return
        if self._matched != self._depth - 1 or self._matched >= len(self._path) or self._names.element(raw) != self._path[self._matched]:
            return
        self._matched += 1
        if self._matched == len(self._path):
            self.raw = raw
            self.records.lines.append(self._parser.CurrentLineNumber)
            self._size = 0
            self._stack.append(["", [], False, False, bool(attributes)])
            if attributes:
                self._attributes("", attributes)

    def _start_cdata(self) -> None:
        self._in_cdata = True

    def _end_cdata(self) -> None:
        self._in_cdata = False

    def _attributes(self, prefix: str, attributes: list[str]) -> None:
        for place in range(0, len(attributes), 2):
            name, value = attributes[place], attributes[place + 1]
            if name == "xmlns" or name.startswith("xmlns:"):
                continue
            if name.endswith(":nil"):
                self._stack[-1][3] = value in ("true", "1")
                continue
            self.records.add(prefix + self._names.attribute(name), value)
            self._grown(len(value))

    def _text(self, data: str) -> None:
        if self._stack:
            self._stack[-1][1].append(data)
            self._grown(len(data))

    def _grown(self, size: int) -> None:
        self._size += size
        if self._size > self._max_record:
            raise ConfigError(
                f"the record that begins on line {self.records.lines[-1]} has more than {self._max_record:,} characters",
                hint="say where the records are with records=, or allow more with max_record_bytes=",
            )

    def _end(self, _raw: str) -> None:
        if self._stack:
            column, texts, has_children, is_nil, has_attributes = self._stack.pop()
            text = "".join(texts)
            if is_nil:
                self.records.add(column or TEXT, None)
            elif not has_children:
                if text or (column and not has_attributes):
                    self.records.add(column or TEXT, text)
            elif not text.isspace() and text:
                self.records.add(column or TEXT, " ".join(text.split()))
            if not self._stack:
                self._matched -= 1
        elif self._matched == self._depth:
            self._matched -= 1
        if self._scoped and self._scoped[-1] == self._depth:
            self._scoped.pop()
            self._names.leave()
        self._depth -= 1


class PathCounter:
    """Handlers that find where the records of a document are: the path whose elements stand beside each other most often."""

    def __init__(self, parser: Any, names: Names) -> None:
        self._names = names
        self._open: list[tuple[tuple[str, ...], dict[str, int]]] = []
        self._scoped: list[int] = []
        self.most: dict[tuple[str, ...], int] = {}
        parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = self._start, self._end, None

    def _start(self, raw: str, attributes: list[str]) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise ConfigError(f"elements are nested more than {MAX_DEPTH} deep")
        if attributes and self._names.enter(attributes):
            self._scoped.append(len(self._open))
        name = self._names.element(raw)
        above, counts = self._open[-1] if self._open else ((), {})
        path = (*above, name)
        counts[name] = counts.get(name, 0) + 1
        self.most[path] = max(self.most.get(path, 0), counts[name])
        self._open.append((path, {}))

    def _end(self, _raw: str) -> None:
        self._open.pop()
        if self._scoped and self._scoped[-1] == len(self._open):
            self._scoped.pop()
            self._names.leave()

    def best(self) -> tuple[tuple[str, ...], int]:
        """The records' path, and how many stood side by side in what was read. Some that hold many win over the many."""
        if not self.most:
            return (), 0
        path = max(self.most, key=lambda one: (self.most[one], -len(one)))
        count = self.most[path]
        if count < 2:
            deeper = [one for one in self.most if len(one) == 2 and any(other[:2] == one and len(other) > 2 for other in self.most)]
            path = deeper[0] if deeper else next(iter(self.most))
            return path, 1
        for length in range(1, len(path)):
            if self.most[path[:length]] >= 2 and self.most[path[:length]] * 10 >= count:
                return path[:length], self.most[path[:length]]
        return path, count
