"""OpenAPI 3.1 of an inference server: what each protocol takes by this model's schema, and every answer it may give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fairway.data.schema.modelschema import ModelSchema
from fairway.serve.schema.bodies import definitions_of, inner_of, mlflow_of
from fairway.serve.schema.examples import example_body, example_csv

_JSON, _CSV = "application/json", "text/csv"
_ARROW, _PARQUET = "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"

ERRORS = {
    400: "The request cannot be read: it is not JSON, not CSV, or tensors are not as long as they say.",
    401: "A key is wanted, or the one that came is not known.",
    404: "There is no such model, version or path here.",
    405: "The path does not take this method.",
    406: "The answer cannot be of a type that is accepted.",
    408: "The request did not come in time.",
    413: "The request is too large.",
    415: "The content type is none that this takes.",
    422: "The input does not keep to the schema; each fault has its row and field.",
    429: "Too many requests are waiting, or this key has sent too many; come again after Retry-After.",
    500: "The model failed on this input.",
    501: "This server has none of that.",
    503: "The model is being loaded or the server is closing; come again after Retry-After.",
    504: "No answer in time.",
}
"""Every status beside 200 that an inference server answers with."""

_NOT_FOUND_HERE = (404, 405, 406, 415, 422, 501)
_ALWAYS = tuple(status for status in ERRORS if status not in _NOT_FOUND_HERE)


def render_openapi(
    schema: ModelSchema, name: str, version: str = "", *, methods: Sequence[str] = (), is_open: bool = True
) -> dict[str, Any]:
    """The document. `methods`: of the model, that ?method= may name; `is_open`: no key is wanted."""
    about = str(schema.document.get("description", "")) or f"Predictions of the model {name!r}."
    made: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": str(schema.document.get("title", "")) or name, "version": version or "1", "description": about},
        "servers": [{"url": "."}],
        "tags": [{"name": tag, "description": text} for tag, text in _TAGS.items()],
        "paths": {**_predict(schema, methods), **_others(schema, name, version), **_status(name)},
        "components": {"schemas": {**definitions_of(schema), **_PROBLEMS}},
    }
    if not is_open:
        made["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        made["security"] = [{"key": []}]
    return made


_TAGS = {
    "predict": "Plain predictions: what most callers want.",
    "protocols": "The same model by protocols that other servers and clients speak.",
    "status": "Whether it lives, and what it is.",
}
_PROBLEMS: dict[str, Any] = {
    "Problem": {
        "type": "object",
        "required": ["error", "id"],
        "properties": {
            "id": {"type": "string", "description": "The request's id, as in the header fairway-request-id."},
            "error": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {
                    "code": {"type": "string", "description": "Stable: FW-INPUT, FW-NOT-JSON, …"},
                    "message": {"type": "string"},
                    "hint": {"type": "string"},
                    "faults": {"type": "array", "items": {"$ref": "#/components/schemas/Fault"}},
                },
            },
        },
    },
    "Fault": {
        "type": "object",
        "required": ["row", "field", "came", "expected"],
        "properties": {
            "row": {"type": "integer", "minimum": -1, "description": "From 0; -1: no row is to blame."},
            "field": {"type": "string"},
            "came": {"type": "string"},
            "expected": {"type": "string"},
        },
    },
    "ProtocolProblem": {
        "type": "object",
        "description": "As this protocol says it; what HTTP itself is to blame for comes as a Problem.",
        "anyOf": [
            {"required": ["error"], "properties": {"error": {"type": "string"}}},
            {"required": ["error_code", "message"], "properties": {"error_code": {"type": "string"}, "message": {"type": "string"}}},
            {"$ref": "#/components/schemas/Problem"},
        ],
    },
}  # fmt: skip


def _errors(*more: int, problem: str = "Problem") -> dict[str, Any]:
    content = {_JSON: {"schema": {"$ref": f"#/components/schemas/{problem}"}}}
    made: dict[str, Any] = {}
    for status in sorted({*_ALWAYS, *more}):
        made[str(status)] = {"description": ERRORS[status], "content": content}
        if status in (429, 503):
            made[str(status)]["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}}
    return made


def _predict(schema: ModelSchema, methods: Sequence[str]) -> dict[str, Any]:
    answer = {
        "type": "object",
        "required": ["predictions", "id", "model", "version"],
        "properties": {
            "predictions": {"$ref": "#/components/schemas/Predictions"},
            "id": {"type": "string"},
            "model": {"type": "string"},
            "version": {"type": "string"},
        },
    }
    content: dict[str, Any] = {_JSON: {"schema": {"$ref": "#/components/schemas/Inputs"}}}
    example = example_body(schema)
    if example is not None:
        content[_JSON]["example"] = example
    if schema.kind != "tensors":
        content[_CSV] = {"schema": {"type": "string"}, "example": example_csv(schema)} if schema.columns else {"schema": {"type": "string"}}
    made: dict[str, Any] = {
        "tags": ["predict"],
        "summary": "Predict",
        "description": _shapes(schema),
        "operationId": "predict",
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": {
                "description": "Predictions, in the order of the rows.",
                "content": {
                    _JSON: {"schema": answer},
                    **{kind: {"schema": {"type": "string"}} for kind in (_CSV, "text/event-stream", "application/x-ndjson")},
                    **{kind: {} for kind in (_ARROW, _PARQUET)},
                },
            },
            **_errors(404, 406, 415, 422),
        },
    }
    if methods:
        made["parameters"] = [
            {
                "name": "method",
                "in": "query",
                "description": "The model's method; without it the one it is served with.",
                "schema": {"enum": list(methods)},
            }
        ]
    return {"/predict": {"post": made}, "/score": {"post": _score()}}


def _score() -> dict[str, Any]:
    return {
        "tags": ["predict"],
        "summary": "Score (Azure)",
        "description": "As Azure ML asks a script: the body goes to its run(), what that returns is the answer, with nothing around it.",
        "operationId": "score",
        "requestBody": {"required": True, "content": {_JSON: {"schema": {"$ref": "#/components/schemas/Inputs"}}}},
        "responses": {"200": {"description": "What the model returns.", "content": {"*/*": {}}}, **_errors(404, 406, 415, 422)},
    }


def _others(schema: ModelSchema, name: str, version: str) -> dict[str, Any]:
    predictions = {"type": "object", "required": ["predictions"], "properties": {"predictions": {}}}
    errors = _errors(404, 406, 415, 422, problem="ProtocolProblem")
    v1 = {"type": "object", "required": ["instances"], "properties": {"instances": inner_of(schema)}, "additionalProperties": False}
    return {
        f"/v1/models/{name}:predict": {
            "post": _operation("V1 predict", "v1_predict", v1, predictions, errors),
        },
        "/invocations": {
            "post": _operation("MLflow invocations", "invocations", mlflow_of(schema), predictions, errors),
        },
        f"/v2/models/{name}/infer": {
            "post": _operation("Open Inference Protocol", "v2_infer", _INFER, _INFERRED, errors),
        },
        f"/v2/models/{name}": {"get": _get("What the model takes and gives", "v2_metadata", {"type": "object"}, errors)},
    }


def _operation(summary: str, id: str, takes: dict[str, Any], gives: dict[str, Any], errors: dict[str, Any]) -> dict[str, Any]:
    return {
        "tags": ["protocols"],
        "summary": summary,
        "operationId": id,
        "requestBody": {"required": True, "content": {_JSON: {"schema": takes}}},
        "responses": {"200": {"description": "Predictions.", "content": {_JSON: {"schema": gives}}}, **errors},
    }


def _get(summary: str, id: str, gives: dict[str, Any], errors: dict[str, Any], kind: str = _JSON) -> dict[str, Any]:
    return {
        "tags": ["status"],
        "summary": summary,
        "operationId": id,
        "responses": {"200": {"description": "Yes.", "content": {kind: {"schema": gives}}}, **errors},
    }


def _status(name: str) -> dict[str, Any]:
    errors = {status: about for status, about in _errors().items() if status != "503"}
    made: dict[str, Any] = {}
    for path, id, summary in (
        ("/health", "health", "Ready and alive"),
        ("/health/live", "live", "Alive"),
        ("/health/ready", "ready", "Ready for requests"),
        ("/v2/health/live", "v2_live", "Alive (V2)"),
        ("/v2/health/ready", "v2_ready", "Ready for requests (V2)"),
        (f"/v2/models/{name}/ready", "v2_model_ready", "The model is ready (V2)"),
    ):
        answer = {_JSON: {"schema": {"type": "object"}}}
        about = _get(summary, id, {"type": "object"}, {**errors, "503": {"description": "Not yet, or no more.", "content": answer}})
        made[path] = {"get": about}
    made["/metrics"] = {"get": _get("Prometheus metrics", "metrics", {"type": "string"}, _errors(), "text/plain")}
    return made


_INFER = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string"},
        "parameters": {"type": "object"},
        "inputs": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["name", "shape", "datatype", "data"],
                "properties": {
                    "name": {"type": "string"},
                    "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1},
                    "datatype": {"type": "string"},
                    "data": {"type": "array"},
                    "parameters": {"type": "object"},
                },
            },
        },
        "outputs": {"type": "array", "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}},
    },
}
_INFERRED = {
    "type": "object",
    "required": ["model_name", "outputs"],
    "properties": {
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "id": {"type": "string"},
        "outputs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "shape", "datatype"],
                "properties": {
                    "name": {"type": "string"},
                    "shape": {"type": "array", "items": {"type": "integer"}},
                    "datatype": {"type": "string"},
                    "data": {"type": "array"},
                },
            },
        },
    },
}


def _shapes(schema: ModelSchema) -> str:
    if schema.kind == "columns":
        return (
            'Rows under "inputs" ("data", "instances"), each an object of fields or a list of values; one row alone; '
            'columns as {"inputs": {name: [values]}} or {"columns": [names], "data": [rows]}; CSV with a line of names; '
            f"an Arrow stream ({_ARROW}) or a Parquet file ({_PARQUET}). `accept` chooses the answer's type."
        )
    if schema.kind == "tensors":
        return 'Arrays by name under "inputs", as nested lists.'
    return "One JSON value." if schema.is_known else "Any JSON: the model says nothing of what it takes."
