from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from fairway.serve.call import Call
from fairway.serve.package import payload
from fairway.serve.package.inputs import to_inputs
from fairway.serve.refusal import Refused
from fairway.serve.schema import load_schema
from tests.serve.package import rig


def taking(takes: str, *names: str, columns: dict[str, Any] | None = None) -> Any:
    return SimpleNamespace(takes=takes, names=names, columns=columns or {}, slots=())


COLUMNS: dict[str, Any] = {
    "age": {"type": "integer", "minimum": 0},
    "income": {"type": ["number", "null"]},
    "city": {"enum": ["ulm", "bonn"]},
}
SCHEMA = load_schema(
    {
        "type": "object",
        "properties": {"inputs": {"type": "array", "items": {"type": "object", "properties": COLUMNS, "required": list(COLUMNS)}}},
    }
)


def test_one_call_and_pieces_of_one_buffer_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload, "SMALL_BYTES", 0)
    buffer = bytearray(np.arange(12.0).tobytes())
    whole = np.frombuffer(buffer, "<f8")
    view = memoryview(buffer)
    parts = [Call("matrix", view[16 * n : 16 * n + 16 * r], rows=r, names=("a", "b")) for n, r in ((1, 1), (2, 2), (4, 1))]
    for calls in (parts, parts[:1]):
        made = to_inputs(calls, taking("matrix"))
        assert np.shares_memory(made, whole)
        assert made.tolist() == whole.reshape(-1, 2)[1 : 1 + len(made)].tolist()
    apart = to_inputs([parts[0], parts[2]], taking("matrix"))
    assert not np.shares_memory(apart, whole) and apart.tolist() == [[2.0, 3.0], [8.0, 9.0]]


@pytest.mark.parametrize(
    "value",
    [
        {"inputs": [{"a": 1, "b": 2}, {"b": 4, "a": 3}]},
        {"data": [[1, 2], [3, 4]]},
        {"instances": [[1, 2], [3, 4]]},
        {"inputs": {"b": [2, 4], "a": [1, 3]}},
        {"dataframe_split": {"columns": ["b", "a"], "data": [[2, 1], [4, 3]]}},
        {"columns": ["a", "b"], "data": [[1, 2], [3, 4]]},
        [[1, 2], [3, 4]],
    ],
)
def test_json_without_a_schema_in_every_common_shape(value: Any) -> None:
    call = rig.of_json(value)
    assert to_inputs([call], taking("matrix", "a", "b")).tolist() == [[1, 2], [3, 4]]
    assert call.rows == 2
    assert to_inputs([rig.of_json(value)], taking("frame", "a", "b")).to_numpy().tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("value", [[], {"inputs": []}, "text", {"inputs": 3}, [[1], 2], {"inputs": {"a": [1], "b": [1, 2]}}])
def test_what_is_no_rows_is_refused(value: Any) -> None:
    with pytest.raises(Refused) as refused:
        to_inputs([rig.of_json(value)], taking("matrix", "a", "b"))
    assert refused.value.status == 422


def test_tensors_are_columns_or_one_matrix() -> None:
    columns = rig.tensors(rig.tensor("b", [2, 4]), rig.tensor("a", [1, 3]))
    assert to_inputs([columns], taking("matrix", "a", "b")).tolist() == [[1, 2], [3, 4]]
    assert to_inputs([columns], taking("frame", "a", "b")).a.tolist() == [1, 3]
    one = rig.tensors(rig.tensor("x", [[1, 2], [3, 4]]))
    assert to_inputs([one], taking("matrix", "a", "b")).tolist() == [[1, 2], [3, 4]]
    assert to_inputs([one], taking("rows")) == [{"x0": 1, "x1": 2}, {"x0": 3, "x1": 4}]
    with pytest.raises(Refused, match="different lengths"):
        to_inputs([rig.tensors(rig.tensor("a", [1]), rig.tensor("b", [1, 2]))], taking("matrix", "a", "b"))


