"""Files of JSON that people edit and carry about: schemas, statistics, baselines, validations, drift reports; and URLs of databases."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from fairway.data.batch import Batch
from fairway.data.sources.sql import Database
from fairway.data.sources.urls import secrets_of, shown
from fairway.errors import FairwayError
from tests.data.fuzz.targets import Target

_ROWS = [
    {"id": n, "x": n * 0.37 % 5, "at": f"2024-01-01T00:{n // 60:02d}:{n % 60:02d}", "c": "abc"[n % 3], "l": [n, 1]} for n in range(300)
]


@cache
def _measured() -> Any:
    from fairway.data.statistics import measure
    from fairway.data.table import read

    return measure(read({name: [row[name] for row in _ROWS] for name in _ROWS[0]}))


def _schemas() -> tuple[bytes, ...]:
    from fairway.data.schema.infer import infer

    rows: dict[str, Any] = {
        "type": "object",
        "properties": {
            "id": {"type": "integer", "x-fairway": {"unique": True, "unit": "kg", "presence": 0.9, "drift": {"measure": "psi"}}},
            "at": {"type": ["string", "null"], "format": "date-time"},
            "c": {"enum": ["a", "b"], "pattern": "^[ab]$", "x-fairway": {"severity": {"unknown-category": "warning"}}},
            "l": {"type": "array", "items": {"$ref": "#/$defs/n"}},
        },
        "$defs": {"n": {"type": "number", "exclusiveMinimum": -1}},
        "required": ["id"],
        "x-fairway": {
            "label": "c", "keys": [["id"]], "rows": {"minimum": 1}, "duplicates": 0.0, "freshness_s": 86400,
            "cadence": [{"column": "at", "by": ["c"], "period_s": 5, "tolerance": 0.1, "max_gap_s": 30, "zone": "UTC"}],
            "slices": [{"by": "c"}], "environments": ["training", "serving"],
        },
    }  # fmt: skip
    return (
        json.dumps(rows).encode(),
        json.dumps(infer(_measured(), label="c")).encode(),
        b'{"inputs": {"age": "number", "x": {"type": "number", "minimum": 1}}, "outputs": {"y": "string"}}',
        b'{"inputs": [{"name": "a", "type": "double"}], "outputs": [{"type": "long"}]}',
    )


def _schema(data: bytes) -> None:
    """Read for training and for serving, shown, held to rows."""
    from fairway.data.anomalies.validating import validate_batch
    from fairway.data.batch import values_of
    from fairway.data.schema.differences import difference
    from fairway.data.schema.files import parse_document
    from fairway.data.schema.load import load_schema
    from fairway.data.schema.parse import parse_schema

    with suppress(FairwayError):
        document = parse_document(data, "fuzzed.json")
        with suppress(FairwayError):
            load_schema(json.loads(json.dumps(document)))
        schema = parse_schema(document, "fuzzed.json").for_environment("training")
        difference(document, json.loads(_schemas()[0]))
        columns = {name: values_of([row[name] for row in _ROWS[:20]]) for name in _ROWS[0]}
        validate_batch(Batch(0, 20, columns), schema)


def _statistics(data: bytes) -> None:
    """Read back, told, added to others, written again."""
    from fairway.data.statistics.summary import summarise
    from fairway.data.statistics.table import TableStatistics

    with suppress(FairwayError):
        read = TableStatistics.from_json(data, where="fuzzed.json")
        summarise(read)
        read.to_json()


def _baseline(data: bytes) -> None:
    """Read back, and held against a window of a monitor."""
    from fairway.data.batch import values_of
    from fairway.data.drift import Monitor, load_baseline

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "baseline.json")
        path.write_bytes(data)
        with suppress(FairwayError):
            read = load_baseline(path)
            if read.window_rows <= 1_000:
                columns = {name: values_of([row[name] for row in _ROWS]) for name in _ROWS[0]}
                Monitor(read, window_rows=max(read.window_rows, 10)).add(Batch(0, len(_ROWS), columns))


def _baselines() -> tuple[bytes, ...]:
    from fairway.data.drift import Baseline

    return (json.dumps(Baseline.make(_measured(), window_rows=100).to_json()).encode(),)


def _validation(data: bytes) -> None:
    from fairway.data.anomalies.model import Validation

    with suppress(FairwayError):
        read = Validation.from_json(data)
        read.summary()
        read.to_json()


def _validations() -> tuple[bytes, ...]:
    from fairway.data.anomalies import validate
    from fairway.data.table import read

    schema = {"type": "object", "properties": {"a": {"type": "integer", "maximum": 2}, "b": {"enum": ["x"]}}, "required": ["c"]}
    return (validate(read({"a": [1, 2, 3], "b": ["x", "y", None]}), schema, fail=False).to_json().encode(),)


def _page(data: bytes) -> None:
    """The data within a page, in whatever state."""
    from fairway.data.report.stored import read_page

    with suppress(FairwayError):
        read_page(data.decode("utf-8", "replace"))


def _pages() -> tuple[bytes, ...]:
    from fairway.data.drift import compare

    begin, end = '<script type="application/json" id="fairway-data">', "</script>"
    drift = {"kind": "drift", "data": compare(_measured(), _measured()).to_json()}
    found = {"kind": "validation", "data": json.loads(_validations()[0])}
    return tuple((begin + json.dumps(one) + end).encode() for one in (drift, found))


def _url(data: bytes) -> None:
    """What is shown of a URL holds no password of it; a URL that is none is refused."""
    uri = "postgresql://" + data.decode("utf-8", "replace")
    told = shown(uri)
    for secret in secrets_of(uri):
        assert len(secret) < 8 or uri.count(secret) > 1 or secret not in told, (uri, told)
    with suppress(FairwayError):
        Database(uri, "t", "", {})


def _lazily(make: Callable[[], tuple[bytes, ...]]) -> tuple[bytes, ...]:
    return make()


TARGETS: tuple[Target, ...] = (
    Target("schema", _schema, _lazily(_schemas)),
    Target("statistics", _statistics, (_measured().to_json(sample=True).encode(),)),
    Target("baseline", _baseline, _lazily(_baselines)),
    Target("validation", _validation, _lazily(_validations)),
    Target("page", _page, _lazily(_pages)),
    Target("sqlurl", _url, (b"me:secretsecret@host:5432/db?sslmode=require", b"u@[::1]/d", b"u:p%40sswordp@h/d?password=anotherone;x=1")),
)
