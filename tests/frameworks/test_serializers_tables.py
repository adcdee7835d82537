"""Polars frames, and tables that go from one library to another."""

from __future__ import annotations

import datetime as dt
import decimal
import os
import sys
from importlib import import_module
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
pl = import_module("polars")
pd = import_module("pandas")
pa = import_module("pyarrow")

from serializer_rig import Rig  # noqa: E402

import fairway as fw  # noqa: E402
from fairway.errors import DefinitionError  # noqa: E402
from fairway.spec.artifact import blob_key  # noqa: E402


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


FRAME = pl.DataFrame(
    {
        "i": [1, None, 3],
        "s": ["a", None, "ü"],
        "c": pl.Series(["x", "y", None], dtype=pl.Categorical),
        "e": pl.Series(["x", "y", None], dtype=pl.Enum(["y", "x"])),
        "l": [[1], [], None],
        "st": [{"a": 1}, {"a": 2}, None],
        "d": [dt.date(2026, 1, 1), None, None],
        "t": [dt.datetime(2026, 1, 1, tzinfo=dt.UTC)] * 3,
        "du": [dt.timedelta(1)] * 3,
        "n": [None] * 3,
        "dec": [decimal.Decimal("1.50")] * 3,
        "b": [b"x", None, b""],
        "a": pl.Series([[1, 2], [3, 4], [5, 6]], dtype=pl.Array(pl.Int64, 2)),
        "tm": [dt.time(1)] * 3,
        "bool": [True, None, False],
        "f": [1.5, float("nan"), None],
    }
)


def test_polars_frames(rig: Rig) -> None:
    for frame in (FRAME, FRAME.head(0), pl.DataFrame(), FRAME.slice(1), pl.concat([FRAME, FRAME], rechunk=False)):
        back = rig.keep(frame)
        assert back.schema == frame.schema and back.equals(frame, null_equal=True)
    assert rig.save(pl.concat([FRAME, FRAME], rechunk=False)).digest == rig.save(pl.concat([FRAME, FRAME], rechunk=True)).digest


def test_polars_series_and_lazy_frames(rig: Rig) -> None:
    assert rig.keep(FRAME["i"]).equals(FRAME["i"]) and rig.keep(FRAME["i"]).name == "i"
    lazy = rig.keep(FRAME.lazy())
    assert isinstance(lazy, pl.LazyFrame) and lazy.collect().equals(FRAME)
    assert isinstance(rig.load(rig.save(FRAME), wanted="polars.LazyFrame"), pl.LazyFrame)


def test_columns_of_objects_are_refused(rig: Rig) -> None:
    with pytest.raises(DefinitionError, match="column 'o' holds Python objects"):
        rig.save(pl.DataFrame({"o": [object()]}))


def test_a_large_frame_is_mapped(rig: Rig) -> None:
    frame = pl.DataFrame({"x": range(300_000), "y": [0.5] * 300_000})
    ref = rig.save(frame)
    back = rig.load(ref)
    path = os.path.realpath(str(rig.store.local_path(blob_key(ref.digest))))
    spans = [line.split()[0].split("-") for line in Path("/proc/self/maps").read_text().splitlines() if path in line]
    at = back["x"].to_numpy().ctypes.data
    assert any(int(low, 16) <= at < int(high, 16) for low, high in spans)
    assert back.equals(frame)


def test_tables_from_one_library_to_another(rig: Rig) -> None:
    frame = pd.DataFrame({"a": [1.0, None], "s": ["x", None]}, index=pd.Index(["k", "l"], name="key"))
    ref = rig.save(frame)
    assert rig.load(ref, wanted="polars.DataFrame").to_dict(as_series=False) == {"a": [1.0, None], "s": ["x", None], "key": ["k", "l"]}
    assert rig.load(ref, wanted="pyarrow.Table").column_names == ["a", "s", "key"]
    assert rig.load(rig.save(frame.reset_index(drop=True)), wanted="polars.DataFrame").columns == ["a", "s"]
    polars = rig.save(FRAME.select("i", "s", "t"))
    assert list(rig.load(polars, wanted="pandas.DataFrame").columns) == ["i", "s", "t"]
    arrow = rig.save(pa.table({"a": [1, 2]}))
    assert rig.load(arrow, wanted="polars.DataFrame")["a"].to_list() == [1, 2]
    assert rig.load(arrow, wanted="pandas.DataFrame")["a"].tolist() == [1, 2]


@pytest.mark.parametrize("rows", [[{"a": 1, "b": "x"}, {"a": 2.5}], []])
def test_a_small_table_is_read_as_the_data_frame_that_is_asked_for(rig: Rig, rows: list[dict[str, object]]) -> None:
    ref = rig.save(fw.Table(rows, ["a", "b"], title="T"))
    frame = rig.load(ref, wanted="pandas.DataFrame")
    assert isinstance(frame, pd.DataFrame) and list(frame.columns) == ["a", "b"]
    assert frame.to_dict("list") == ({"a": [1.0, 2.5], "b": ["x", None]} if rows else {"a": [], "b": []})
    wanted = [{"a": row["a"], "b": row.get("b")} for row in rows]
    assert rig.load(ref, wanted="pyarrow.Table").to_pylist() == wanted
    assert rig.load(ref, wanted="polars.DataFrame").to_dicts() == wanted
    assert rig.load(ref, wanted="polars.LazyFrame | None").collect().to_dicts() == wanted
    assert rig.load(ref, wanted="fairway.Table").title == rig.load(ref).title == "T"
