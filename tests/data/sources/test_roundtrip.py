"""What is written as text in any dialect, encoding and line end is read as it was."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairway.data.table import read

_LETTERS = st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"))
_TEXTS = st.text(st.one_of(_LETTERS, st.sampled_from(",;\t|\"'\\ \n")), max_size=20)
_ROWS = st.lists(
    st.tuples(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), _TEXTS, st.booleans(), st.dates()),
    min_size=1,
    max_size=20,
)
_NAMES = ("id", "x", "text", "ok", "day")
_TYPES = {"id": "int64", "x": "double", "text": "string", "ok": "bool", "day": "date"}


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    rows=_ROWS,
    separator=st.sampled_from([",", ";", "\t", "|"]),
    quote=st.sampled_from(['"', "'"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "gb18030"]),
    everything=st.booleans(),
)
def test_csv(rows: list[tuple[object, ...]], separator: str, quote: str, end: str, encoding: str, everything: bool) -> None:
    made = io.StringIO(newline="")
    writer = csv.writer(
        made,
        delimiter=separator,
        quotechar=quote,
        lineterminator=end,
        quoting=csv.QUOTE_ALL if everything or end == "\r" else csv.QUOTE_MINIMAL,
    )
    writer.writerow(_NAMES)
    for row in rows:
        writer.writerow([row[0], repr(row[1]), row[2], str(row[3]).lower(), row[4]])
    newline = {"\n": "lf", "\r\n": "crlf", "\r": "cr"}[end]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "t.csv")
        path.write_bytes(made.getvalue().encode(encoding))
        table = read(
            path, separator=separator, quote=quote, escape=quote, types=_TYPES, encoding=encoding, header=True, comment="", newline=newline
        )
        found = table.rows()
    assert [row["text"] or "" for row in found] == [row[2] for row in rows]
    assert [(row["id"], row["x"], row["ok"], row["day"]) for row in found] == [(row[0], row[1], row[3], str(row[4])) for row in rows]


_VALUES = st.fixed_dictionaries(
    {
        "n": st.none() | st.integers(-(2**63), 2**63 - 1),
        "x": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "t": st.none() | st.text(st.characters(codec="utf-8", exclude_categories=("Cs",), exclude_characters="\0"), max_size=10),
        "b": st.none() | st.booleans(),
        "l": st.none() | st.lists(st.integers(-1000, 1000), max_size=3),
    }
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=st.lists(_VALUES, min_size=1, max_size=10), ending=st.sampled_from(["parquet", "arrow", "arrows", "ndjson", "json"]))
def test_typed_formats(rows: list[dict[str, object]], ending: str) -> None:
    with_all = [*rows, {"n": 1, "x": 0.5, "t": "t", "b": True, "l": [1]}]  # a column without a single value has no type in JSON
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"t.{ending}")
        read(with_all).write(path)
        pins = {"types": {"n": "int64", "t": "string"}} if ending.endswith("json") else {}
        assert read(path, **pins).rows() == with_all
