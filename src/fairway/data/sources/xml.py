"""XML: one row for each record at a path; attributes and nested elements become columns. Read in a stream, checked by expat."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, cast
from xml.parsers import expat

import numpy as np

from fairway.data.sources import files, new_rejects
from fairway.data.sources.rowbuilder import Chunk, RowSource, infer
from fairway.data.sources.unpacking import Limits, find_packing, unpacked
from fairway.data.sources.utf8texts import Utf8Texts
from fairway.data.sources.xmlevents import Names, PathCounter, Walker
from fairway.data.sources.xmltokens import Bulk, BulkReader, lines_of
from fairway.errors import ConfigError, UserError

BLOCK_BYTES = 1 << 20
_FIRST_BYTES = 1 << 16
MAX_RECORD_BYTES = 64 << 20
_MAX_TAG_BYTES = 16 << 20
_BULK_BYTES = 8 << 20  # a buffer in which not even one record ends is read by events, which need not see it again
_LOOKED_BYTES = 4 << 20
SAMPLE_ROWS = 5_000
MAX_COLUMNS = 10_000
_DECLARED = re.compile(rb"<\?xml[^>]*?encoding\s*=\s*[\"']([A-Za-z0-9._-]+)[\"']")
_BOMS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\0\0\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)


def open(uri: str | Sequence[str], options: dict[str, Any]) -> RowSource:
    """Options: records="/catalog/book", namespaces={"s": "http://…"}, types, encoding, sample_rows. Raises ConfigError."""
    paths = files.expand(uri, ("xml",))
    named = uri if isinstance(uri, str) else uri[0]
    namespaces = options.get("namespaces") or None
    if namespaces is not None and not isinstance(namespaces, Mapping):
        raise ConfigError("namespaces= is a dict of prefixes", hint='namespaces={"s": "http://example.org/shop"}')
    documents = [_Document(path, options, namespaces) for path in paths]
    path, notes = _records_path(documents[0], options.get("records", ""))
    for one in documents:
        one.path = path
    sampled = _sampled(documents[0], int(options.get("sample_rows", SAMPLE_ROWS)))
    types = cast("dict[str, str]", dict(options.get("types") or {}))
    columns: dict[str, list[Any]] = {name: [] for name in types} | sampled
    if not columns:
        raise ConfigError(f"{named} has no record at /{'/'.join(path)}", hint='say where the records are: records="/root/record"')
    fields = infer(columns, texts=True, types=types)
    lists = {one.name for one in fields if one.kind == "list"}
    rejects = new_rejects(named, options)

    def read(wanted: Sequence[str] | None) -> Iterator[Chunk]:
        known = {one.name for one in fields}
        for one in documents:
            for part in one.chunks():
                yield _to_chunk(part, known, lists, wanted)

    return RowSource(fields, read, rejects, tuple(notes), texts=True, format="xml")


class _Part:
    """Records that were read together. `lines` are found when somebody asks."""

    def __init__(self, columns: Mapping[str, tuple[Any, Sequence[Any]]], rows: int, lines: Callable[[], list[int]]) -> None:
        self.columns, self.rows, self.lines = columns, rows, lines


class _Lines(Sequence[int]):
    def __init__(self, made: Callable[[], list[int]], rows: int) -> None:
        self._made, self._rows, self._known = made, rows, cast("list[int] | None", None)

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, place: Any) -> Any:
        if self._known is None:
            self._known = self._made()
        return self._known[place]


class _Document:
    """One file, read from its beginning by each call of `chunks`."""

    def __init__(self, file: str, options: Mapping[str, Any], namespaces: Mapping[str, str] | None) -> None:
        self._file, self._options, self._namespaces = file, options, namespaces
        self._max_record = int(options.get("max_record_bytes", MAX_RECORD_BYTES))
        self.path: tuple[str, ...] = ()

    def count_paths(self) -> PathCounter:
        """Where elements stand beside each other, in the first megabytes."""
        parser = _new_parser()
        counter = PathCounter(parser, Names(self._namespaces))
        seen = 0
        with self._blamed(parser):
            for block in self._blocks():
                parser.Parse(block, False)
                _check_progress(parser, seen := seen + len(block))
                if seen >= _LOOKED_BYTES:
                    return counter
            parser.Parse(b"", True)
        return counter

    def chunks(self) -> Iterator[_Part]:
        """The records, in the document's order."""
        parser = _new_parser()
        with self._blamed(parser):
            yield from _Reader(parser, self.path, Names(self._namespaces), self._max_record).read(self._blocks())

    def _blocks(self) -> Iterator[bytes]:
        yield from _utf8_blocks(_pieces(self._file, self._options), str(self._options.get("encoding", "")), self._file)

    def _blamed(self, parser: Any) -> _Blame:
        return _Blame(self._file, parser)


