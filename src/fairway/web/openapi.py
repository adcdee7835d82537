"""The OpenAPI 3.1 document, made from the route table."""

from __future__ import annotations

import inspect
import re
from functools import cache
from http import HTTPStatus
from typing import Any

import msgspec

import fairway
from fairway.spec.tokens import HEADER
from fairway.web.operation import BYTES, EVENTS, JSON, NoQuery, Operation
from fairway.web.problem import PROBLEM, Problem
from fairway.web.routes import OPERATIONS
from fairway.web.schema.runs import RunsPage
from fairway.web.schema.words import Summary

_TEMPLATE = "#/components/schemas/{name}"
_TAGS = {
    "server": "The server itself.",
    "runs": "Runs of pipelines.",
    "tasks": "Tasks of a run and their attempts.",
    "events": "The facts of a run, in order.",
    "streams": "Logs and other streams of attempts.",
    "artifacts": "What tasks made.",
    "metrics": "Curves and comparisons.",
    "pipelines": "What has been run.",
    "blobs": "Bytes by key.",
    "store": "The cache, and what nobody needs any more.",
    "endpoints": "Models that are served under a name.",
}
_ALWAYS = {
    "400": "The request cannot be read",
    "401": "The token is missing or wrong",
    "403": "The token is not a user's, or its role does not allow this",
    "406": "None of what is accepted can be answered with",
}


@cache
def render_document() -> bytes:
    """The document as JSON."""
    return msgspec.json.encode(_make())


def make_document() -> dict[str, Any]:
    """The document as data."""
    return msgspec.json.decode(render_document())


def _make() -> dict[str, Any]:
    types = [kind for operation in OPERATIONS for kind in (operation.body, operation.answer) if kind is not None] + [Problem]
    _, components = msgspec.json.schema_components(types, ref_template=_TEMPLATE)
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(spell_path(operation.path), {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Fairway",
            "version": fairway.__version__,
            "description": "The API of a Fairway server: what its pages, the command line on a remote target and other programs use.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/api/v1"}],
        "security": [{"token": []}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": {name: _tidy(schema) for name, schema in components.items()},
            "securitySchemes": {
                "token": {
                    "type": "apiKey",
                    "in": "header",
                    "name": HEADER,
                    "description": "A user's token; `fairway token add NAME` makes one.",
                }
            },
        },
    }


def spell_path(path: str) -> str:
    """The path as OpenAPI writes it."""
    return re.sub(r"\{(\w+):\w+\}", r"{\1}", path)


def _operation(operation: Operation) -> dict[str, Any]:
    needs = "" if operation.public else f" Needs the role {operation.needed!r}."
    made: dict[str, Any] = {
        "operationId": operation.operation_id,
        "summary": operation.summary,
        "description": _words(operation.handle) + (f" {_words(operation.query)}" if operation.query is not NoQuery else "") + needs,
        "tags": [operation.tag],
        "parameters": _parameters(operation),
        "responses": _responses(operation),
    }
    if operation.body is not None:
        (schema,), _ = msgspec.json.schema_components([operation.body], ref_template=_TEMPLATE)
        made["requestBody"] = {"required": True, "content": {JSON: {"schema": schema}}}
    elif operation.raw:
        made["requestBody"] = {"required": True, "content": {BYTES: {}}}
    if operation.public:
        made["security"] = [{}, {"token": []}]
    return made


def _words(about: Any) -> str:
    """A docstring in one line."""
    return " ".join((inspect.getdoc(about) or "").split())


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1, "maxLength": 1024}}
        for name in re.findall(r"\{(\w+)", operation.path)
    ]
    if EVENTS in operation.media and JSON in operation.media:
        found.append(
            {
                "name": "Last-Event-ID",
                "in": "header",
                "description": "As an event stream: go on after this one.",
                "schema": {"type": "string", "pattern": "^[0-9]{1,16}$"},
            }
        )
    if operation.query is not NoQuery:
        properties = msgspec.json.schema(operation.query)
        properties = properties.get("$defs", {}).get(operation.query.__name__, properties)["properties"]
        for field in msgspec.structs.fields(operation.query):
            schema = _tidy(properties[field.encode_name])
            found.append({"name": field.encode_name, "in": "query", "required": field.required, "schema": schema})
            if schema.get("type") == "array":
                found[-1] |= {"style": "form", "explode": True}
    return found


def _responses(operation: Operation) -> dict[str, Any]:
    also = {str(status): text for status, text in operation.also.items()}
    found: dict[str, Any] = {str(operation.status): _success(operation, HTTPStatus(operation.status).phrase)}
    for status, text in also.items():
        found[status] = _success(operation, text) if status[0] == "2" else {"description": text} if status == "304" else _problem(text)
    if operation.method == "GET" and operation.answer is not None:
        found.setdefault("304", {"description": "You have it: the ETag is that of If-None-Match"})
    problems = dict(_ALWAYS)
    if "{" in operation.path:
        problems["404"] = "There is no such thing"
    problems["422"] = "A value is not allowed"
    if operation.body is not None or operation.raw:
        problems |= {"413": "The body is too large"}
    if operation.body is not None:
        problems |= {"415": "The body is not JSON"}
    problems["503"] = "A store or the cluster cannot be reached; try again"
    for status, text in problems.items():
        found.setdefault(status, _problem(text))
    return dict(sorted(found.items()))


def _success(operation: Operation, text: str) -> dict[str, Any]:
    if operation.status == 204:
        return {"description": text}
    content: dict[str, Any] = {}
    for media in operation.media:
        if media == JSON and operation.answer is not None:
            (schema,), _ = msgspec.json.schema_components([operation.answer], ref_template=_TEMPLATE)
            content[JSON] = {"schema": schema}
        else:
            content[media.partition(";")[0]] = {}
    return {"description": text, "content": content, **({"links": links} if (links := _links(operation)) else {})}


def _links(operation: Operation) -> dict[str, Any]:
    """What may be asked next of the run that an answer names."""
    pointer = {Summary: "/run", RunsPage: "/items/0/run"}.get(operation.answer)
    if pointer is None:
        return {}
    about_a_run = [other for other in OPERATIONS if re.findall(r"\{(\w+)", other.path) == ["run"] and other is not operation]
    return {
        other.operation_id: {"operationId": other.operation_id, "parameters": {"run": f"$response.body#{pointer}"}} for other in about_a_run
    }


def _problem(text: str) -> dict[str, Any]:
    return {"description": text, "content": {PROBLEM: {"schema": {"$ref": _TEMPLATE.format(name="Problem")}}}}


def _tidy(schema: Any) -> Any:
    """Docstrings' line breaks are no part of a description, but before the items of a list."""
    if isinstance(schema, dict):
        return {name: _unwrap(text) if name == "description" and isinstance(text, str) else _tidy(text) for name, text in schema.items()}
    if isinstance(schema, list):
        return [_tidy(item) for item in schema]
    return schema


def _unwrap(text: str) -> str:
    # msgspec before 0.23 leaves docstrings indented
    return re.sub(r"\s*\n(- )?", lambda found: f"\n{found[1]}" if found[1] else " ", inspect.cleandoc(text))
