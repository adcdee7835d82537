"""`fairway data validate` as a user types it: exit statuses, forms, files."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from fairway.cli import main
from fairway.data.anomalies import Validation

SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "integer", "x-fairway": {"unique": True}},
        "city": {"enum": ["Oslo", "Bergen"], "x-fairway": {"severity": {"unknown-category": "warning"}}},
        "kg": {"type": "number", "maximum": 200},
    },
    "required": ["id", "city", "kg"],
}
GOOD = "id,city,kg\n1,Oslo,70.5\n2,Bergen,81\n3,Oslo,65.25\n"
BAD = 'id,city,kg\n1,Oslo,70.5\n2,"Ber,gen: 100%",8100.5\n2,Oslo,65.25\n'
WARN = "id,city,kg\n1,Oslo,70.5\n2,Tromsø,81.5\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("schema.json").write_text(json.dumps(SCHEMA, indent=2), encoding="utf-8")
    for name, text in (("good", GOOD), ("bad", BAD), ("warn", WARN)):
        Path(f"{name}.csv").write_text(text, encoding="utf-8")
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(["data", "validate", *words, "--schema", "schema.json"])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_clean_data_is_one_line_and_status_0(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "good.csv")
    assert status == 0
    assert out.startswith("✓ good.csv keeps to schema.json  3 rows × 3 columns")


def test_anomalies_are_status_1_and_the_worst_comes_first(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "bad.csv")
    assert status == 1
    assert "✗ bad.csv does not keep to schema.json: 2 errors, 1 warning" in out
    marks = re.findall(r"^  ([✗!]) (\w+)", out, re.M)
    assert marks == [("✗", "kg"), ("✗", "id"), ("!", "city")]
    assert "kg goes up to 8,100.5; the schema says at most 200 (1 value, 33.3 %)" in out
    assert "e.g. row 1: 8,100.5" in out
    assert "too-large; to accept it: /properties/kg/maximum = 8100.5" in out
    assert "\033" not in out


def test_warnings_alone_are_status_0_unless_they_are_to_count(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "warn.csv")[0] == 0
    assert run(capsys, "warn.csv", "--warnings-fail")[0] == 1


@pytest.mark.parametrize(
    "words", [["none.csv"], ["good.csv", "--environment", "moon"], ["good.csv", "--max-rejects", "some"], ["good.csv", "--format", "x"]]
)
def test_misuse_is_status_2(folder: Path, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    status, out, err = run(capsys, *words)
    assert status == 2
    assert out == ""
    assert err


def test_a_schema_that_is_none_is_status_2_with_the_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("schema.json").write_text('{"properties":\n {"id" 1}}', encoding="utf-8")
    status, _, err = run(capsys, "good.csv")
    assert status == 2
    assert "schema.json:2" in err


def test_json_is_what_python_reads_back(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "bad.csv", "--format", "json")
    found = Validation.from_json(out)
    assert (status, found.rows, [one.kind for one in found.anomalies]) == (1, 3, ["too-large", "not-unique", "unknown-category"])
    assert json.loads(out)["anomalies"][0]["edit"] == [{"op": "replace", "path": "/properties/kg/maximum", "value": 8100.5}]


def test_junit_is_what_ci_reads(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "bad.csv", "--format", "junit", "--out", "out/report.xml")
    assert status == 1
    assert "2 errors" in out
    check_junit(ET.fromstring(Path("out/report.xml").read_bytes()), failures=2, tests=3)
    run(capsys, "good.csv", "--format", "junit", "--out", "clean.xml")
    root = ET.fromstring(Path("clean.xml").read_bytes())
    check_junit(root, failures=0, tests=3)
    assert [case.get("name") for case in root.iter("testcase")] == ["id", "city", "kg"]


def check_junit(root: ET.Element, *, failures: int, tests: int) -> None:
    """What the XSD of Jenkins' xUnit plug-in (junit-10) asks for: elements, their order, the attributes that must be there, counts."""
    children = {
        "testsuites": {"testsuite"}, "testsuite": {"properties", "testcase", "system-out", "system-err"}, "properties": {"property"},
        "property": set(), "testcase": {"skipped", "error", "failure", "system-out", "system-err"}, "failure": set(), "system-out": set(),
    }  # fmt: skip
    needed = {"testsuite": {"name"}, "testcase": {"name", "classname"}, "property": {"name", "value"}}
    allowed = {
        "testsuites": {"name", "time", "tests", "failures", "disabled", "errors"}, "property": {"name", "value"},
        "testsuite": {"name", "tests", "failures", "errors", "time", "disabled", "skipped", "timestamp", "hostname", "id", "package"},
        "testcase": {"name", "assertions", "time", "classname", "status"}, "failure": {"type", "message"},
    }  # fmt: skip
    for element in root.iter():
        assert {child.tag for child in element} <= children[element.tag]
        assert set(element.attrib) <= allowed.get(element.tag, set())
        assert set(element.attrib) >= needed.get(element.tag, set())
    (suite,) = root
    assert suite[0].tag == "properties"
    assert suite.get("tests") == str(tests) == str(len(suite.findall("testcase")))
    assert suite.get("failures") == str(failures) == str(len(list(suite.iter("failure"))))
    assert all(float(element.get("time", "0")) >= 0 for element in root.iter())