class _Blame:
    """Gives errors of a parser the file and the line."""

    def __init__(self, file: str, parser: Any) -> None:
        self._file, self._parser = file, parser

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, expat.ExpatError):
            said = expat.ErrorString(error.code)
            cut = said in ("no element found", "unclosed token", "unclosed CDATA section", "partial character")
            raise ConfigError(
                f"the file ends in the middle of the document: it was cut off, or is empty ({said})"
                if cut
                else f"this is not well-formed XML: {said}",
                where=f"{self._file}:{error.lineno}",
                hint="records before it can be read; what comes after it cannot be trusted"
                if not cut
                else "write it again, or copy it again",
            ) from None
        if isinstance(error, UserError) and not error.where:
            error.where = f"{self._file}:{self._parser.CurrentLineNumber}"


class _Reader:
    """Takes whole records in bulk where the markup is plain, else by expat's events; expat sees every byte in either case."""

    def __init__(self, parser: Any, path: tuple[str, ...], names: Names, max_record: int) -> None:
        self._parser, self._names, self._max_record = parser, names, max_record
        self._walker = Walker(parser, path, names, max_record)
        self._record = path[-1]
        self._bulk = BulkReader(self._record, names)
        self._scope = names.scopes[-1]
        self._line = 1
        self._fed = 0

    def read(self, blocks: Iterator[bytes]) -> Iterator[_Part]:
        carry = b""
        for block in blocks:
            buffer = carry + block if carry else block
            carry = b""
            while buffer:
                bulk = self._in_bulk(buffer)
                if bulk is None:
                    head, buffer = self._before_last_record(buffer)
                    yield from self._by_events(head)
                    carry = buffer
                    break
                if not bulk.cut:
                    carry = buffer
                    break
                yield from self._checked(buffer, bulk)
                buffer = buffer[bulk.cut :]
                carry = buffer
                if b">" not in buffer:
                    break
        yield from self._by_events(carry, final=True)

    def _in_bulk(self, buffer: bytes) -> Bulk | None:
        if not self._walker.between or self._parser.CurrentByteIndex != self._fed or len(buffer) > _BULK_BYTES:
            return None  # within a record, or within a comment or tag of which expat waits for the rest
        if self._scope is not self._names.scopes[-1]:
            self._bulk, self._scope = BulkReader(self._record, self._names), self._names.scopes[-1]
        return self._bulk.read(buffer)

    def _checked(self, buffer: bytes, bulk: Bulk) -> Iterator[_Part]:
        head = buffer[: bulk.cut]
        self._feed(head, final=False)
        first = self._line
        self._line += head.count(b"\n")
        if len(bulk.starts):
            yield _Part(bulk.columns, len(bulk.starts), lambda: lines_of(head, bulk.starts, first))

    def _before_last_record(self, buffer: bytes) -> tuple[bytes, bytes]:
        """Cut where the last record begins, as far as one can tell, so that reading in bulk may go on there."""
        place = buffer.rfind(b"<" + (self._walker.raw or self._record).encode())
        return (buffer[:place], buffer[place:]) if place > 0 else (buffer, b"")

    def _by_events(self, head: bytes, *, final: bool = False) -> Iterator[_Part]:
        self._walker.attach()
        self._feed(head, final=final)
        self._walker.detach()
        self._line += head.count(b"\n")
        taken = self._walker.take()
        if taken.lines:
            yield _Part(taken.columns, len(taken.lines), lambda: taken.lines)

    def _feed(self, data: bytes, *, final: bool) -> None:
        self._parser.Parse(data, final)
        self._fed += len(data)
        if not final:
            _check_progress(self._parser, self._fed)


def _check_progress(parser: Any, fed: int) -> None:
    if fed - max(parser.CurrentByteIndex, 0) > _MAX_TAG_BYTES + BLOCK_BYTES:
        raise ConfigError(f"one tag, comment or attribute has more than {_MAX_TAG_BYTES >> 20} MB", hint="is this XML?")


def _new_parser() -> Any:
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.buffer_size = 1 << 16
    parser.ordered_attributes = True
    parser.EntityDeclHandler = _refuse_entity
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.SkippedEntityHandler = _refuse_skipped
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    return parser


def _refuse_entity(name: str, *_: Any) -> None:
    raise ConfigError(
        f"the document declares an entity, {name!r}",
        hint="entities are not read: they may stand for gigabytes, or for other files. Write out what they mean",
    )


def _refuse_doctype(name: str, system: str | None, public: str | None, has_subset: int) -> None:
    del system, public
    if has_subset:
        raise ConfigError(f"the document brings its own DTD (<!DOCTYPE {name} […]>)", hint="take it out: what it declares is not read")


def _refuse_skipped(name: str, is_parameter: int) -> None:
    del is_parameter
    raise ConfigError(f"the entity &{name}; is declared outside of the document, where nothing is read", hint="write out what it means")


def _pieces(file: str, options: Mapping[str, Any]) -> Iterator[bytes]:
    """The unpacked bytes, in blocks; the first is small, so that what is read in bulk begins soon."""
    packing = find_packing(file, files.head(file, 16), str(options.get("compression") or ""))
    made, wanted = bytearray(), _FIRST_BYTES
    with files.reader(file) as stream:
        for piece in unpacked(stream, packing, file, Limits.parse(dict(options))):
            made += piece
            if len(made) >= wanted:
                yield bytes(made)
                made, wanted = bytearray(), BLOCK_BYTES
    yield bytes(made)


