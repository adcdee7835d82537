"""Tables that are looked into: pages, filters, sorting and statistics, from every kind of file, and never more of it than is needed."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import csv as pacsv

from fairway.step.serializers import find_for_name
from fairway.web.previews import arrowtable, tables
from fairway.web.previews.cells import show_cell
from fairway.web.previews.plaintable import PlainTable, read_csv
from fairway.web.previews.sights import CannotSee
from fairway.web.previews.source import Source
from fairway.web.previews.tablequery import BadQuery, Column, parse_query, parse_test
from fairway.web.previews.tables import Budget, open_table, see_columns, see_rows

NUMBER, TEXT, TIME, BOOL, OTHER = (Column(kind, kind, kind) for kind in ("number", "text", "time", "bool", "other"))


@pytest.mark.parametrize(
    ("column", "text", "op", "value"),
    [
        (NUMBER, "> 5", ">", 5),
        (NUMBER, ">=-0.5", ">=", -0.5),
        (NUMBER, "7", "=", 7),
        (NUMBER, "== 7", "=", 7),
        (NUMBER, "!=1e3", "!=", 1000.0),
        (NUMBER, "null", "null", None),
        (NUMBER, "!null", "notnull", None),
        (TEXT, "abc", "~", "abc"),
        (TEXT, "= abc", "=", "abc"),
        (TEXT, "< b", "<", "b"),
        (TIME, "2026-01", "~", "2026-01"),
        (TIME, "> 2026-01-31", ">", "2026-01-31"),
        (BOOL, "yes", "=", True),
        (BOOL, "!= true", "!=", True),
        (OTHER, "x", "~", "x"),
    ],
)
def test_filters_read_as_people_type_them(column: Column, text: str, op: str, value: Any) -> None:
    test = parse_test(3, column, text)
    assert (test.column, test.op, test.value) == (3, op, value)


def test_a_range_has_two_ends() -> None:
    assert (parse_test(0, NUMBER, "1 .. 3").value, parse_test(0, NUMBER, "1..3.5").high) == (1, 3.5)


@pytest.mark.parametrize(
    ("column", "text", "said"),
    [(NUMBER, "> x", "'x' is none"), (NUMBER, ">", "needs a value"), (BOOL, "maybe", "true or false"), (BOOL, "> 1", "no order")]
)  # fmt: skip
def test_what_a_filter_cannot_be_is_said(column: Column, text: str, said: str) -> None:
    with pytest.raises(BadQuery, match=said):
        parse_test(0, column, text)


@pytest.mark.parametrize("args", [{"sort": "2"}, {"sort": "x"}, {"sort": "1"}, {"where": ["7:a"]}, {"where": ["-1:a"]}, {"where": ["²:a"]}])
def test_columns_that_are_not_there_or_have_no_order_are_refused(args: dict[str, Any]) -> None:
    with pytest.raises(BadQuery):
        parse_query(args, [TEXT, OTHER])


@given(st.text(max_size=20), st.sampled_from([NUMBER, TEXT, TIME, BOOL, OTHER]))
def test_any_text_is_a_filter_or_refused(text: str, column: Column) -> None:
    try:
        parse_test(0, column, text)
    except BadQuery:
        pass


def source_of(data: bytes, path: Path | None = None) -> Source:
    if path is None:
        return far_source(data)
    path.write_bytes(data)
    return Source({"path": str(path)})


def far_source(data: bytes, reads: list[tuple[int, int]] | None = None) -> Source:
    """As from a store that the server reads: each part is asked for."""
    answers = io.BytesIO()
    noted = reads if reads is not None else []

    class Asks(io.RawIOBase):
        left = b""

        def readline(self, size: int | None = -1) -> bytes:
            at, length = json.loads(answers.getvalue().splitlines()[-1])["read"]
            noted.append((at, length))
            self.left = data[at : at + length]
            return f"{len(self.left)}\n".encode()

        def read(self, size: int = -1) -> bytes:
            return self.left[:size]

    return Source({"size": len(data)}, Asks(), answers)


def write_parquet(table: pa.Table, **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


def write_ipc(table: pa.Table) -> bytes:
    out = io.BytesIO()
    with pa.ipc.new_file(out, table.schema) as writer:
        writer.write_table(table, max_chunksize=7)
    return out.getvalue()


def write_csv(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pacsv.write_csv(table, out)
    return out.getvalue()


WRITERS: dict[str, Callable[[pa.Table], bytes]] = {"parquet": write_parquet, "arrow": write_ipc, "csv": write_csv}
CUSTOMERS = pa.table(
    {
        "id": list(range(50)),
        "plan": [["basic", "plus", "pro"][n % 3] for n in range(50)],
        "paid": [None if n % 10 == 0 else n * 1.5 for n in range(50)],
        "active": [n % 2 == 0 for n in range(50)],
        "since": pa.array([f"2026-01-{1 + n % 28:02}" for n in range(50)]).cast(pa.date32()),
    }
)


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("far", [False, True])
def test_pages_of_every_form(form: str, far: bool, tmp_path: Path) -> None:
    source = source_of(WRITERS[form](CUSTOMERS), None if far else tmp_path / "file")
    first = see_rows(source, {"form": form, "limit": 3})
    assert [column["kind"] for column in first["columns"]] == ["number", "text", "number", "bool", "time"]
    assert first["rows"] == [
        [0, "basic", None, True, "2026-01-01"],
        [1, "plus", 1.5, False, "2026-01-02"],
        [2, "pro", 3.0, True, "2026-01-03"],
    ]
    later = see_rows(source, {"form": form, "offset": 48, "limit": 5})
    assert ([row[0] for row in later["rows"]], later["numbers"], later["total"]) == ([48, 49], [48, 49], 50)
    assert see_rows(source, {"form": form, "offset": 99})["rows"] == []


@pytest.mark.parametrize("form", WRITERS)
def test_filtered_and_sorted_over_the_whole_table(form: str, tmp_path: Path) -> None:
    source = source_of(WRITERS[form](CUSTOMERS), tmp_path / "file")

    def ids(*where: str, sort: str = "", **args: Any) -> tuple[list[int], int]:
        seen = see_rows(source, {"form": form, "where": list(where), "sort": sort, **args})
        assert (seen["looked"], seen["complete"], seen["numbers"]) == (50, True, [row[0] for row in seen["rows"]])
        return [row[0] for row in seen["rows"]], seen["matched"]

    assert ids("1:PRO", sort="-0", limit=2) == ([47, 44], 16)
    assert ids("2:> 70") == ([47, 48, 49], 3)
    assert ids("2:null") == ([0, 10, 20, 30, 40], 5)
    assert ids("2:3..6") == ([2, 3, 4], 3)
    assert ids("3:false", "0:< 6") == ([1, 3, 5], 3)
    assert ids("4:> 2026-01-27") == ([27], 1)
    assert ids("4:2026-01-0", "1:= basic", limit=2) == ([0, 3], 6)
    assert ids(sort="-2", limit=2)[0] == [49, 48]
    assert ids(sort="2", limit=50)[0][-5:] == [0, 10, 20, 30, 40]  # what is missing comes last
    assert ids(sort="1", offset=17, limit=2)[0] == [1, 4]  # equals keep their order


def test_a_filter_that_cannot_be_is_told_with_what_can(tmp_path: Path) -> None:
    source = source_of(write_parquet(CUSTOMERS), tmp_path / "file")
    for where, said in (("0:> x", "holds numbers"), ("9:1", "no column"), ("4:> soon", "not a time")):
        with pytest.raises(CannotSee, match=said):
            see_rows(source, {"form": "parquet", "where": [where]})


cells = st.one_of(st.none(), st.integers(-50, 50), st.floats(-50, 50, allow_nan=False, width=16))
texts = st.one_of(st.none(), st.text("abXYé", max_size=4))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(cells, texts, st.one_of(st.none(), st.booleans())), min_size=1, max_size=40),
    st.sampled_from(["", "0", "-0", "1", "-1", "2", "-2"]),
    st.sampled_from([[], ["0:> 3"], ["0:-5..5"], ["0:null"], ["0:!null"], ["1:x"], ["1:= ab"], ["1:!= a"], ["2:true"], ["0:<= 0", "1:a"]]),
    st.integers(0, 30),
)
def test_both_ways_of_reading_agree(rows: list[tuple[Any, ...]], sort: str, where: list[str], offset: int) -> None:
    schema = pa.schema([("a", pa.float64()), ("b", pa.string()), ("c", pa.bool_())])
    table = pa.Table.from_pylist([dict(zip("abc", (r[0] if r[0] is None else float(r[0]), *r[1:]), strict=True)) for r in rows], schema)
    arrow = open_table(far_source(write_ipc(table)), "arrow")
    plain = PlainTable(["a", "b", "c"], [[r[0] if r[0] is None else float(r[0]), *r[1:]] for r in rows])
    plain.columns = arrow.columns  # a column of nothing but None has no type of its own
    query = parse_query({"sort": sort, "where": where, "offset": offset, "limit": 7}, arrow.columns)
    one, other = arrow.page(query, Budget()), plain.page(query, Budget())
    assert one.numbers == other.numbers
    assert one.rows == other.rows
    assert one.matched == other.matched or query.plain


def test_statistics_tell_what_each_column_holds(tmp_path: Path) -> None:
    seen = see_columns(source_of(write_parquet(CUSTOMERS), tmp_path / "file"), {"form": "parquet"})
    by_name = dict(zip(CUSTOMERS.column_names, seen["columns"], strict=True))
    paid = [value for value in CUSTOMERS["paid"].to_pylist() if value is not None]
    assert (by_name["paid"]["nulls"], by_name["paid"]["min"], by_name["paid"]["max"]) == (5, 1.5, 73.5)
    assert by_name["paid"]["mean"] == pytest.approx(sum(paid) / 45)
    assert (sum(by_name["paid"]["bins"]), len(by_name["paid"]["bins"])) == (45, 24)
    assert (by_name["plan"]["distinct"], by_name["plan"]["top"][0]) == (3, ["basic", 17])
    assert (by_name["since"]["min"], by_name["since"]["max"]) == ("2026-01-01", "2026-01-28")
    assert dict(map(tuple, by_name["active"]["top"])) == {True: 25, False: 25}


@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6, allow_nan=False), st.just(math.nan), st.just(math.inf)), max_size=60))
@settings(deadline=None, max_examples=60)
def test_both_ways_count_the_same(values: list[float | None]) -> None:
    column = pa.chunked_array([pa.array(values, pa.float64())])
    one = arrowtable.describe(column, "number")
    (other,), _, _ = PlainTable(["a"], [[value] for value in values]).statistics(Budget())
    finite = [value for value in values if value is not None and math.isfinite(value)]
    assert one["nulls"] == len(values) - len(finite)
    if finite:
        assert (one["min"], one["max"], sum(one["bins"])) == (min(finite), max(finite), len(finite))
        assert one["bins"] == other.get("bins", one["bins"])


def test_of_a_large_table_pieces_from_everywhere_are_looked_at(tmp_path: Path) -> None:
    table = pa.table({"n": list(range(100_000))})
    source = source_of(write_parquet(table, row_group_size=5_000), tmp_path / "file")
    columns, looked, total = open_table(source, "parquet").statistics(Budget(rows=2_000))
    assert (looked, total) == (2_000, 100_000)
    assert columns[0]["max"] > 90_000


def test_a_search_that_takes_too_much_says_how_far_it_came(tmp_path: Path) -> None:
    table = pa.table({"n": list(range(300_000))})
    opened = open_table(source_of(write_parquet(table, row_group_size=50_000), tmp_path / "file"), "parquet")
    query = parse_query({"sort": "-0", "limit": 1}, opened.columns)
    page = opened.page(query, Budget(rows=100_000))
    assert (page.complete, page.total, page.numbers) == (False, 300_000, [page.looked - 1])
    assert 100_000 <= page.looked < 300_000


def test_the_first_rows_of_a_large_parquet_cost_its_footer_and_a_few_pages() -> None:
    rows = 400_000
    table = pa.table({f"c{n}": pa.array(range(n, rows + n)) for n in range(4)})
    data = write_parquet(table, row_group_size=200_000, compression="none", use_dictionary=False, data_page_size=64 << 10)
    reads: list[tuple[int, int]] = []
    seen = see_rows(far_source(data, reads), {"form": "parquet", "limit": 200})
    assert (seen["total"], seen["rows"][199]) == (rows, [199, 200, 201, 202])
    assert len(data) > 12_000_000
    assert sum(length for _, length in reads) < 4_000_000
    reads.clear()
    seen = see_rows(far_source(data, reads), {"form": "parquet", "offset": 399_900, "limit": 200})
    assert seen["rows"][-1] == [399_999, 400_000, 400_001, 400_002]
    assert min(at for at, _ in reads) > len(data) // 2 - 1_000_000  # the first group is not read


def test_a_sort_reads_the_column_that_it_sorts_by_and_the_rows_that_it_shows() -> None:
    rows = 120_000
    table = pa.table({"key": list(range(rows, 0, -1)), **{f"c{n}": pa.array(range(rows)) for n in range(9)}})
    data = write_parquet(table, row_group_size=10_000, compression="none", use_dictionary=False)
    reads: list[tuple[int, int]] = []
    seen = see_rows(far_source(data, reads), {"form": "parquet", "sort": "0", "limit": 10})
    assert seen["rows"][0][0] == 1
    assert sum(length for _, length in reads) < len(data) * 0.45


def test_an_arrow_file_is_mapped_not_read(tmp_path: Path) -> None:
    path = tmp_path / "wide.arrow"
    column = pa.array(range(50_000))
    table = pa.table({f"c{n}": column for n in range(300)})
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)
    before = pa.total_allocated_bytes()
    seen = see_rows(Source({"path": str(path)}), {"form": "arrow", "offset": 40_000, "limit": 5})
    assert (seen["rows"][0][0], len(seen["columns"]), seen["more_columns"]) == (40_000, tables.COLUMNS_SHOWN, 100)
    assert pa.total_allocated_bytes() - before < 5_000_000


def frame_source(frame: Any, tmp_path: Path) -> Source:
    path = tmp_path / "frame.arrow"
    writer = find_for_name("pandas.DataFrame")
    assert writer is not None
    writer.write(frame, path)
    return Source({"path": str(path)})


def test_data_frames_show_as_people_know_them(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "when": pd.to_datetime(["2026-01-01", "2026-01-02"]),
            "plan": pd.Categorical(["pro", None]),
            "odd": [{"a": 1}, [1, 2]],
            "vector": [[1.5, 2.0], [0.25]],
            "half": pd.array([0.1, 0.2], dtype="float32"),
        },
        index=["x", "y"],
    )
    seen = see_rows(frame_source(frame, tmp_path), {"form": "arrow"})
    assert [(column["name"], column["kind"]) for column in seen["columns"]][:3] == [("index", "text"), ("when", "time"), ("plan", "text")]
    assert seen["rows"] == [["x", "2026-01-01", "pro", '{"a":1}', "[1.5,2.0]", 0.1], ["y", "2026-01-02", None, "[1,2]", "[0.25]", 0.2]]


def test_lines_of_json_and_tables_of_ours() -> None:
    lines = source_of(b'{"a": 1, "b": "x"}\n{"a": 2.5}\n\n7\n')
    seen = see_rows(lines, {"form": "lines"})
    assert ([c["name"] for c in seen["columns"]], seen["rows"]) == (
        ["a", "b", "value"],
        [[1, "x", None], [2.5, None, None], [None, None, 7]],
    )
    ours = source_of(json.dumps({"title": "T", "columns": ["a"], "rows": [[1], [None]]}).encode())
    seen = see_rows(ours, {"form": "table", "sort": "0"})
    assert (seen["title"], seen["rows"], seen["total"]) == ("T", [[1], [None]], 2)


def test_csv_without_a_library() -> None:
    table = read_csv(source_of(b'a,b,c\n1,x,0.5\n2,"y,z",\n'), ",")
    page = table.page(parse_query({}, table.columns), Budget())
    assert ([column.kind for column in table.columns], page.rows) == (["number", "text", "number"], [[1, "x", 0.5], [2, "y,z", None]])


def test_a_damaged_file_is_a_problem_not_a_crash(tmp_path: Path) -> None:
    for form in ("parquet", "arrow"):
        with pytest.raises(Exception, match=r"(?i)parquet|arrow|magic|footer|file"):
            open_table(source_of(b"PAR1 not really" * 10, tmp_path / "file"), form)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(values)
def test_any_cell_is_json_that_a_page_can_hold(value: Any) -> None:
    shown = show_cell(value)
    assert json.loads(json.dumps(shown, allow_nan=False).encode("utf-8")) == shown
    assert not isinstance(shown, str) or len(shown) <= 340