def test_junit_stands_characters_that_xml_has_not() -> None:
    from fairway.data.anomalies import validate
    from fairway.data.anomalies.formats import as_junit
    from fairway.data.batch import Batch

    odd = 'a\x00b\ud7ff<&>"]]>\x1b'
    found = validate([Batch.of({"x": [odd, "ok"]})], {"type": "object", "properties": {"x": {"enum": ["ok"]}}, "required": ["x"]})
    root = ET.fromstring(as_junit(found).encode())
    assert "<&>" in "".join(root.itertext())


def test_githubs_annotations_are_escaped_and_stand_at_the_columns_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "bad.csv", "--format", "github")
    lines = out.splitlines()
    pattern = re.compile(r"::(error|warning|notice) ((?:\w+=[^,:\r\n]*)(?:,\w+=[^,:\r\n]*)*)::(.+)")
    parsed = [pattern.fullmatch(line) for line in lines]
    assert all(parsed)
    first, _, city, _ = [match for match in parsed if match]
    at = {match[1]: match[2] for match in re.finditer(r"(\w+)=([^,]*)", first[2])}
    source = Path("schema.json").read_text(encoding="utf-8").splitlines()
    assert at["file"] == "schema.json"
    assert '"kg"' in source[int(at["line"]) - 1]
    assert (first[1], city[1]) == ("error", "warning")
    assert "Ber,gen: 100%25" in city[3]


def test_html_is_a_page_that_loads_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, _ = run(capsys, "bad.csv", "--format", "html", "--out", "report.html")
    page = Path("report.html").read_text(encoding="utf-8")
    assert status == 1
    assert page.lower().startswith("<!doctype html>")
    assert "8,100.5" in page
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", page)


def test_rows_that_cannot_be_read_are_errors_beyond_the_limit(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "id,city,kg\n" + "".join(f"{number},Oslo,70.5\n" for number in range(3_000)) + "x,Oslo\n"
    Path("torn.csv").write_text(text, encoding="utf-8")
    status, out, _ = run(capsys, "torn.csv", "--set", 'types={"id": "bigint", "kg": "double"}')
    assert status == 1
    assert "1 row could not be read (line 3,002)" in out
    status, out, _ = run(capsys, "torn.csv", "--max-rejects", "1", "--set", 'types={"id": "bigint", "kg": "double"}')
    assert status == 0
    assert "! (table)" in out


def test_rows_that_are_also_in_another_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("train.csv").write_text("id,city,kg\n10,Oslo,70.5\n11,Oslo,99.5\n", encoding="utf-8")
    status, out, _ = run(capsys, "good.csv", "--against", "train.csv")
    assert status == 1
    assert "1 row (33.3 %) are also in train.csv" in out


def test_several_files_are_one_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "good.csv", "good.csv", "--format", "json")
    found: dict[str, Any] = json.loads(out)
    assert (status, found["rows"], [one["kind"] for one in found["anomalies"]]) == (1, 6, ["not-unique"])
