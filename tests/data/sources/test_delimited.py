"""CSV and its kin: what is guessed, what is pinned, what is rejected."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest

from fairway.data.table import Table, read
from fairway.errors import ConfigError, DataAnomalies, NotFoundError


@pytest.fixture
def written(tmp_path: Path) -> Any:
    def write(data: bytes | str, name: str = "t.csv", **options: Any) -> Table:
        path = tmp_path / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return read(path, **options)

    return write


def types_of(table: Table) -> dict[str, str]:
    return {one.name: one.arrow for one in table.fields}


def said(table: Table, word: str) -> str:
    found = [note for note in table.notes if word in note]
    assert len(found) == 1, table.notes
    return found[0]


class TestDialects:
    @pytest.mark.parametrize("mark", [",", ";", "\t", "|", "\x01", "^", " "])
    def test_separators_are_found(self, written: Any, mark: str) -> None:
        table = written(f"id{mark}name{mark}x\n" + "".join(f"{n}{mark}n{n}{mark}{n}.5\n" for n in range(20)))
        assert types_of(table) == {"id": "int64", "name": "string", "x": "double"}
        assert table.rows()[3] == {"id": 3, "name": "n3", "x": 3.5}

    def test_what_was_guessed_is_said_with_what_pins_it(self, written: Any) -> None:
        table = written("a;b\n1;2\n")
        assert said(table, "separator") == "separator ';', guessed from 2 lines; pin it with separator=';'"
        assert not written("a;b\n1;2\n", separator=";").notes

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
    @pytest.mark.parametrize("above", ["|", "||", "  |", "# made by hand||# in May|"], ids=["one", "two", "blanks", "comments"])
    def test_blank_lines_above_the_names_are_no_names(self, written: Any, above: str, end: str) -> None:
        table = written(f"{above}id,v|1,2||2,3|".replace("|", end))
        assert table.rows() == [{"id": 1, "v": 2}, {"id": 2, "v": 3}]

    def test_comments_among_skipped_lines_are_not_skipped_twice(self, written: Any) -> None:
        assert written("# made by hand\nSales\nid,v\n1,2\n", skip=2, comment="#").rows() == [{"id": 1, "v": 2}]

    def test_a_semicolon_wins_over_commas_within_numbers(self, written: Any) -> None:
        table = written("a;b\n1,5;2,5\n3,5;4,25\n")
        assert table.rows() == [{"a": 1.5, "b": 2.5}, {"a": 3.5, "b": 4.25}]
        assert "decimal mark ','" in said(table, "decimal")

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
    def test_line_ends_and_those_within_quotes(self, written: Any, end: str) -> None:
        table = written(f'a,b{end}1,"x{end}y"{end}2,z{end}')
        assert table.rows() == [{"a": 1, "b": f"x{end}y"}, {"a": 2, "b": "z"}]

    def test_mixed_line_ends_lose_no_row(self, written: Any) -> None:
        table = written(b"a,b\n1,x\r\n2,y\r3,z\n")
        assert [row["a"] for row in table.rows()] == [1, 2, 3]
        assert "mixed" in said(table, "line ends")

    def test_mixed_line_ends_far_into_a_file_lose_no_row(self, written: Any) -> None:
        table = written(b"a,b\n" + b"1,x\n" * 400_000 + b"2,y\r\n" * 10)
        assert table.count() == 400_010

    def test_quotes_and_escapes(self, written: Any) -> None:
        assert written('a,b\n1,"say ""hi"", ok"\n').rows()[0]["b"] == 'say "hi", ok'
        assert written('a,b\n1,"say \\"hi\\", ok"\n2,"x"\n').rows()[0]["b"] == 'say "hi", ok'
        assert written("a,b\n1,'x,y'\n2,'z'\n").rows()[0]["b"] == "x,y"

    def test_comments_at_the_beginning(self, written: Any) -> None:
        table = written("# made by a machine\n# at night\na,b\n1,2\n")
        assert table.rows() == [{"a": 1, "b": 2}]
        assert "comment='#'" in said(table, "comments")
        assert written("#id,b\n1,2\n").columns == ["#id", "b"]

    def test_without_header(self, written: Any) -> None:
        assert written("1,x\n2,y\n").columns == ["column1", "column2"]
        assert written("1,x\n2,y\n", names=["n", "t"], header=False).rows()[1] == {"n": 2, "t": "y"}

    def test_lines_to_skip(self, written: Any) -> None:
        assert written("Report of 2026\n\na,b\n1,2\n", skip=2).rows() == [{"a": 1, "b": 2}]

    def test_names_twice_or_missing_are_made_distinct(self, written: Any) -> None:
        table = written("a,A,,a\n1,2,3,4\n")
        assert table.columns == ["a", "A_2", "column3", "a_3"]
        assert table.rows() == [{"a": 1, "A_2": 2, "column3": 3, "a_3": 4}]
        assert "distinct" in said(table, "names")

    def test_very_many_columns(self, written: Any) -> None:
        table = written(",".join(f"c{n}" for n in range(1500)) + "\n" + ",".join(map(str, range(1500))) + "\n")
        assert len(table.fields) == 1500
        assert table.select("c1499").rows() == [{"c1499": 1499}]

    def test_header_only(self, written: Any) -> None:
        table = written("a,b\n")
        assert (table.columns, table.rows()) == (["a", "b"], [])


class TestEncodings:
    TEXT = "name,n\nMüller,1\nÅse,2\n"

    @pytest.mark.parametrize("name", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1"])
    def test_western(self, written: Any, name: str) -> None:
        assert [row["name"] for row in written(self.TEXT.encode(name)).rows()] == ["Müller", "Åse"]

    @pytest.mark.parametrize(
        ("name", "word"),
        [
            ("shift_jis", "こんにちは"),
            ("euc_jp", "ありがとう"),
            ("gb18030", "你好中国人民"),
            ("euc_kr", "안녕하세요"),
            ("big5", "繁體資料庫"),
            ("cp1251", "Привет мир"),
        ],
    )
    def test_eastern(self, written: Any, name: str, word: str) -> None:
        table = written(("name,n\n" + f"{word},1\n" * 20).encode(name))
        assert table.rows()[0] == {"name": word, "n": 1}
        assert f"encoding={name!r}" in said(table, "encoding")

    def test_pinned_and_wrong(self, written: Any) -> None:
        assert written("é,n\n1,2\n".encode("cp437"), encoding="cp437").columns == ["é", "n"]
        with pytest.raises(ConfigError, match="no encoding 'klingon'"):
            written("a\n1\n", encoding="klingon")
        with pytest.raises(ConfigError, match="is not in shift_jis"):
            written(b"a,b\n1,\xff\xff\n" * 3, encoding="shift-jis").rows()

    def test_bytes_that_are_no_utf_8_after_an_ascii_head_are_found_by_looking_further(self, written: Any) -> None:
        table = written(b"n,t\n" + b"1,abcdefgh\n" * 200_000 + "2,Müller\n".encode("cp1252") * 100_000)
        assert table.batches().__next__().rows
        assert "cp1252" in said(table, "encoding")


class TestTypes:
    def test_leading_zeros_stay_text(self, written: Any) -> None:
        table = written("zip,n\n01234,1\n98765,2\n")
        assert table.rows()[0] == {"zip": "01234", "n": 1}
        assert "leading zeros" in said(table, "zip")
        assert written("zip,n\n01234,1\n", types={"zip": "int64"}).rows()[0]["zip"] == 1234

    def test_numbers_too_big_for_int64_stay_exact(self, written: Any) -> None:
        table = written("n\n123456789012345678901234567890\n5\n")
        assert table.rows()[0]["n"] == "123456789012345678901234567890"
        assert "too large" in said(table, "int64")

    def test_marks_of_numbers(self, written: Any) -> None:
        assert written("a;b\n1.234,56;7\n12,5;8\n").rows()[0] == {"a": 1234.56, "b": 7}
        assert written('a,b\n"1,234.5",7\n"1,234,567.25",8\n').rows()[1] == {"a": 1234567.25, "b": 8}
        assert written("a;b\n1'234.5;7\n").rows()[0]["a"] == 1234.5
        doubtful = written('a,b\n"1,234",7\n"2,500",8\n')
        assert doubtful.rows()[0]["a"] == 1234
        assert "may mean" in said(doubtful, "thousands")
        assert written('a,b\n"1,234",7\n', decimal=",").rows()[0]["a"] == 1.234

    @pytest.mark.parametrize(
        ("texts", "arrow", "first", "note"),
        [
            (["13/02/2024", "01/03/2024"], "date32[day]", "2024-02-13", "%d/%m/%Y"),
            (["02/13/2024", "03/01/2024"], "date32[day]", "2024-02-13", "%m/%d/%Y"),
            (["02/03/2024", "04/05/2024"], "date32[day]", "2024-03-02", "may be"),
            (["13.02.2024", "1.3.2024"], "date32[day]", "2024-02-13", "%d.%m.%Y"),
            (["2024/02/13", "2024/03/01"], "date32[day]", "2024-02-13", "%Y/%m/%d"),
            (["13/02/2024 17:05", "01/03/2024 08:00"], "timestamp[us]", "2024-02-13T17:05:00.000000", "%H:%M"),
            (["2/13/2024 5:05 PM", "3/1/2024 8:00 AM"], "timestamp[us]", "2024-02-13T17:05:00.000000", "%I:%M %p"),
        ],
    )
    def test_dates_in_local_orders(self, written: Any, texts: list[str], arrow: str, first: str, note: str) -> None:
        table = written("d,n\n" + "".join(f"{text},{n}\n" for n, text in enumerate(texts)))
        assert (types_of(table)["d"], table.rows()[0]["d"]) == (arrow, first)
        assert note in said(table, "dates")

    def test_another_column_tells_the_order(self, written: Any) -> None:
        table = written("a,b\n02/03/2024,02/13/2024\n")
        assert table.rows()[0] == {"a": "2024-02-03", "b": "2024-02-13"}

    def test_iso_times(self, written: Any) -> None:
        table = written("a,b,c\n2024-01-02,2024-01-02 03:04:05,2024-01-02T03:04:05+02:00\n")
        assert types_of(table) == {"a": "date32[day]", "b": "timestamp[us]", "c": "timestamp[us, UTC]"}
        assert table.rows()[0]["c"] == "2024-01-02T01:04:05.000000Z"

    def test_spellings_of_null(self, written: Any) -> None:
        table = written("a,b,c\n1,NA,x\n-,2.5,NA\n,null,\n")
        assert table.rows() == [{"a": 1, "b": None, "c": "x"}, {"a": None, "b": 2.5, "c": "NA"}, {"a": None, "b": None, "c": None}]
        assert said(table, "that are no texts").startswith("'-', 'NA', 'null' read as null")
        assert written("a,c\n1,x\n2,NA\n", nulls=["NA"]).rows()[1] == {"a": 2, "c": None}

    def test_true_and_false(self, written: Any) -> None:
        assert written("a,n\ntrue,1\nFALSE,2\n").rows() == [{"a": True, "n": 1}, {"a": False, "n": 2}]

    def test_pins_are_checked(self, written: Any) -> None:
        with pytest.raises(ConfigError, match="'zip', which is not there"):
            written("a\n1\n", types={"zip": "string"})
        with pytest.raises(ConfigError, match="no such type"):
            written("a\n1\n", types={"a": "strin"})
        with pytest.raises(ConfigError, match="no option 'seperator'") as caught:
            written("a\n1\n", seperator=";")
        assert caught.value.hint == "did you mean 'separator'?"


class TestRejects:
    ROWS = "id,x,d\n" + "".join(f"{n},{n},2024-01-01\n" for n in range(50))

    def test_an_int_that_becomes_a_float_later_is_never_rounded(self, written: Any) -> None:
        table = written(self.ROWS + "50,1.5,2024-01-01\n", sample_rows=20)
        with pytest.raises(DataAnomalies, match=r"line 52: column 'x': '1.5' is not a whole number"):
            table.count()

    @pytest.mark.parametrize("text", ["1e3", "0x10", "1_000", "007", "9223372036854775808", "1.0", "abc"])
    def test_what_is_no_plain_whole_number(self, written: Any, text: str) -> None:
        table = written(self.ROWS + f"50,{text},2024-01-01\n", sample_rows=20, max_rejects="all")
        assert [one["id"] for one in table.rows()] == list(range(50))
        assert [(one.line, one.column) for one in table.rejects.rows] == [(52, "x")]

    @pytest.mark.parametrize("text", ["2024-01-01 10:00:00", "2024-13-01", "2024-1-1", "x"])
    def test_what_is_no_date(self, written: Any, text: str) -> None:
        assert written(self.ROWS + f"50,5,{text}\n", sample_rows=20, max_rejects=1).count() == 50

    @pytest.mark.parametrize("text", ["2024-01-01 10:00:00+05", "2024-01-01T10:00:00Z", "2024-01-01"])
    def test_a_time_with_a_zone_among_times_without_is_rejected(self, written: Any, text: str) -> None:
        rows = "t\n" + "2024-01-01 10:00:00\n" * 50
        assert written(rows + text + "\n", sample_rows=20, max_rejects=1).count() == 50

    def test_every_kind_with_line_and_reason_in_the_file(self, written: Any, tmp_path: Path) -> None:
        kept = tmp_path / "kept.ndjson"
        table = written(
            self.ROWS + '51,a,"b\nc"\n52\n53,1,2024-01-01,9\n54,8,2024-01-01\n', sample_rows=20, max_rejects="10%", rejects=str(kept)
        )
        assert table.count() == 51
        found = [json.loads(line) for line in kept.read_text().splitlines()]
        assert sorted(one["line"] for one in found) == [52, 54, 55]
        assert {one["line"]: one["reason"] for one in found}[54] == "1 values, 3 columns"
        assert table.rejects.count == 3

    def test_a_share_and_a_number(self, written: Any) -> None:
        bad = self.ROWS + "x,1,2024-01-01\n" * 2
        assert written(bad, sample_rows=20, max_rejects=2).count() == 50
        with pytest.raises(DataAnomalies):
            written(bad, sample_rows=20, max_rejects=1).count()
        assert written(bad, sample_rows=20, max_rejects="5%").count() == 50
        with pytest.raises(DataAnomalies):
            written(bad, sample_rows=20, max_rejects="1%").count()
        with pytest.raises(ConfigError, match="no limit"):
            written(bad, max_rejects="some")

    def test_rows_are_the_same_whatever_columns_are_read(self, written: Any) -> None:
        table = written(self.ROWS + "50,1.5,2024-01-01\n", sample_rows=20, max_rejects="all")
        assert sum(batch.rows for batch in table.batches(["id"])) == sum(batch.rows for batch in table.batches()) == table.count() == 50

    @pytest.mark.parametrize("condition", ["x > 10", "id < 5", "x IS NULL", "false"])
    def test_a_condition_hides_no_reject(self, written: Any, condition: str) -> None:
        table = written(self.ROWS + "50,1.5,2024-01-01\n51,1,x\n52\n", sample_rows=20, max_rejects="all").where(condition)
        for _ in (table.count(), table.rows(), table.select("id").rows()):
            assert table.rejects.count == 3

    def test_many_rejects_end_early_without_a_full_read(self, written: Any) -> None:
        table = written("a\n" + "1\n" * 100 + "x\n" * 200_000, sample_rows=50, newline="lf")
        with pytest.raises(DataAnomalies, match="or more"):
            table.count()
        assert table.rejects.count < 1000

    def test_the_hint_says_what_to_pin(self, written: Any) -> None:
        with pytest.raises(DataAnomalies) as caught:
            written(self.ROWS + "50,1.5,2024-01-01\n", sample_rows=20).count()
        assert "types={'x': 'double'}" in caught.value.hint


class TestFiles:
    def test_compressed(self, tmp_path: Path) -> None:
        plain = b"a,b\n" + b"1,x\n" * 1000
        for name, packed in (("t.csv.gz", gzip.compress(plain)), ("t.csv.bz2", bz2.compress(plain)), ("t.csv.xz", lzma.compress(plain))):
            (tmp_path / name).write_bytes(packed)
            assert read(tmp_path / name).count() == 1000
        with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
            archive.writestr("one.csv", plain)
        assert read(tmp_path / "t.zip").count() == 1000
        with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
            archive.writestr("one.csv", plain)
            archive.writestr("two.csv", "c\n5\n")
        with pytest.raises(ConfigError, match="holds 2 files"):
            read(tmp_path / "two.zip")
        assert read(tmp_path / "two.zip", member="two.csv").rows() == [{"c": 5}]

    def test_members_of_gzip_follow_each_other(self, written: Any) -> None:
        assert written(gzip.compress(b"a\n1\n") + gzip.compress(b"2\n3\n"), "t.csv.gz").count() == 3

    def test_cut_off_archives(self, written: Any) -> None:
        whole = gzip.compress(b"".join(os.urandom(20).hex().encode() + b"\n" for _ in range(50_000)))
        with pytest.raises(ConfigError, match="cannot be unpacked"):
            written(whole[: len(whole) // 2], "t.csv.gz").count()

    @pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress], ids=["gzip", "bz2", "xz"])
    def test_bombs_are_refused(self, written: Any, pack: Any) -> None:
        bomb = pack(b"a,b\n" + b"1,xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n" * 500_000)
        with pytest.raises(ConfigError, match="looks like a bomb"):
            written(bomb, "t.csv.gz", max_ratio=100).count()

    def test_size_limits(self, written: Any) -> None:
        with pytest.raises(ConfigError, match="max_bytes"):
            written(gzip.compress(b"a\n" + b"1\n" * 2_000_000), "t.csv.gz", max_bytes="2 MB").count()

    def test_globs_and_folders_with_differing_columns(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("x,y\n1,a\n")
        (tmp_path / "b.csv").write_text("y,z,x\nb,2.5,2.5\n")
        (tmp_path / "c.csv").write_bytes("x;y\r\n3;é\r\n".encode("utf-16"))
        for table in (read(tmp_path / "*.csv"), read(tmp_path), read([tmp_path / "a.csv", tmp_path / "b.csv", tmp_path / "c.csv"])):
            assert table.columns == ["x", "y", "z"]
            assert table.rows() == [{"x": 1.0, "y": "a", "z": None}, {"x": 2.5, "y": "b", "z": 2.5}, {"x": 3.0, "y": "é", "z": None}]
            assert any("has no column 'z'" in note for note in table.notes)

    def test_missing_files_have_close_names(self, tmp_path: Path) -> None:
        (tmp_path / "sales.csv").write_text("a\n1\n")
        with pytest.raises(NotFoundError) as caught:
            read(tmp_path / "sale.csv")
        assert caught.value.hint == f"did you mean {tmp_path / 'sales.csv'}?"
        with pytest.raises(NotFoundError, match="no file is named like"):
            read(tmp_path / "*.parquet")

    @pytest.mark.parametrize("data", [b"", b"\n\n", b"\xef\xbb\xbf", b"\xff\xfe"])
    def test_empty_files(self, written: Any, data: bytes) -> None:
        with pytest.raises(ConfigError, match="is empty"):
            written(data)

    def test_bytes_that_are_no_text(self, written: Any) -> None:
        with pytest.raises(ConfigError, match="no text"):
            written(b"a,b\n1,\x00\x01\x02\x00\x00,3\n" * 5)

    def test_a_pipe_is_read_once(self, tmp_path: Path) -> None:
        path = tmp_path / "pipe"
        os.mkfifo(path)
        thread = threading.Thread(target=path.write_bytes, args=(b"a,b\n" + b"1,x\n" * 100_000,))
        thread.start()
        assert read(path, format="csv").count() == 100_000
        thread.join()

    def test_a_field_longer_than_a_line_may_be(self, written: Any) -> None:
        table = written(b"a,b\n" + b"1,x\n" * 10 + b'2,"' + b"y" * 20_000_000 + b'"\n3,z\n', max_rejects="all")
        assert table.count() in (10, 11)
        assert table.rejects.count >= 1


def test_a_file_is_scanned_by_parts_when_only_the_head_is_asked_for(written: Any) -> None:
    table = written("a,b\n" + "1,x\n" * 300_000)
    assert len(table.rows(5)) == 5


@pytest.mark.parametrize(
    ("value", "reason", "advice"),
    [
        ("oops", "'oops' is not a whole number", "types={'id': 'string'}"),
        ("9223372036854775808", "'9223372036854775808' is beyond what int64 holds", "types={'id': 'double'}"),
        ("007", "'007' has leading zeros", "types={'id': 'double'}"),
        ("N/A", "'N/A' is not a whole number", "they may mean that a value is missing: nulls=['N/A']"),
    ],
)
def test_why_a_late_value_is_no_whole_number_and_what_to_do(written: Any, value: str, reason: str, advice: str) -> None:
    text = "id,v\n" + "".join(f"{n},{n}\n" for n in range(20_000))  # more than types are guessed from
    with pytest.raises(DataAnomalies) as raised:
        written(f"{text}{value},1\n{text[5:]}").rows()
    assert f"line 20002: column 'id': {reason} (in" in str(raised.value)
    assert advice in str(raised.value.hint)