def test_frames_have_the_types_of_training_and_missing_whole_numbers_are_nan() -> None:
    columns = {
        "n": {"type": "int64"},
        "f": {"type": "float32"},
        "when": {"type": "datetime64[ns]"},
        "c": {"type": "category", "categories": ["x", "y"]},
    }
    names = tuple(columns)
    rows = [[1, 2, "2026-01-02T00:00:00", "y"], [3, 4, "2026-01-03T00:00:00", "z"]]
    frame = to_inputs([rig.rows(rows, names)], taking("frame", *names, columns=columns))
    assert frame.dtypes.astype(str).tolist()[:2] == ["int64", "float32"] and frame.when.dt.day.tolist() == [2, 3]
    assert frame.c.cat.categories.tolist() == ["x", "y"] and frame.c.isna().tolist() == [False, True]
    frame = to_inputs([rig.rows([[None, 1, None, None]], names)], taking("frame", *names, columns=columns))
    assert frame.n.dtype == float and frame.n.isna().all()
    with pytest.raises(Refused, match="column 'when'"):
        to_inputs([rig.rows([[1, 2, "soon", "x"]], names)], taking("frame", *names, columns=columns))


def table(content: dict[str, list[Any]], kind: str = "arrow") -> Call:
    made, sink = pa.table(content), pa.BufferOutputStream()
    if kind == "parquet":
        pyarrow.parquet.write_table(made, sink)
        return Call("table", sink.getvalue().to_pybytes(), content_type="application/vnd.apache.parquet")
    with pa.ipc.new_stream(sink, made.schema) as stream:
        stream.write_table(made)
    return Call("table", sink.getvalue().to_pybytes(), content_type="application/vnd.apache.arrow.stream")


@pytest.mark.parametrize("kind", ["arrow", "parquet"])
def test_tables_are_read_and_checked_here(kind: str) -> None:
    call = table({"city": ["ulm", "bonn"], "income": [1.5, None], "age": [3, 4]}, kind)
    frame = to_inputs([call], taking("frame", "age", "income", "city"), SCHEMA)
    assert list(frame.columns) == ["age", "income", "city"] and frame.income.isna().tolist() == [False, True] and call.rows == 2
    assert to_inputs([table({"b": [2.0], "a": [1]}, kind)], taking("matrix", "a", "b")).tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"age": [3, None], "income": [1.0, 2.0], "city": ["ulm", "ulm"]}, "row 1, field 'age': came null, expected a integer"),
        ({"age": [3, -4], "income": [1.0, 2.0], "city": ["ulm", "ulm"]}, "row 1, field 'age': came -4, expected at least 0"),
        ({"age": ["old"], "income": [1.0], "city": ["ulm"]}, "field 'age': came a column of string, expected a column of integer"),
        ({"age": [3.5], "income": [1.0], "city": ["ulm"]}, "field 'age': came a column of double, expected a column of integer"),
        ({"age": [3], "income": [float("nan")], "city": ["ulm"]}, "row 0, field 'income': came nan, expected a finite number"),
        ({"age": [3], "income": [1.0], "city": ["jena"]}, "row 0, field 'city': came 'jena', expected one of 'ulm', 'bonn'"),
        ({"age": [3], "income": [1.0]}, "field 'city': came nothing"),
    ],
)
def test_a_table_that_breaks_the_schema_is_refused_with_row_and_field(content: dict[str, list[Any]], told: str) -> None:
    with pytest.raises(Refused) as refused:
        to_inputs([table(content)], taking("frame", "age", "income", "city"), SCHEMA)
    assert refused.value.status == 422 and refused.value.faults[0].text.startswith(told)


def test_bytes_that_are_no_table_are_refused() -> None:
    for kind in ("application/vnd.apache.parquet", "application/vnd.apache.arrow.stream"):
        with pytest.raises(Refused) as refused:
            to_inputs([Call("table", b"PAR1 or not", content_type=kind)], taking("frame"))
        assert refused.value.status == 400
    with pytest.raises(Refused, match="no rows"):
        to_inputs([table({"a": []})], taking("frame"))


def test_frames_of_several_calls_are_one() -> None:
    calls = [rig.rows([[1, "x"]], ("a", "b")), rig.rows([[2, "y"]], ("a", "b"))]
    frame = to_inputs(calls, taking("frame", "a", "b"))
    assert isinstance(frame, pd.DataFrame) and frame.index.tolist() == [0, 1] and frame.b.tolist() == ["x", "y"]
