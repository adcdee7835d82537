"""Data frames and series come back exactly: values, dtypes, index, labels, attributes."""

from __future__ import annotations

import datetime as dt
import decimal
import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairway.errors import DefinitionError
from fairway.spec.artifact import blob_key
from fairway.step import artifacts
from fairway.step.folder import FolderArtifactStore

np = import_module("numpy")
pd = import_module("pandas")
pa = import_module("pyarrow")

Keep = Callable[..., Any]


def same(a: Any, b: Any) -> None:
    check = pd.testing.assert_series_equal if isinstance(a, pd.Series) else pd.testing.assert_frame_equal
    check(a, b, check_exact=True, check_freq=True, check_column_type=True, check_index_type=True) if not isinstance(
        a, pd.Series
    ) else check(a, b, check_exact=True)
    assert type(a.index) is type(b.index) and a.index.names == b.index.names
    assert a.attrs == b.attrs


ROWS = 3
STAMPS = ["2026-01-01", None, "1970-06-01 12:00:00.123456"]
COLUMNS: dict[str, Any] = {
    **{
        k: np.array([0, 1, 100], dtype=k)
        for k in ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "?", "c8", "c16", ">i4", ">f8")
    },
    "nan": np.array([np.nan, -0.0, np.inf]),
    "strided": np.arange(9.0).reshape(3, 3)[:, 1],
    "naive": pd.to_datetime(STAMPS, format="ISO8601"),
    "seconds": np.array(["2026-01-01", "NaT", "1900-01-01"], dtype="M8[s]"),
    "berlin": pd.to_datetime(STAMPS, format="ISO8601").tz_localize("Europe/Berlin"),
    "utc": pd.to_datetime(STAMPS, format="ISO8601").tz_localize("UTC"),
    "offset": pd.to_datetime(STAMPS, format="ISO8601").tz_localize(dt.timezone(dt.timedelta(hours=5, minutes=30))),
    "delta": pd.to_timedelta([1, None, -5], unit="ms"),
    "category": pd.Categorical(["u", None, "v"], categories=["v", "u", "w"]),
    "ordered": pd.Categorical([3, 1, None], categories=[3, 1, 2], ordered=True),
    "category of dates": pd.Categorical(pd.to_datetime(["2026-01-01", "2026-01-02", None])),
    "no categories": pd.Categorical([None, None, None]),
    "str": pd.array(["a", None, "ü🦊"], dtype="str"),
    "string": pd.array(["a", None, ""], dtype="string"),
    "string python": pd.array(["a", None, ""], dtype=pd.StringDtype("python")),
    "objects of str": np.array(["a", None, ""], dtype=object),
    "objects with nan": np.array(["a", float("nan"), ""], dtype=object),
    "objects with both": np.array(["a", float("nan"), None], dtype=object),
    "bytes": np.array([b"a", None, b"\x00" * 3000], dtype=object),
    "bools": np.array([True, None, False], dtype=object),
    "mixed": np.array([1, "a", (2, b"x" * 2000)], dtype=object),
    "lists": pd.Series([[1, 2], [], None]).array,
    "dicts": pd.Series([{"a": 1}, {"b": [2]}, {}]).array,
    "vectors": pd.Series([np.arange(3.0), np.arange(2.0), np.arange(0.0)]).array,
    "dates": np.array([dt.date(2026, 1, 1), None, dt.date(1, 1, 1)], dtype=object),
    "decimals": np.array([decimal.Decimal("1.10"), None, decimal.Decimal("2e10")], dtype=object),
    "huge": np.array([10**30, 1, None], dtype=object),
    "surrogate": np.array(["\ud800", "a", None], dtype=object),
    "Int64": pd.array([1, None, 3], dtype="Int64"),
    "UInt8": pd.array([1, None, 3], dtype="UInt8"),
    "Float32": pd.array([1.5, None, 3], dtype="Float32"),
    "boolean": pd.array([True, None, False], dtype="boolean"),
    "arrow int": pd.array([1, None, 3], dtype="int32[pyarrow]"),
    "arrow list": pd.array([[1], None, [2, 3]], dtype=pd.ArrowDtype(pa.list_(pa.int64()))),
    "period": pd.PeriodIndex(["2026-01", None, "2026-03"], freq="M").array,
    "interval": pd.arrays.IntervalArray.from_tuples([(0, 1), None, (2, 5)], closed="left"),
    "interval of times": pd.interval_range(pd.Timestamp("2026"), periods=3).array,
    "sparse": pd.arrays.SparseArray([0, 0, 5]),
    "sparse nan": pd.arrays.SparseArray([np.nan, 1.0, np.nan]),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_every_dtype(keep: Keep, name: str) -> None:
    values = COLUMNS[name]
    frame = pd.DataFrame({name: pd.Series(values, dtype=object) if values.dtype == object else values})
    back = keep(frame)
    same(frame, back)
    assert str(back[name].dtype) == str(frame[name].dtype)
    if back[name].dtype == object:
        assert [type(v) for v in back[name]] == [type(v) for v in frame[name]]
    same(frame[name], keep(frame[name]))
    same(frame.head(0), keep(frame.head(0)))
    same(frame.iloc[::-1], keep(frame.iloc[::-1]))
    if name not in ("lists", "dicts", "vectors", "mixed", "sparse", "sparse nan", "f2"):
        dtype = object if frame[name].dtype == object else None
        indexed = pd.DataFrame({"x": [1, 2, 3]}, index=pd.Index(COLUMNS[name], dtype=dtype, name="key"))
        same(indexed, keep(indexed))


