"""Files made to exhaust whoever reads them: refused in bounded time and memory, with a sentence."""

from __future__ import annotations

import gzip
import json
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairway.data.table import read
from fairway.errors import ConfigError
from tests.data.faults.limited import fairway, pour

_SCHEMA = '{"type": "object", "properties": {"a": {"type": "integer"}}}'
_MEGABYTE = 1 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "schema.json").write_text(_SCHEMA)
    (tmp_path / "x.csv").write_text("a,b\n1,2\n3,4\n")
    return tmp_path


def test_archives_that_unpack_out_of_all_proportion(folder: Path) -> None:
    with gzip.open(folder / "rows.csv.gz", "wb") as file:
        for _ in range(150):
            file.write(b"1,2\n" * (_MEGABYTE // 4))
    fairway("data", "stats", "rows.csv.gz", folder=folder, seconds=240).refused("looks like a bomb", "max_ratio=")
    with zipfile.ZipFile(folder / "rows.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.csv", b"a\n" + b"1\n" * (20 * _MEGABYTE))
    fairway("data", "head", "rows.zip", folder=folder).refused("looks like a bomb")
    with zipfile.ZipFile(folder / "nested.zip", "w") as archive:
        archive.write(folder / "rows.zip", "inner.zip")
    fairway("data", "head", "nested.zip", folder=folder).refused("no text")


@pytest.mark.parametrize(
    "document",
    [
        '<!DOCTYPE l [<!ENTITY a "ha">'
        + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(12))
        + "]><l>&m;</l>",
        f'<!DOCTYPE l [<!ENTITY a "{"A" * 100_000}">]><l>{"&a;" * 50_000}</l>',
        '<!DOCTYPE l [<!ENTITY a SYSTEM "file:///etc/passwd">]><l><e><x>&a;</x></e></l>',
    ],
    ids=["laughs", "quadratic", "external"],
)
def test_entities_of_xml_are_not_read(folder: Path, document: str) -> None:
    (folder / "x.xml").write_text(document)
    fairway("data", "head", "x.xml", folder=folder).refused("DTD", "x.xml:1")


@pytest.mark.parametrize("begin", ['"', "3,", ",3"], ids=["quoted", "last field", "middle"])
def test_a_line_of_csv_without_end_is_a_reject(folder: Path, begin: str) -> None:
    """Through a pipe, so that it needs no disk: 200 MB in one line."""

    def pieces() -> Iterator[bytes]:
        yield f"a,b\n1,2\n{begin}".encode()
        yield from (b"x" * _MEGABYTE for _ in range(200))
        yield b'"\n2,3\n' if begin == '"' else b"\n2,3\n"

    pour(folder / "pipe.csv", pieces)
    made = fairway("data", "stats", "pipe.csv", folder=folder, seconds=240)
    made.refused("1 row of pipe.csv cannot be read", status=1)


@pytest.mark.parametrize("size", [5, 9, 17])
def test_no_long_line_of_a_file_is_left_out_in_silence(folder: Path, size: int) -> None:
    from fairway.data.table import read

    rows = b"1,2\n" * 1000
    (folder / "long.csv").write_bytes(b"a,b\n" + rows + b"3," + b"x" * (size * _MEGABYTE) + b"\n" + rows + b"4," + b"y" * (9 * _MEGABYTE))
    table = read(str(folder / "long.csv"), max_rejects="all")
    assert sum(batch.rows for batch in table.batches()) == 2000
    assert [(one.line, one.text[:3]) for one in table.rejects.rows] == [(1002, "3,x"), (2003, "4,y")]


@pytest.mark.parametrize("name", ["deep.json", "deep.ndjson"])
def test_json_that_is_nested_a_hundred_thousand_deep(folder: Path, name: str) -> None:
    deep = "[" * 100_000 + "]" * 100_000
    (folder / name).write_text(f'{{"a": 1}}\n{{"a": {deep}}}\n' if name.endswith("ndjson") else f'[{{"a": {deep}}}]')
    fairway("data", "stats", name, folder=folder).refused("nested too deep", status=1 if name.endswith("ndjson") else 2)


def test_documents_that_are_nested_a_hundred_thousand_deep(folder: Path) -> None:
    (folder / "deep.json").write_text('{"a":' * 100_000 + "1" + "}" * 100_000)
    fairway("data", "validate", "x.csv", "--schema", "deep.json", folder=folder).refused("nested too deep", "deep.json")
    fairway("data", "drift", "--baseline", "deep.json", "x.csv", folder=folder).refused("nested too deep", "deep.json")
    fairway("data", "schema", "accept", "deep.json", folder=folder).refused("nested too deep", "deep.json")
    (folder / "deep.json").write_text('{"kind": "fairway-statistics", "version": 1, "rows": ' + "[" * 100_000)
    fairway("data", "stats", "--merge", "deep.json", folder=folder).refused("no JSON", "deep.json")


def test_a_stream_sets_aside_what_is_nested_too_deep(folder: Path) -> None:
    lines = '{"a": 1}\n{"a": ' + "[" * 100_000 + "]" * 100_000 + '}\n{"a": 2}\n'
    made = fairway("data", "watch", "-", "--schema", "schema.json", "--once", folder=folder, stdin=lines.encode())
    assert "2 rows" in made.out
    assert "1 record that could not be read" in made.out


def test_numbers_that_no_computer_holds(folder: Path) -> None:
    (folder / "n.json").write_text(f'[{{"d": 1}}, {{"d": {"9" * 10_000}}}]')
    fairway("data", "stats", "n.json", folder=folder).refused("thousands of digits", "n.json:1")
    (folder / "n.ndjson").write_text(f'{{"d": NaN, "e": 1e400}}\n{{"d": {"9" * 10_000}}}\n{{"d": 1, "e": {"9" * 400}}}\n')
    made = fairway("data", "head", "n.ndjson", folder=folder)
    assert made.status == 0
    assert "line 2: is no JSON: a whole number has thousands of digits" in made.err
    made = fairway("data", "watch", "n.ndjson", "--schema", "schema.json", "--once", folder=folder)
    assert "Traceback" not in made.err
    assert made.status == 1


def test_times_beyond_the_years_of_python(folder: Path) -> None:
    rows = [{"t": "0001-01-01T00:00:00+14:00"}, {"t": "9999-12-31T23:59:59-12:00"}] * 30
    (folder / "t.ndjson").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rules = {"t": {"type": "string", "format": "date-time"}}
    about = {"cadence": [{"column": "t", "period_s": 5}], "freshness_s": 10}
    (folder / "t.json").write_text(json.dumps({"type": "object", "properties": rules, "x-fairway": about}))
    made = fairway("data", "validate", "t.ndjson", "--schema", "t.json", folder=folder)
    assert made.status in (0, 1), made.err


def test_many_columns_with_one_name(folder: Path) -> None:
    (folder / "same.csv").write_text(",".join(["a"] * 15_000) + "\n")
    made = fairway("data", "head", "same.csv", "--columns", "a", folder=folder, seconds=240, megabytes=600)
    assert "Traceback" not in made.err
    (folder / "wide.csv").write_text(",".join(f"c{n}" for n in range(100_000)) + "\n" + ",".join(["1"] * 100_000) + "\n")
    fairway("data", "head", "wide.csv", folder=folder).refused("100,000 columns, more than 20,000", "wide.csv")


@pytest.mark.parametrize("format_name", ["json", "ndjson", "xml", "parquet", "arrow", "avro", "excel"])
def test_a_pipe_is_refused_where_it_would_be_read_twice(folder: Path, format_name: str) -> None:
    pour(folder / "pipe", lambda: [b'{"a": 1}\n'])
    fairway("data", "head", "pipe", "--format", format_name, folder=folder).refused("pipe", "come only once")


def test_a_stream_of_a_pipe_is_pointed_to_standard_input(folder: Path) -> None:
    pour(folder / "pipe", lambda: [b'{"a": 1}\n'])
    fairway("data", "watch", "pipe", "--schema", "schema.json", "--once", folder=folder).refused("pipe", "fairway data watch - <")


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^([a-z]*b?)*$", "(?:(x+))*y"])
def test_patterns_that_never_end_are_refused(folder: Path, pattern: str) -> None:
    (folder / "slow.json").write_text(json.dumps({"type": "object", "properties": {"a": {"type": "string", "pattern": pattern}}}))
    (folder / "a.csv").write_text("a\n" + "a" * 60 + "!\n")
    fairway("data", "validate", "a.csv", "--schema", "slow.json", folder=folder).refused("in ever more ways", "/properties/a/pattern")


@pytest.mark.parametrize("pattern", [r"^(\d+,)*\d+$", "^(ab)+$", r"^([A-Z]{2,3}-)+\d+$", r"^\w+@\w+\.\w+$", "^(a+)?$"])
def test_patterns_that_end_are_not(folder: Path, pattern: str) -> None:
    (folder / "fine.json").write_text(json.dumps({"type": "object", "properties": {"a": {"type": "string", "pattern": pattern}}}))
    assert fairway("data", "schema", "show", "fine.json", folder=folder).status == 0


def test_an_element_with_100000_attributes(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text("<r><e " + " ".join(f'a{n}="1"' for n in range(100_000)) + "/><e/></r>")
    begun = time.process_time()
    with pytest.raises(ConfigError, match="100,000 different attributes"):
        read(str(path))
    assert time.process_time() - begun < 60  # it took minutes
