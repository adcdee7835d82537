"""What NDJSON and JSON share: records as columns, flat, with types from the first of them; texts that are times become times."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

from fairway.data.sources import new_rejects
from fairway.data.sources.columntypes import named_type
from fairway.data.sources.dialect import distinct_names
from fairway.data.sources.rejects import Rejects
from fairway.data.sources.rowbuilder import Chunk, RowSource, flat, gathered, infer
from fairway.data.sources.texttypes import READERS, type_of_texts
from fairway.errors import ConfigError

CHUNK_ROWS = 8_192
_TIMES = ("timestamp[us]", "timestamp[us, UTC]", "date32[day]")
_ARROW = {"date": "date32[day]", "timestamp": "timestamp[us]", "timestamptz": "timestamp[us, UTC]", "time": "time[us]"}
_DEEPEST = 64
Record = tuple[int, Any]
"""The line that a record begins on, and its value."""


def record_source(
    uri: str, options: dict[str, Any], read: Callable[[Rejects], Iterator[Record]], notes: list[str], format_name: str
) -> RowSource:
    """A source over records that `read` yields anew each time; it hands what is no JSON to the rejects that it is given."""
    looked = int(options.get("sample_rows", 5_000))
    silent = Rejects(uri)
    silent.limit = type(silent.limit)(unlimited=True)
    try:
        first = list(islice(read(silent), looked))
    finally:
        silent.close()
        if silent.file is not None:
            silent.file.unlink(missing_ok=True)
    sample = gathered(flattened for _, value in first if (flattened := _flat(value)) is not None)
    if not sample and first:
        raise ConfigError(
            f"{uri} holds no objects", hint='rows are objects, like {"a": 1, "b": "x"}; where they lie deeper, records="path.to.them"'
        )
    if not sample and silent.rows:
        one = silent.rows[0]
        raise ConfigError(
            f"no row can be read: {one.reason}", where=f"{uri}:{one.line}", hint="is it of another format? name it with format="
        )
    if not sample:
        raise ConfigError(f"{uri} holds no rows", hint="a file without a single row says nothing of its columns")
    renamed = {name: made for name, made in zip(sample, distinct_names(list(sample), notes), strict=True) if name != made}
    sample = {renamed.get(name, name): values for name, values in sample.items()}
    types = {name: _ARROW.get(named_type(said, name), named_type(said, name)) for name, said in dict(options.get("types") or {}).items()}
    sample = {name: sample.get(name, []) for name in dict.fromkeys((*sample, *types))}
    times = _times(sample, types)
    fields = infer({name: _turned(values, times.get(name, "")) for name, values in sample.items()}, types=types)
    rejects = new_rejects(uri, options)
    if times:
        notes.append(
            f"texts of {', '.join(map(repr, list(times)[:5]))} are read as times; pin them with types={{{next(iter(times))!r}: 'string'}}"
        )

    def chunks(_wanted: Sequence[str] | None) -> Iterator[Chunk]:
        records = read(rejects)
        known = {one.name for one in fields}
        while some := list(islice(records, CHUNK_ROWS)):
            yield _chunk(some, known, times, renamed, rejects)

    return RowSource(fields, chunks, rejects, tuple(notes), format=format_name)


def _chunk(some: list[Record], known: set[str], times: Mapping[str, str], renamed: Mapping[str, str], rejects: Rejects) -> Chunk:
    lines: list[int] = []
    rows: list[dict[str, Any]] = []
    for line, value in some:
        flattened = _flat(value)
        if flattened is None:
            rejects.add(
                line, "", str(value)[:200], "is no object" if not isinstance(value, Mapping) else f"is nested deeper than {_DEEPEST}"
            )
        else:
            lines.append(line)
            rows.append(flattened)
    columns = gathered(rows)
    columns = {renamed.get(name, name): values for name, values in columns.items()} if renamed else columns
    unknown = {name: [n for n, one in enumerate(values) if one is not None] for name, values in columns.items() if name not in known}
    for name, arrow in times.items():
        if name in columns:
            columns[name] = _turned(columns[name], arrow)
    return Chunk(len(rows), columns, lines, {name: found for name, found in unknown.items() if found} or None)


def _flat(value: Any) -> dict[str, Any] | None:
    """Dotted names; None for what is no object, or one too deep."""
    if not isinstance(value, Mapping) or _depth(value) > _DEEPEST:
        return None
    return flat(value)


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level and depth <= _DEEPEST:
        depth += 1
        level = list(
            chain.from_iterable(one.values() if isinstance(one, Mapping) else one for one in level if isinstance(one, Mapping | list))
        )
        level = [one for one in level if isinstance(one, Mapping | list)]
    return depth


def _times(sample: Mapping[str, list[Any]], types: Mapping[str, str]) -> dict[str, str]:
    made: dict[str, str] = {}
    for name, values in sample.items():
        texts = [one for one in values if one is not None]
        pinned = types.get(name)
        if pinned is not None:
            if pinned in _TIMES:
                made[name] = pinned
            continue
        if texts and all(isinstance(one, str) for one in texts):
            found = type_of_texts(texts)
            if found in _TIMES and all(one.strip() for one in texts):
                made[name] = found
    return made


def _turned(values: list[Any], arrow: str) -> list[Any]:
    """Texts that are times, as times; what is none stays what it is, and does not fit."""
    if not arrow:
        return values
    read = READERS[arrow]
    made: list[Any] = []
    for one in values:
        try:
            made.append(read(one) if isinstance(one, str) else one)
        except ValueError:
            made.append(one)
    return made
