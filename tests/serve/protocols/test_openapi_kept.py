"""Real inference servers keep to their own OpenAPI documents, whatever schemathesis sends: what the document lets in is answered, what it
does not is refused, and every answer is as described."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from fairway.serve.schema import load_schema
from fairway.serve.schema.openapi import render_openapi
from tests.serve.replica.rig import replica, script

COLUMNS = {
    "inputs": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "age": {"type": "integer", "minimum": 0, "maximum": 130},
                "income": {"type": ["number", "null"]},
                "city": {"enum": ["ulm", "bonn"]},
                "note": {"type": "string", "maxLength": 5},
            },
            "required": ["age", "income", "city"],
        },
    },
    "outputs": {"type": "array", "items": {"type": "number"}},
}
TENSORS = {"inputs": {"x": {"type": "float32", "shape": [-1, 2]}}, "outputs": {}}
VALUE = {
    "inputs": {
        "type": "object",
        "properties": {"text": {"type": "string"}, "top": {"type": "integer"}},
        "required": ["text"],
        "additionalProperties": False,
    },
    "outputs": {},
}
SCHEMAS = {"columns": COLUMNS, "tensors": TENSORS, "value": VALUE}
SCRIPT = "def init(): pass\ndef run(raw_data): return [1.0]\n"


def document(name: str) -> Any:
    made = schemathesis.openapi.from_dict(render_openapi(load_schema(SCHEMAS[name]), name))
    made.config.phases.coverage.enabled = False
    return made


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """An inference server for each schema."""
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("kept")
        servers = {
            name: stack.enter_context(
                replica(script(folder / name, SCRIPT, schema=schema), "--name", name, "--limits", '{"body_bytes": 1000000}')
            )
            for name, schema in SCHEMAS.items()
        }
        yield {name: server.ready["url"] for name, server in servers.items()}


quick = settings(
    max_examples=10, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None, derandomize=True
)
columns, tensors, value = document("columns"), document("tensors"), document("value")


def check(case: Any, url: str) -> None:
    # What a CSV may hold, and what names and lengths V2's tensors may have, is beyond what the document can say; parameters may be anything
    # that fits 64 bits.
    beyond = [positive_data_acceptance, negative_data_rejection] if "/infer" in case.path or case.media_type == "text/csv" else []
    if isinstance(case.body, dict) and {"params", "parameters"} & set(case.body):
        beyond = [positive_data_acceptance]
    case.call_and_validate(base_url=url, timeout=60, excluded_checks=beyond)


@columns.parametrize()
@quick
def test_a_model_of_rows_keeps_to_its_document(case: Any, urls: dict[str, str]) -> None:
    check(case, urls["columns"])


@tensors.parametrize()
@quick
def test_a_model_of_arrays_keeps_to_its_document(case: Any, urls: dict[str, str]) -> None:
    check(case, urls["tensors"])


@value.parametrize()
@quick
def test_a_model_of_one_value_keeps_to_its_document(case: Any, urls: dict[str, str]) -> None:
    check(case, urls["value"])
