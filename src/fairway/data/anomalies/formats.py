"""A validation for machines that watch over others: JUnit's XML, GitHub's annotations."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

from fairway.data.anomalies.model import Anomaly, Validation
from fairway.data.spelling import spell

_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LEVELS = {"error": "error", "warning": "warning"}


def as_junit(validation: Validation, columns: tuple[str, ...] = ()) -> str:
    """JUnit's XML: a test case for each anomaly, and one that passed for each of `columns` that has none. Warnings pass, with their text.

    It keeps to the schema of Jenkins' xUnit plug-in, which GitLab, Azure and the others read as well.
    """
    seconds = f"{validation.seconds:.3f}"
    failures = str(len(validation.errors))
    clean = [name for name in columns if not validation.of_column(name)]
    about = {"tests": str(len(validation.anomalies) + len(clean)), "failures": failures, "errors": "0", "time": seconds}
    root = ET.Element("testsuites", {"name": "fairway data validate", **about})
    suite = ET.SubElement(root, "testsuite", {"name": _legal(validation.uri or "data"), **about, "skipped": "0"})
    properties = ET.SubElement(suite, "properties")
    for name, value in (("schema", validation.schema_where), ("schema_digest", validation.schema_digest), ("rows", str(validation.rows))):
        ET.SubElement(properties, "property", {"name": name, "value": _legal(value)})
    group = _legal(validation.schema_where or "schema")
    for one in validation.anomalies:
        name = f"{one.column or 'table'}: {one.kind}"
        case = ET.SubElement(suite, "testcase", {"name": _legal(name), "classname": group, "time": "0"})
        if one.severity == "error":
            failure = ET.SubElement(case, "failure", {"message": _legal(one.message), "type": one.kind})
            failure.text = _legal(_details(one))
        else:
            ET.SubElement(case, "system-out").text = _legal(f"warning: {_details(one)}")
    for name in clean:
        ET.SubElement(suite, "testcase", {"name": _legal(name), "classname": group, "time": "0"})
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _details(one: Anomaly) -> str:
    lines = [one.message, f"expected: {one.expected}", f"found: {one.found}"]
    if one.examples:
        lines.append("examples: " + shown_examples(one))
    if one.edit:
        lines.append("the edit of the schema that would accept it: " + json.dumps(one.edit, ensure_ascii=False))
    return "\n".join(lines)


def shown_examples(one: Anomaly, most: int = 5) -> str:
    """Rows (from 0) and lines with what stands there."""
    parts = []
    for example in one.examples[:most]:
        place = f"line {example.line:,}" if example.line is not None else f"row {example.row:,}"
        parts.append(place if example.value is None else f"{place}: {example.value if _is_said(example.value) else spell(example.value)}")
    return "; ".join(parts)


def _is_said(value: object) -> bool:
    """Words of ours about a row, not a value of the data."""
    return isinstance(value, str) and " after " in value and value[:1] in "-+0123456789"


def _legal(text: str) -> str:
    return _ILLEGAL.sub("\ufffd", text)


def as_github(validation: Validation) -> str:
    """GitHub's workflow commands: one annotation an anomaly, at the column's line of the schema's file where there is one."""
    lines = _lines_of_columns(validation.schema_where)
    made = []
    for one in validation.anomalies:
        place = {"file": validation.schema_where} if lines else {}
        if lines and one.column in lines:
            place["line"] = str(lines[one.column])
        place["title"] = f"{validation.uri or 'data'}: {one.kind}{f' in {one.column}' if one.column else ''}"
        fields = ",".join(f"{key}={_property(value)}" for key, value in place.items())
        examples = f" ({shown_examples(one, 3)})" if one.examples else ""
        made.append(f"::{_LEVELS[one.severity]} {fields}::{_data(one.message + examples)}")
    made.append(f"::notice title={_property(validation.uri or 'data')}::{_data(validation.summary())}")
    return "\n".join(made) + "\n"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _lines_of_columns(where: str) -> dict[str, int]:
    """The line of each property in a schema's file; nothing where it is none."""
    try:
        text = Path(where).read_text(encoding="utf-8-sig")
    except (OSError, ValueError):
        return {}
    begin = max(text.find('"properties"'), 0)
    made: dict[str, int] = {"": text.count("\n", 0, begin) + 1}
    for found in re.finditer(r'("(?:[^"\\]|\\.)*")\s*:\s*[\[{"]', text[begin:]):
        try:
            made.setdefault(str(json.loads(found[1])), text.count("\n", 0, begin + found.start()) + 1)
        except ValueError:
            continue
    return made
