"""pandas data frames and series as Arrow files that every Arrow tool reads, and that come back exactly as they were.

Columns stand under their own names (made unique where they are not), index levels after them. A note in the schema's metadata says what
Arrow cannot: pandas' dtypes, the index, labels that are not strings.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fairway.errors import DefinitionError
from fairway.step import plainjson
from fairway.step.serializers import arrow_file, pandas_columns

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NOTE = b"fairway.pandas"


class PandasArrow:
    """pandas.DataFrame and pandas.Series <-> Arrow IPC; other tools' Arrow files are read as data frames."""

    format, suffix, types = "arrow", ".arrow", ("pandas.DataFrame", "pandas.Series")

    def write(self, value: Any, path: Path) -> Mapping[str, Any]:
        try:
            return self._write(value, path, arrow_file.Strided())
        except arrow_file.Unwritten:
            return self._write(value, path, None)

    def _write(self, value: Any, path: Path, strided: arrow_file.Strided | None) -> Mapping[str, Any]:
        import pandas as pd

        series = isinstance(value, pd.Series)
        note: dict[str, Any] = {"version": 1}
        if series:
            note["series"] = True
            arrays, names = [value.array], [_series_name(value.name, note)]
            notes: list[Any] = []
        else:
            arrays = [value.iloc[:, n].array for n in range(value.shape[1])]
            names = _column_names(value.columns, note)
            notes = []
        columns = []
        for array, name in zip(arrays, names, strict=True):
            column, about = pandas_columns.to_arrow(array, name, strided)
            columns.append(column)
            notes.append(about)
        note["columns"] = notes
        note["index"] = _index_to_arrow(value.index, columns, names)
        if value.attrs:
            note["attrs"] = _attrs(value.attrs)
        note["rows"] = len(value)
        return {
            **_write(columns, names, note, path, strided),
            "rows": len(value),
            "columns": [str(c) for c in names[: len(arrays)]][:50],
        }

    def read(self, path: Path, wanted: str, meta: Mapping[str, Any]) -> Any:
        if wanted.startswith(("polars.", "pyarrow.")):
            from fairway.step.serializers import arrow_table

            return arrow_table.from_pandas_file(path, wanted)
        return read_pandas(path)


def read_pandas(path: Path) -> Any:
    """The data frame (or series) of an Arrow file, mapped into memory; columns of numbers are not copied."""
    import pandas as pd

    file = arrow_file.Mapping(path)
    table = file.table
    found = (table.schema.metadata or {}).get(NOTE)
    if found is None:
        return table.to_pandas(split_blocks=True)
    note = json.loads(found)
    arrays = [_chunk(column) for column in table.columns]
    count = len(note["columns"])
    columns = [pandas_columns.from_arrow(a, n, file) for a, n in zip(arrays, note["columns"], strict=False)]
    index = _index_from_arrow(note["index"], arrays[count:], file)
    attrs = _plain(note["attrs"]) if "attrs" in note else {}
    # A Series each, of a dtype that is told: pandas would guess anew what an array of objects holds.
    series = [pd.Series(column, index=index, dtype=column.dtype, copy=False) for column in columns]
    if note.get("series"):
        made: Any = series[0]
        made.name = _plain(note["label"]) if "label" in note else table.schema.names[0]
    else:
        made = pd.DataFrame(dict(enumerate(series)), index=index, copy=False)
        made.columns = _columns_index(note, table.schema.names[:count])
    made.attrs = attrs
    return made


def _chunk(column: Any) -> Any:
    import pyarrow as pa

    return column.chunk(0) if column.num_chunks == 1 else pa.array([], column.type) if column.num_chunks == 0 else column.combine_chunks()


def _write(columns: list[Any], names: list[str], note: dict[str, Any], path: Path, strided: arrow_file.Strided | None) -> dict[str, Any]:
    import pyarrow as pa

    fields = [pa.field(name, column.type) for name, column in zip(names, columns, strict=True)]
    schema = pa.schema(fields, metadata={NOTE: json.dumps(note, separators=(",", ":")).encode()})
    batches = [pa.record_batch(columns, schema=schema)] if columns else []
    return arrow_file.write(schema, batches, path, strided)


def _series_name(name: Any, note: dict[str, Any]) -> str:
    if type(name) is str:
        return name
    note["label"] = _encoded(name, "the series' name")
    return "values" if name is None else str(name)