INDEXES: dict[str, Any] = {
    "range": pd.RangeIndex(2, 8, 2, name="n"),
    "ints": pd.Index([5, 3, 3]),
    "named": pd.Index(["a", "b", None], name="key"),
    "named as a column": pd.Index([1, 2, 3], name="x"),
    "dates with freq": pd.date_range("2026", periods=3, freq="D"),
    "business days": pd.bdate_range("2026", periods=3),
    "hours in Berlin": pd.date_range("2026-03-29", periods=3, freq="h", tz="Europe/Berlin"),
    "deltas": pd.timedelta_range("1h", periods=3),
    "levels": pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)], names=["l", None]),
    "levels with none": pd.MultiIndex.from_arrays([pd.to_datetime(["2026", None, "2027"]), ["a", None, "c"]], names=[("t", 1), 5]),
    "one level": pd.MultiIndex.from_arrays([[1, 2, 3]], names=["only"]),
    "categories": pd.CategoricalIndex(["a", "b", "a"]),
    "tuple name": pd.Index([1, 2, 3], name=("a", 1)),
}


@pytest.mark.parametrize("name", INDEXES)
def test_every_index_as_rows_and_as_columns(keep: Keep, name: str) -> None:
    rows = pd.DataFrame({"x": [1.0, 2.0, 3.0], "y": ["a", "b", "c"]}, index=INDEXES[name])
    same(rows, keep(rows))
    columns = pd.DataFrame(np.eye(3), columns=INDEXES[name])
    same(columns, keep(columns))
    same(rows["x"], keep(rows["x"]))


@pytest.mark.parametrize(
    "columns",
    [
        ["a", "a", "a"],
        [0, 1, 2],
        ["a", 1, None],
        [1.5, "x", (1, 2)],
        ["", " ", "ü\n"],
        ["a", "a.2", "a"],
        ["x", "__index_0__", "\ud800"],
        [True, False, "True"],
    ],
)
def test_odd_labels(keep: Keep, columns: list[Any]) -> None:
    frame = pd.DataFrame(np.eye(3), columns=pd.Index(columns, dtype=object, tupleize_cols=False), index=list("abc"))
    same(frame, keep(frame))


def test_empty_frames_and_attributes(keep: Keep) -> None:
    for frame in (
        pd.DataFrame(),
        pd.DataFrame(index=[1, 2]),
        pd.DataFrame(index=range(5)),
        pd.DataFrame(columns=["a", "b"]),
        pd.Series([], dtype="f8"),
        pd.Series([1], name=("a", 2)),
    ):
        same(frame, keep(frame))
    frame = pd.DataFrame({"a": [1]})
    frame.attrs = {"source": "bank", "at": dt.date(2026, 1, 1)}
    same(frame, keep(frame))


CELLS = {
    "f8": st.floats(),
    "i8": st.integers(-(2**63), 2**63 - 1),
    "str": st.none() | st.text(st.characters(exclude_categories=["Cs"])),
    "Int64": st.none() | st.integers(-(2**63), 2**63 - 1),
    "category": st.none() | st.sampled_from(["a", "b", "ü"]),
    "object": st.none() | st.text() | st.integers() | st.floats(allow_nan=False) | st.booleans() | st.binary() | st.lists(st.integers()),
    "M8[us]": st.none() | st.datetimes(),
}


@st.composite
def frames(draw: st.DrawFn) -> Any:
    rows = draw(st.integers(0, 6))
    kinds = draw(st.lists(st.sampled_from(sorted(CELLS)), max_size=5))
    columns = [pd.Series(draw(st.lists(CELLS[kind], min_size=rows, max_size=rows)), dtype=kind) for kind in kinds]
    frame = pd.concat(columns, axis=1) if columns else pd.DataFrame(index=range(rows))
    labels = st.text(max_size=3) | st.integers(0, 3) | st.none() | st.booleans()
    frame.columns = pd.Index(draw(st.lists(labels, min_size=len(kinds), max_size=len(kinds))), dtype=object, name=draw(labels))
    if draw(st.booleans()):
        frame.index = pd.Index(
            draw(st.lists(st.text(max_size=3) | st.none(), min_size=rows, max_size=rows)), dtype=object, name=draw(labels)
        )
    return frame


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frame=frames())
def test_any_frame_comes_back(keep: Keep, frame: Any) -> None:
    same(frame, keep(frame))


