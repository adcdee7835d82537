"""JSON and NDJSON: shapes, types, rejects, and what would fill memory or stack."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from fairway.data.table import Table, read
from fairway.errors import ConfigError, DataAnomalies


@pytest.fixture
def written(tmp_path: Path) -> Any:
    def write(data: bytes | str, name: str = "t.json", **options: Any) -> Table:
        path = tmp_path / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return read(path, **options)

    return write


class TestShapes:
    @pytest.mark.parametrize(
        "text",
        [
            '[{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]',
            '{"count": 2, "rows": [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}], "more": [1]}',
            '{"a": [1, 2], "b": ["x", "y"]}',
            '{"a": 1, "b": "x"}\n{"a": 2, "b": "y"}',
            '\ufeff [ {"a": 1, "b": "x"}\n, {"a": 2, "b": "y"} ] ',
        ],
    )
    def test_rows_are_found(self, written: Any, text: str) -> None:
        assert written(text).rows() == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]

    def test_where_they_lie_deeper(self, written: Any) -> None:
        text = '{"meta": {"x": [1]}, "result": {"n": 1, "items": [{"a": 1}, {"a": 2}]}}'
        assert written(text, records="result.items").rows() == [{"a": 1}, {"a": 2}]
        with pytest.raises(ConfigError, match="there is no 'item'"):
            written(text, records="result.item")

    def test_nested_and_lists_and_times(self, written: Any) -> None:
        table = written('[{"a": {"b": {"c": 1}}, "l": [1, 2], "m": [{"x": 1}], "t": "2026-01-01T00:00:00Z"}, {"a": null, "l": null}]')
        assert {one.name: one.arrow for one in table.fields} == {
            "a.b.c": "int64", "l": "list<int64>", "m": "string", "t": "timestamp[us, UTC]", "a": "string",
        }  # fmt: skip
        assert table.rows()[0]["m"] == '[{"x": 1}]'
        assert any("read as times" in note for note in table.notes)
        assert written('[{"t": "2026-01-01"}]', types={"t": "string"}).rows() == [{"t": "2026-01-01"}]

    def test_numbers_stay_exact(self, written: Any) -> None:
        assert written('[{"n": 9007199254740993}]').rows() == [{"n": 9007199254740993}]
        assert written('[{"n": 1}, {"n": 2.5}]').fields[0].arrow == "double"

    def test_names_that_differ_in_case_only(self, written: Any) -> None:
        assert written('[{"at": 1, "At": 2}]').rows() == [{"at": 1, "At_2": 2}]


class TestLines:
    def test_bad_lines_are_rejects(self, written: Any) -> None:
        table = written('{"a": 1}\n{"a": 2\n\n[1]\n{"a": 1.5}\n{"a": 3}\n"x\n', "t.ndjson", sample_rows=1, max_rejects="all")
        assert table.rows() == [{"a": 1}, {"a": 3}]
        assert sorted(one.line or 0 for one in table.rejects.rows) == [2, 4, 5, 7]
        with pytest.raises(DataAnomalies, match="line 2: is no JSON"):
            written('{"a": 1}\n{"a": 2\n', "t.ndjson").rows()

    def test_a_column_that_comes_late_is_not_lost_in_silence(self, written: Any) -> None:
        text = '{"a": 1}\n{"a": 2, "z": "new"}\n'
        with pytest.raises(DataAnomalies, match="no column 'z'"):
            written(text, "t.ndjson", sample_rows=1).rows()
        assert written(text, "t.ndjson", sample_rows=1, types={"z": "string"}).rows()[1] == {"a": 2, "z": "new"}

    def test_many_in_a_packed_file(self, written: Any) -> None:
        text = "".join(json.dumps({"n": n, "t": f"x{n}"}) + "\n" for n in range(30_000))
        table = written(gzip.compress(text.encode()), "t.ndjson.gz")
        assert sum(int(batch.columns["n"].data.sum()) for batch in table.batches()) == sum(range(30_000))

    def test_a_line_longer_than_may_be(self, written: Any) -> None:
        table = written('{"a": 1}\n{"a": "' + "x" * 100_000 + '"}\n{"a": 2}\n', "t.ndjson", max_line_bytes=10_000, max_rejects=1)
        assert table.rows() == [{"a": 1}, {"a": 2}]
        with pytest.raises(ConfigError, match="longer than max_line_bytes"):
            written('{"a": "' + "x" * 100_000 + '"}\n', "t.ndjson", max_line_bytes=10_000)


class TestDamage:
    @pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '[{"a":' + "[" * 100_000], ids=["lists", "objects", "within"])
    def test_a_hundred_thousand_levels(self, written: Any, text: str) -> None:
        with pytest.raises(ConfigError, match=r"nested too deep|no JSON"):
            written(text).rows()
        with pytest.raises((ConfigError, DataAnomalies)):
            written('{"a": 1}\n' + text + "\n", "t.ndjson").rows()

    @pytest.mark.parametrize("text", ['[{"a": 1},', '[{"a": 1}', '[{"a": 1}] x', '[{"a" 1}]', "[1, 2]", "[]", "3", '{"a": [1], "b": []}'])
    def test_what_is_no_table(self, written: Any, text: str) -> None:
        with pytest.raises(ConfigError):
            written(text).rows()

    def test_the_line_of_a_mistake_far_into_an_array(self, written: Any) -> None:
        rows = ",\n".join(json.dumps({"n": n, "t": "x" * 50}) for n in range(50_000))
        with pytest.raises(ConfigError) as caught:
            written("[" + rows + ",\n{oops}]").rows()
        assert caught.value.where.endswith(":50001")