def _column_names(columns: Any, note: dict[str, Any]) -> list[str]:
    """Names for Arrow; where they do not say all about pandas' own labels, the note does."""
    labels = columns.tolist()
    plain = all(type(label) is str for label in labels) and len(set(labels)) == len(labels)
    simple = plain and columns.nlevels == 1 and columns.name is None and str(columns.dtype) in ("object", "str")
    if simple:
        note["labels"] = {"dtype": str(columns.dtype)}
    else:
        note["labels"] = _labels(columns)
    taken: set[str] = set()
    names = []
    for label in labels:
        name = base = _utf8(".".join(map(str, label)) if isinstance(label, tuple) else str(label))
        number = 1
        while name in taken:
            number += 1
            name = f"{base}.{number}"
        taken.add(name)
        names.append(name)
    if simple and names != labels:
        note["labels"] = _labels(columns)
    return names


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _labels(columns: Any) -> dict[str, Any]:
    """An index of labels as a small Arrow file inside the note: any dtype, any number of levels."""
    import base64

    import pyarrow as pa

    arrays: list[Any] = []
    names: list[str] = []
    about = _index_to_arrow(columns, arrays, names)
    if not arrays:
        return {"index": about}
    sink = pa.BufferOutputStream()
    batch = pa.record_batch(arrays, names=names)
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return {"index": about, "arrow": base64.b64encode(sink.getvalue()).decode()}


def _columns_index(note: dict[str, Any], names: list[str]) -> Any:
    import base64

    import pandas as pd
    import pyarrow as pa

    labels = note["labels"]
    if "index" not in labels:
        return pd.Index(names, dtype=labels["dtype"])
    arrays: list[Any] = []
    if "arrow" in labels:
        table = pa.ipc.open_stream(base64.b64decode(labels["arrow"])).read_all()
        arrays = [_chunk(column) for column in table.columns]
    return _index_from_arrow(labels["index"], arrays, None)


def _index_to_arrow(index: Any, columns: list[Any], names: list[str]) -> dict[str, Any]:
    """What to note of an index; its values, if they are more than a range, join `columns`."""
    about: dict[str, Any] = {"names": [_encoded(name, "the index's name") for name in index.names]}
    if type(index).__name__ == "RangeIndex":
        return {**about, "range": [index.start, index.stop, index.step]}
    multi = type(index).__name__ == "MultiIndex"
    levels = [index.get_level_values(n) for n in range(index.nlevels)] if multi else [index]
    about["levels"] = []
    for number, level in enumerate(levels):
        name = base = f"__index_{number}__" if level.name is None else _utf8(str(level.name))
        while name in names:
            name = f"__index_{number}_{base}__" if name == base else f"_{name}"
        column, note = pandas_columns.to_arrow(level.array, name)
        columns.append(column)
        names.append(name)
        about["levels"].append(note)
    if multi:
        about["multi"] = True
    freq = getattr(index, "freq", None) if type(index).__name__ in ("DatetimeIndex", "TimedeltaIndex") else None
    if freq is not None:
        about["freq"] = freq.freqstr
    return about


def _index_from_arrow(about: dict[str, Any], arrays: list[Any], file: Any) -> Any:
    import pandas as pd

    names = [_plain(name) for name in about["names"]]
    if "range" in about:
        return pd.RangeIndex(*about["range"], name=names[0])
    levels = [pandas_columns.from_arrow(a, n, file) for a, n in zip(arrays, about["levels"], strict=True)]
    if "multi" in about:
        return pd.MultiIndex.from_arrays([pandas_columns.as_index(v, None) for v in levels], names=names)
    index = pandas_columns.as_index(levels[0], names[0])
    if "freq" in about:
        try:
            index.freq = about["freq"]
        except ValueError:
            index = type(index)(index, freq=None, name=names[0])
    return index


def _encoded(value: Any, what: str) -> Any:
    try:
        return plainjson.encode(value, _refuse)
    except plainjson.NotJson:
        raise DefinitionError(
            f"{what} is a {type(value).__name__}, which cannot be stored", hint="use strings, numbers or dates for names"
        ) from None


def _attrs(attrs: dict[Any, Any]) -> Any:
    try:
        return plainjson.encode(dict(attrs), _refuse)
    except plainjson.NotJson as error:
        raise DefinitionError(
            f"df.attrs holds a {type(error.value).__name__}, which cannot be stored with the table", hint="clear it: df.attrs = {}"
        ) from None


def _refuse(value: Any) -> Any:
    raise plainjson.NotJson(value)


def _plain(value: Any) -> Any:
    return plainjson.parse(plainjson.dump_plain(value))