def _utf8_blocks(pieces: Iterator[bytes], encoding: str, file: str) -> Iterator[bytes]:
    """The document as UTF-8 with plain line ends, in blocks, whatever encoding it says it has."""
    first = next(pieces)
    name = encoding or _encoding_of(first)
    try:
        decoder = None if codecs.lookup(name).name in ("utf-8", "ascii", "utf-8-sig") else codecs.getincrementaldecoder(name)("strict")
    except LookupError:
        raise ConfigError(f"there is no encoding {name!r}", where=f"{file}:1", hint="name the right one with encoding=") from None
    returned = False
    for block in chain([first], pieces):
        if not block:
            continue
        made = block if decoder is None else _decoded(decoder, block, file, name)
        if returned:
            made = b"\r" + made
        returned = made.endswith(b"\r")
        if returned:
            made = made[:-1]
        yield made.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in made else made
    if decoder is not None:
        _decoded(decoder, b"", file, name, final=True)
    if returned:
        yield b"\n"


def _decoded(decoder: codecs.IncrementalDecoder, block: bytes, file: str, name: str, *, final: bool = False) -> bytes:
    try:
        return decoder.decode(block, final).encode()
    except UnicodeError as error:
        raise ConfigError(
            f"the document is not the {name} that it says it is: {error}", where=file, hint="name the right one with encoding="
        ) from None


def _encoding_of(first: bytes) -> str:
    for mark, name in _BOMS:
        if first.startswith(mark):
            return "utf-16" if "16" in name else "utf-32" if "32" in name else name
    if first[:4] in (b"<\0?\0", b"<\0\0\0"):
        return "utf-16-le"
    if first[:2] == b"\0<":
        return "utf-16-be"
    found = _DECLARED.match(first[:1024])
    name = found[1].decode("ascii") if found else "utf-8"
    return "utf-8" if name.lower().startswith(("utf-16", "utf16", "utf-32", "ucs")) else name  # else these letters could not have been read


def _records_path(document: _Document, said: Any) -> tuple[tuple[str, ...], list[str]]:
    if not isinstance(said, str):
        raise ConfigError(f"records={said!r} is no path", hint='records="/catalog/book"')
    wanted = tuple(part for part in said.split("/") if part)
    if said.startswith("/") and wanted:
        return wanted, []
    counter = document.count_paths()
    if wanted:
        for path in counter.most:
            if path[-len(wanted) :] == wanted:
                return path, []
        near = ", ".join(sorted({"/" + "/".join(path) for path in counter.most})[:8])
        raise ConfigError(f"the document has no element {said!r}", hint=f"it has {near}")
    path, count = counter.best()
    where = "/" + "/".join(path)
    return path, [f"records are at {where}, of which {count:,} stand side by side in what was looked at; pin it with records={where!r}"]


def _sampled(document: _Document, rows: int) -> dict[str, list[Any]]:
    made: dict[str, list[Any]] = {}
    seen = 0
    for part in document.chunks():
        for name, (where, values) in part.columns.items():
            made.setdefault(name, []).extend(_grouped(where, values))
        if len(made) > MAX_COLUMNS:
            raise ConfigError(
                f"the first records have {len(made):,} different attributes and elements: a table has {MAX_COLUMNS:,} columns at most",
                hint='say where the records are: records="/root/record"',
            )
        seen += part.rows
        if seen >= rows:
            break
    return made


def _grouped(rows: Any, values: Sequence[Any]) -> list[Any]:
    """The values by row: several of one row as a list."""
    made: list[Any] = []
    before = -1
    for row, value in zip(rows if isinstance(rows, list) else rows.tolist(), _plain(values), strict=True):
        if row != before:
            made.append(value)
        elif isinstance(made[-1], list):
            made[-1].append(value)
        else:
            made[-1] = [made[-1], value]
        before = row
    return made


def _to_chunk(part: _Part, known: set[str], lists: set[str], wanted: Sequence[str] | None) -> Chunk:
    names = known if wanted is None else set(wanted)
    columns = {name: _dense(part.rows, rows, values, many=name in lists) for name, (rows, values) in part.columns.items() if name in names}
    unknown = {name: list(map(int, rows)) for name, (rows, _) in part.columns.items() if name not in known}
    return Chunk(part.rows, columns, _Lines(part.lines, part.rows), unknown)


def _plain(values: Sequence[Any]) -> Sequence[Any]:
    return values.strings() if isinstance(values, Utf8Texts) else values


def _dense(count: int, rows: Any, values: Sequence[Any], *, many: bool) -> Sequence[Any]:
    if not many and len(rows) == count and bool((np.diff(rows) == 1).all()):
        return values
    made: list[Any] = [None] * count
    for row, value in zip(rows if isinstance(rows, list) else rows.tolist(), _plain(values), strict=True):
        before = made[row]
        if many:
            if before is None:
                made[row] = [value]
            else:
                before.append(value)
        elif before is None:
            made[row] = value
        else:
            made[row] = [*before, value] if isinstance(before, list) else [before, value]
    return made