def test_the_same_frame_is_the_same_artifact(store: FolderArtifactStore, scratch: Path) -> None:
    frame = pd.DataFrame({"a": [1.0, np.nan], "b": ["x", None], "c": pd.Categorical(["u", "v"])})
    refs = [
        artifacts.save(f, store, scratch)
        for f in (frame, frame.copy(), frame.iloc[:], artifacts.load(artifacts.save(frame, store, scratch), store, scratch))
    ]
    assert len({r.digest for r in refs}) == 1
    assert refs[0].type == "pandas.DataFrame" and refs[0].meta == {"rows": 2, "columns": ["a", "b", "c"]}
    assert artifacts.save(frame.assign(a=[1.0, 2.0]), store, scratch).digest != refs[0].digest


def test_other_tools_read_the_file_as_it_is_meant(store: FolderArtifactStore, scratch: Path) -> None:
    frame = pd.DataFrame(
        {"a": [1.0, np.nan], "t": pd.to_datetime(["2026", None]).tz_localize("UTC")}, index=pd.Index(["x", "y"], name="key")
    )
    ref = artifacts.save(frame, store, scratch)
    table = pa.ipc.open_file(str(store.local_path(blob_key(ref.digest)))).read_all()
    assert table["a"].to_pylist() == [1.0, None] and table["t"].null_count == 1 and table["key"].to_pylist() == ["x", "y"]
    given_out = artifacts.load(ref, store, scratch, wanted="pyarrow.Table")
    assert given_out.column_names == ["a", "t", "key"]


def test_a_large_frame_is_mapped_and_can_be_written_to(store: FolderArtifactStore, scratch: Path) -> None:
    frame = pd.DataFrame({c: np.random.default_rng(0).random(200_000) for c in "ab"} | {"n": np.arange(200_000)})
    ref = artifacts.save(frame, store, scratch)
    back = artifacts.load(ref, store, scratch)
    path = store.local_path(blob_key(ref.digest))
    with open("/proc/self/maps") as maps:
        [low, high] = next([int(x, 16) for x in line.split()[0].split("-")] for line in maps if os.path.realpath(str(path)) in line)
    for name in frame:
        assert low <= back[name].to_numpy().ctypes.data < high, f"{name} was copied"
    back.loc[0, "a"] = -1.0
    back["n"] += 1
    back.iloc[5, 1] = 0.0
    assert artifacts.load(ref, store, scratch)["a"].iloc[0] == frame["a"].iloc[0]
    same(artifacts.load(ref, store, scratch), frame)


def test_a_cell_that_cannot_be_stored_is_named(store: FolderArtifactStore, scratch: Path) -> None:
    frame = pd.DataFrame({"good": [1, 2], "bad": [1, object()]})
    with pytest.raises(DefinitionError, match=r"column bad holds a builtins\.object in row 1"):
        artifacts.save(frame, store, scratch)
    frame = pd.DataFrame({"a": [1]})
    frame.attrs = {"x": object()}
    with pytest.raises(DefinitionError, match="attrs"):
        artifacts.save(frame, store, scratch)


@pytest.mark.parametrize(
    "made",
    [
        "{c: np.full(4_000_000, 1.5) for c in 'abcde'}, copy=False",
        "np.full((4_000_000, 5), 1.5), columns=list('abcde'), copy=False",
    ],
    ids=["columns", "rows"],
)
def test_writing_holds_no_second_copy(tmp_path: Path, made: str) -> None:
    """Peak memory of saving 160 MB, measured in a process of its own."""
    import subprocess
    import sys

    code = f"""
import resource, numpy as np, pandas as pd
from fairway.step import artifacts
from fairway.step.folder import FolderArtifactStore
store = FolderArtifactStore({str(tmp_path)!r})
artifacts.save(pd.DataFrame({{'a': [1.0, np.nan]}}), store, {str(tmp_path / "s")!r})
frame = pd.DataFrame({made})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
ref = artifacts.save(frame, store, {str(tmp_path / "s")!r})
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, ref.size_bytes / 2**20)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    extra, size = map(float, done.stdout.split())
    assert size > 150 and extra < size * 0.3


def test_a_large_frame_of_rows_is_the_same_artifact_as_one_of_columns(store: FolderArtifactStore, scratch: Path) -> None:
    rows = np.arange(3_000_000, dtype="f8").reshape(-1, 3)
    rows[7, 1] = np.nan
    by_rows = pd.DataFrame(rows, columns=list("abc"), copy=False)
    assert not by_rows["b"].to_numpy().flags.c_contiguous
    by_columns = pd.DataFrame({c: np.ascontiguousarray(rows[:, n]) for n, c in enumerate("abc")})
    ref = artifacts.save(by_rows, store, scratch)
    assert ref.digest == artifacts.save(by_columns, store, scratch).digest
    pd.testing.assert_frame_equal(artifacts.load(ref, store, scratch), by_rows)


def test_a_stand_in_that_would_be_written_itself_is_noticed() -> None:
    from fairway.step.serializers.arrow_file import Strided, Unwritten

    strided = Strided()
    strided.stand_in(np.arange(10.0)[::2])
    with pytest.raises(Unwritten):
        strided.check()
