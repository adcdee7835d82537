"""What a model says of the data it was trained on: their schema, as the schema of its requests, and their baseline for drift."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fairway.errors import DefinitionError, NotFoundError

if TYPE_CHECKING:
    from fairway.step.types import Model

BASELINE = "baseline.json"
_LARGEST = 1 << 20
_OURS = "x-fairway"


def read_schema(given: Any) -> dict[str, Any]:
    """A schema of `fw.Model(schema=…)` as its document: a file's name, a document, or anything that has a `document`. Raises
    DefinitionError, NotFoundError."""
    if isinstance(given, str | os.PathLike):
        try:
            with open(given, encoding="utf-8") as file:
                given = json.load(file)
        except FileNotFoundError:
            raise NotFoundError(
                f"there is no schema {os.fspath(given)}", hint="`fairway data schema infer DATA --out schema.json` makes one"
            ) from None
        except (OSError, ValueError) as error:
            raise DefinitionError(f"the schema cannot be read: {error}", where=os.fspath(given)) from None
    document = getattr(given, "document", given)
    if not isinstance(document, dict):
        raise DefinitionError(
            f"schema= is a {type(given).__name__}, which is no schema", hint='the name of a file such as "schema.json", or its document'
        )
    return document


def read_baseline(given: Any) -> dict[str, Any]:
    """A baseline of `fw.Model(baseline=…)` as its document: what `fw.baseline` made, or the name of its file. Raises DefinitionError,
    NotFoundError."""
    if isinstance(given, str | os.PathLike):
        try:
            with open(given, encoding="utf-8") as file:
                given = json.load(file)
        except FileNotFoundError:
            raise NotFoundError(f"there is no baseline {os.fspath(given)}", hint="fw.baseline(table).save(FILE) makes one") from None
        except (OSError, ValueError) as error:
            raise DefinitionError(f"the baseline cannot be read: {error}", where=os.fspath(given)) from None
    document = given.to_json() if hasattr(given, "tracks") and hasattr(given, "to_json") else given
    if not isinstance(document, dict) or document.get("fairway") != "baseline":
        raise DefinitionError(f"baseline= is a {type(given).__name__}, which is no baseline", hint="baseline=fw.baseline(train)")
    return document


def request_schema(given: Mapping[str, Any], inferred: Mapping[str, Any] | None) -> dict[str, Any]:
    """The schema of requests whose rows are what `given` says of the data. `inferred`: what is known of the model itself: columns that it
    does not take are there in training only, its outputs are told beside the inputs. Raises DefinitionError for a column of the model
    that the schema lacks."""
    document: dict[str, Any] = json.loads(json.dumps(given))
    if "inputs" in document.get("properties", {}) or "inputs" in document:
        return document  # a model's schema already
    known: dict[str, Any] = dict((inferred or {}).get("$defs", {}))
    taken = known.get("inputs", {}).get("properties", {})
    properties = document.get("properties")
    if not isinstance(properties, dict) or not properties:
        raise DefinitionError("the schema says nothing of columns", hint='{"type": "object", "properties": {"age": {"type": "number"}}}')
    is_named = not all(name == f"x{place}" for place, name in enumerate(taken))
    if taken and is_named:
        document["properties"] = _fitted(properties, list(taken))
    if "outputs" not in known or _refers_elsewhere(document):
        return document
    definitions = {**document.pop("$defs", {}), "outputs": known["outputs"]}
    dialect = document.pop("$schema", "https://json-schema.org/draft/2020-12/schema")
    sides = {"inputs": {"type": "array", "items": document}, "outputs": inferred["properties"]["outputs"]}  # type: ignore[index]
    return {"$schema": dialect, "type": "object", "properties": sides, "required": ["inputs"], "$defs": definitions}


def _fitted(properties: Mapping[str, Any], taken: list[str]) -> dict[str, Any]:
    """The model's columns in its own order; then those that it does not take, which are there in training only."""
    for name in taken:
        if name not in properties:
            near = difflib.get_close_matches(name, properties, 1)
            raise DefinitionError(
                f"the model takes a column {name!r}, of which the schema says nothing",
                hint=f"did you mean {near[0]!r}?" if near else "infer the schema from the table that the model was trained on",
            )
    made: dict[str, Any] = {name: properties[name] for name in taken}
    for name, said in properties.items():
        if name not in made:
            said = dict(said) if isinstance(said, dict) else {}
            made[name] = {**said, _OURS: {**said.get(_OURS, {}), "environments": ["training"]}}
    return made


def _refers_elsewhere(document: Any) -> bool:
    """Are there references by a path that would lead nowhere once the schema is inside another?"""
    if isinstance(document, dict):
        found = document.get("$ref")
        if isinstance(found, str) and found.startswith("#") and not found.startswith("#/$defs/"):
            return True
        return "$defs" in document.get("$defs", {}) or any(_refers_elsewhere(value) for value in document.values())
    return isinstance(document, list) and any(_refers_elsewhere(one) for one in document)


def write(folder: str, name: str, document: Any) -> None:
    """As JSON. Raises DefinitionError for what is larger than a model server wants to read."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":")) if name == BASELINE else json.dumps(document, indent=1)
    if len(text.encode()) > _LARGEST:
        hint = "give it fewer columns: fw.baseline(table, columns=[…])" if name == BASELINE else "leave out what no request needs"
        raise DefinitionError(f"{name} would be {len(text.encode()) / 1e6:.1f} MB; a model carries at most 1 MB", hint=hint)
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        file.write(text + "\n")


def given_of(model: Model, name: str) -> Any:
    """The document that a model carries under this name, of itself or of the folder that it was loaded from; None if it has none."""
    own = model._schema if name == "schema.json" else model._baseline
    if own is not None:
        return own
    key = "data_schema" if name == "schema.json" else "baseline"
    if model.card.get(key) and model.folder:
        try:
            with open(os.path.join(model.folder, name), encoding="utf-8") as file:
                return json.load(file)
        except (OSError, ValueError):
            return None
    return None
