"""Tables: lazy, in order, from memory, into files and steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fairway as fw
from fairway.data.batch import Batch
from fairway.data.table import read
from fairway.errors import ConfigError, DataAnomalies, NotFoundError
from fairway.step import serializers
from fairway.step.artifacts import find_serializer

COLUMNS = {"a": [1, 2, None], "b": ["x", "é", ""], "c": [1.5, None, float("inf")], "d": [True, None, False], "e": [[1, 2], [], None]}


class TestMemory:
    def test_columns_and_rows(self) -> None:
        table = fw.read(COLUMNS)
        assert [(one.name, one.arrow, one.kind) for one in table.fields] == [
            ("a", "int64", "integer"), ("b", "string", "string"), ("c", "double", "float"), ("d", "bool", "boolean"),
            ("e", "list<int64>", "list"),
        ]  # fmt: skip
        assert table.rows()[1] == {"a": 2, "b": "é", "c": None, "d": None, "e": []}
        assert fw.read([{"a": 1, "b": "x"}, {"b": "y", "z": 2}]).rows() == [{"a": 1, "b": "x", "z": None}, {"a": None, "b": "y", "z": 2}]

    def test_arrow_and_frames_there_and_back(self) -> None:
        import pandas as pd
        import pyarrow as pa

        whole = pa.table(read(COLUMNS))
        assert read(whole).rows() == read(COLUMNS).rows()
        assert read(pd.DataFrame({"n": [1, 2], "t": ["a", None]})).rows() == [{"n": 1, "t": "a"}, {"n": 2, "t": None}]
        assert list(read(COLUMNS).pandas().columns) == list("abcde")
        structs = pa.table({"s": [{"p": 1, "q": {"r": "x"}}, None]})
        assert read(structs).rows() == [{"s.p": 1, "s.q.r": "x"}, {"s.p": None, "s.q.r": None}]

    def test_numpy_and_batches(self) -> None:
        assert read({"n": np.arange(3, dtype=np.int32), "x": np.ones(3, np.float32)}).fields[0].arrow == "int32"
        assert read(Batch.of({"n": [1, 2]})).rows() == [{"n": 1}, {"n": 2}]

    def test_what_is_no_table(self) -> None:
        for what, word in ((3, "is no table"), ({"a": [1], "b": []}, "not of one length")):
            with pytest.raises(ConfigError, match=word):
                read(what)
        with pytest.raises(ConfigError, match="has no option"):
            read(COLUMNS, separator=";")


class TestSteps:
    TABLE = {"n": list(range(200_000)), "t": [f"t{n % 7}" for n in range(200_000)]}

    def test_batches_are_in_order_and_of_the_size_asked_for(self) -> None:
        table = read(self.TABLE)
        batches = list(table.batches(rows=60_000))
        assert [batch.first_row for batch in batches] == [sum(one.rows for one in batches[:n]) for n in range(len(batches))]
        assert max(batch.rows for batch in batches) <= 60_000
        assert np.array_equal(np.concatenate([batch.columns["n"].data for batch in batches]), np.arange(200_000))

    def test_select_where_head(self) -> None:
        table = read(self.TABLE)
        assert table.where("n % 2 = 1").select("t", "n").head(2).rows() == [{"t": "t1", "n": 1}, {"t": "t3", "n": 3}]
        assert table.head(10).where("n > 8").count() == 1
        assert table.where("t = 't3'").count() == len([n for n in range(200_000) if n % 7 == 3])
        with pytest.raises(NotFoundError) as caught:
            table.select("m")
        assert caught.value.hint == "columns: n, t"
        with pytest.raises(NotFoundError, match="no column 'amont'") as caught:
            read({"amount": [1]}).select("amont")
        assert caught.value.hint == "did you mean 'amount'?"
        with pytest.raises(ConfigError, match="where"):
            table.where("no_such > 1")

    def test_a_sample_is_the_same_for_a_seed_and_in_order(self) -> None:
        table = read(self.TABLE)
        first, again, other = (table.sample(100, seed).rows() for seed in (1, 1, 2))
        assert first == again != other
        numbers = [row["n"] for row in first]
        assert numbers == sorted(numbers) and len(set(numbers)) == 100
        assert 60_000 < sum(numbers) / 100 < 140_000

    def test_shown_in_a_notebook_without_markup_from_the_data(self) -> None:
        shown = read({"<b>": ["<script>alert(1)</script>"]})._repr_html_()
        assert "<script>" not in shown and "&lt;script&gt;" in shown


class TestFiles:
    @pytest.mark.parametrize("ending", ["parquet", "csv", "tsv", "ndjson", "json", "arrow", "arrows"])
    def test_written_and_read(self, tmp_path: Path, ending: str) -> None:
        table = read({name: COLUMNS[name] for name in "abd"} | {"x": [0.1, 1e300, None]})
        table.write(tmp_path / f"t.{ending}")
        found = read(tmp_path / f"t.{ending}")
        assert found.columns == ["a", "b", "d", "x"]
        assert found.rows() == table.rows()
        assert [path.name for path in tmp_path.iterdir()] == [f"t.{ending}"]

    def test_a_file_is_there_only_when_it_is_whole(self, tmp_path: Path) -> None:
        source = tmp_path / "bad.csv"
        source.write_text("a\n" + "1\n" * 100 + "x\n")
        with pytest.raises(DataAnomalies):
            read(source, sample_rows=50).write(tmp_path / "t.parquet")
        with pytest.raises(NotFoundError, match="no folder"):
            read(COLUMNS).write(tmp_path / "none" / "t.parquet")
        with pytest.raises(ConfigError, match="no format"):
            read(COLUMNS).write(tmp_path / "t.doc")
        assert [path.name for path in tmp_path.iterdir()] == ["bad.csv"]

    def test_partitioned_folders_and_conditions_on_them(self, tmp_path: Path) -> None:
        for year in (2025, 2026):
            for region in ("eu", "us"):
                folder = tmp_path / f"year={year}" / f"region={region}"
                folder.mkdir(parents=True)
                read({"n": [year, 1]}).write(folder / "part.parquet")
        table = read(tmp_path)
        assert table.columns == ["n", "region", "year"] or table.columns == ["n", "year", "region"]
        assert table.where("year = 2026 AND region = 'us'").rows()[0]["n"] == 2026
        broken = tmp_path / "year=2025" / "region=eu" / "part.parquet"
        data = bytearray(broken.read_bytes())
        data[4:40] = b"\xff" * 36
        broken.write_bytes(data)
        assert table.where("year = 2026").count() == 4  # the damaged file is not opened
        assert any("names of folders" in note for note in table.notes)

    def test_parquet_with_differing_columns(self, tmp_path: Path) -> None:
        read({"a": [1], "b": ["x"]}).write(tmp_path / "1.parquet")
        read({"b": ["y"], "c": [2.5]}).write(tmp_path / "2.parquet")
        table = read(tmp_path / "*.parquet")
        assert table.rows() == [{"a": 1, "b": "x", "c": None}, {"a": None, "b": "y", "c": 2.5}]
        assert any("has no column 'c'" in note for note in table.notes)

    @pytest.mark.parametrize("damage", ["empty", "cut", "footer", "begin", "length"])
    def test_parquet_that_lies(self, tmp_path: Path, damage: str) -> None:
        path = tmp_path / "t.parquet"
        read({"n": list(range(1000)), "t": ["x"] * 1000}).write(path)
        data = bytearray(path.read_bytes())
        match damage:
            case "empty":
                data.clear()
            case "cut":
                del data[len(data) // 2 :]
            case "footer":
                data[-60:-20] = b"\xff" * 40
            case "begin":
                data[:4] = b"XXXX"
            case _:
                data[-8:-4] = b"\xff\xff\xff\x7f"
        path.write_bytes(data)
        with pytest.raises(ConfigError, match=str(path)):
            read(path, format="parquet").rows()


class TestArtifacts:
    def test_a_table_is_stored_as_parquet_and_comes_back_lazy(self, tmp_path: Path) -> None:
        table = read(COLUMNS).where("a > 0")
        writer = find_serializer("fairway.data.Table")
        assert writer is serializers.find_for_class(type(table)) and writer is not None
        said: Any = writer.write(table, tmp_path / "t.parquet")
        assert (said["rows"], said["columns"]) == (2, list("abcde"))
        again = writer.read(tmp_path / "t.parquet", "", {})
        assert again.rows() == table.rows()
        assert list(writer.read(tmp_path / "t.parquet", "pandas.DataFrame", {})["a"]) == [1, 2]
        writer.write(table, tmp_path / "u.parquet")
        assert (tmp_path / "t.parquet").read_bytes() == (tmp_path / "u.parquet").read_bytes()

    def test_files_and_folders_of_steps_are_sources(self, tmp_path: Path) -> None:
        read({"n": [1]}).write(tmp_path / "a.parquet")
        assert read(fw.File(tmp_path / "a.parquet")).count() == read(fw.Directory(tmp_path)).count() == 1
