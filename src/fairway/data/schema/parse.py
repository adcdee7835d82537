"""`schema.json` as rules of a table: the part of a schema, in whichever spelling, that says what rows are."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable
from typing import Any, cast

from fairway.data.schema.jsontypes import types_of, without_null
from fairway.data.schema.misspelt import check_slips
from fairway.data.schema.model import (
    ENVIRONMENTS,
    TRAINING,
    Bounds,
    CadenceRule,
    ColumnRule,
    DriftRule,
    Severity,
    Slice,
    TableSchema,
)  # fmt: skip
from fairway.data.schema.pointers import expanded, follow, ours, pointer
from fairway.data.schema.spellings import normalised
from fairway.data.schema.vocabulary import check_ours
from fairway.data.schema.wellformed import check_wellformed
from fairway.errors import DefinitionError


def parse_schema(document: Any, where: str = "schema.json") -> TableSchema:
    """The schema of rows: JSON Schema of one row, of an array of rows, or of a model's inputs that are rows, or a list of columns.
    DefinitionError says the place as a JSON pointer."""
    if not isinstance(document, dict):
        raise DefinitionError("a schema is a JSON object", where=where, hint='For example {"properties": {"age": {"type": "number"}}}.')
    at = _row_at(document)
    if at is None:
        document = normalised(document, where)[0]
        at = _row_at(document)
    check_wellformed(document, where)
    check_ours(document, where)
    if at is None:
        raise DefinitionError(
            "it says nothing of rows",
            where=where,
            hint='The schema of a row is {"type": "object", "properties": {"age": {"type": "number"}}}.',
        )
    return _Reader(document, at, where).read()


def digest_of(document: dict[str, Any]) -> str:
    """Of what a schema says: "sha256:…", the same whatever the order of its keys, and whether it is frozen or not."""
    text = json.dumps(_unfrozen(document), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _unfrozen(value: Any) -> Any:
    if isinstance(value, list):
        return [_unfrozen(one) for one in value]
    if not isinstance(value, dict):
        return value
    made = {key: _unfrozen(one) for key, one in value.items() if key != "x-fairway"}
    said = {key: one for key, one in ours(value).items() if key != "frozen"}
    return {**made, "x-fairway": said} if said else made


def find(document: Any, at: str) -> Any:
    """What a JSON pointer names; KeyError where there is nothing."""
    for part in at.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(document, list):
            if not key.isdecimal() or int(key) >= len(document):
                raise KeyError(at)
            document = document[int(key)]
        elif isinstance(document, dict):
            document = document[key]
        else:
            raise KeyError(at)
    return document


def _row_at(document: dict[str, Any]) -> str | None:
    """The pointer of the schema of a row in a document that is JSON Schema; None where none is."""
    properties = document.get("properties")
    at = (
        "/properties/inputs" if isinstance(properties, dict) and "inputs" in properties and set(properties) <= {"inputs", "outputs"} else ""
    )
    for _ in range(50):
        try:
            schema = find(document, at)
        except KeyError:
            return None
        if not isinstance(schema, dict):
            return None
        if isinstance(schema.get("$ref"), str) and schema["$ref"].startswith("#/"):
            at = schema["$ref"][1:]
        elif isinstance(schema.get("items"), dict) and schema.get("type", "array") == "array":
            at += "/items"
        else:
            properties = schema.get("properties")
            is_row = isinstance(properties, dict) and all(isinstance(one, dict | bool) for one in properties.values())
            return at if is_row and schema.get("type", "object") == "object" else None
    return None


class _Reader:
    def __init__(self, document: dict[str, Any], at: str, where: str) -> None:
        self._document, self._at, self._where = document, at, where
        self._row: dict[str, Any] = follow(find(document, at), document, where)
        said = dict(ours(document))
        for length, character in enumerate(at):
            if character == "/":
                said.update(ours(find(document, at[:length])))
        self._said = {**said, **ours(self._row)}

    def read(self) -> TableSchema:
        said = self._said
        required = set(self._row.get("required", ()))
        label = said.get("label", "")
        columns = {name: self._column(name, one, name in required, label) for name, one in self._row["properties"].items()}
        frozen = said.get("frozen", {})
        schema = TableSchema(
            document=self._document,
            columns=columns,
            label=label,
            keys=tuple((one,) if isinstance(one, str) else tuple(one) for one in said.get("keys", ())),
            cadences=tuple(_cadence(one) for one in said.get("cadence", ())),
            freshness_s=said.get("freshness_s"),
            slices=tuple(Slice(one.get("name") or one.get("by") or one.get("where", ""), one.get("by", ""), one.get("where", ""))
                         for one in said.get("slices", ())),
            environments=tuple(said.get("environments", ENVIRONMENTS)),
            rows=_bounds(said.get("rows")) or Bounds(),
            duplicates=said.get("duplicates"),
            allows_more=self._row.get("additionalProperties", False) is not False,
            drift=said.get("drift", {}),
            severity=_severities(said, self._at, self._where),
            baseline=said.get("baseline", ""),
            version=int(frozen.get("version", 0)),
            is_changed="digest" in frozen and frozen["digest"] != digest_of(self._document),
            at=self._at,
            where=self._where,
        )  # fmt: skip
        self._check_names(schema)
        return schema

    def _column(self, name: str, said: Any, required: bool, label: str) -> ColumnRule:
        at = f"{self._at}{pointer('properties', name)}"
        if isinstance(said, dict):
            check_slips(cast("dict[str, Any]", said), at, self._where)
        rule = self._rule(name, said, at)
        return _with(rule, required=required, environments=rule.environments or ((TRAINING,) if name == label else ()),
                     presence=rule.presence if required or rule.nullable else float(ours(rule.schema).get("presence", 0.0)))  # fmt: skip

    def _rule(self, name: str, said: Any, at: str) -> ColumnRule:
        schema = expanded(follow(said, self._document, self._where), self._document, self._where)
        if not isinstance(schema, dict):
            return ColumnRule(name, nullable=True, at=at, schema={} if schema else {"not": {}})
        schema = without_null(schema, self._document, self._where)
        types, nullable = types_of(schema)
        about = ours(schema)
        choices = [schema["const"]] if "const" in schema else about.get("known", [])
        choices = schema["enum"] if isinstance(schema.get("enum"), list) else choices
        is_list = types == ("array",)
        inner = schema.get("items")
        drift = about.get("drift")
        return ColumnRule(
            name,
            types=types,
            nullable=nullable,
            minimum=schema.get("minimum"),
            maximum=schema.get("maximum"),
            exclusive_minimum=schema.get("exclusiveMinimum"),
            exclusive_maximum=schema.get("exclusiveMaximum"),
            choices=tuple(one for one in choices if one is not None),
            pattern=schema.get("pattern", ""),
            min_length=schema.get("minItems" if is_list else "minLength"),
            max_length=schema.get("maxItems" if is_list else "maxLength"),
            format=schema.get("format", ""),
            items=self._rule("", inner, f"{at}/items") if is_list and isinstance(inner, dict) else None,
            description=schema.get("description", ""),
            presence=float(about.get("presence", 0.0)) if nullable else 1.0,
            mass=float(about.get("mass", self._said.get("mass", 1.0))),
            unique=about.get("unique", False),
            unit=about.get("unit", ""),
            sorted=about.get("sorted", ""),
            distinct=_bounds(about.get("distinct")),
            mean=_bounds(about.get("mean")),
            std=_bounds(about.get("std")),
            zeros=float(about.get("zeros", 1.0)),
            nan=about.get("nan", False),
            damaged=float(about.get("damaged", 0.0)),
            quantiles=tuple(about.get("quantiles", ())),
            environments=tuple(about.get("environments", ())),
            drift=None if drift is None else DriftRule(is_off=True) if drift is False else _drift(drift),
            severity=_severities(about, at, self._where),
            schema=schema,
            at=at,
        )

    def _check_names(self, schema: TableSchema) -> None:
        """What is said of columns is said of columns that there are."""
        about: list[tuple[str, Iterable[str]]] = [
            ("label", [schema.label] if schema.label else []),
            ("keys", [name for key in schema.keys for name in key]),
            ("cadence", [name for one in schema.cadences for name in (one.column, *one.by) if name]),
            ("slices", [one.by for one in schema.slices if one.by]),
        ]
        for word, names in about:
            for name in names:
                if name not in schema.columns and not schema.allows_more:
                    self._refuse(f"{self._at}/x-fairway/{word}", "column", name, schema.columns)
        for rule in schema.columns.values():
            for name in rule.environments:
                if name not in schema.environments:
                    self._refuse(f"{rule.at}/x-fairway/environments", "environment", name, schema.environments)
        for number, one in enumerate(schema.cadences):
            if not one.column:
                raise DefinitionError(f"{self._at}/x-fairway/cadence/{number} names no column", where=self._where,
                                      hint='For example {"column": "at", "period_s": 5}.')  # fmt: skip

    def _refuse(self, at: str, kind: str, name: str, known: Iterable[str]) -> None:
        known = list(known)
        near = difflib.get_close_matches(name, known, 1)
        raise DefinitionError(
            f"{at} names the {kind} {name!r}, which is not there",
            where=self._where,
            hint=f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(known[:20])}.",
        )


def _with(rule: ColumnRule, **changes: Any) -> ColumnRule:
    import dataclasses

    return dataclasses.replace(rule, **changes)


def _severities(said: dict[str, Any], at: str, where: str) -> dict[str, Severity]:
    found: dict[str, Severity] = dict(said.get("severity", {}))
    if found:
        from fairway.data.anomalies.kinds import KINDS

        for kind in found:
            if kind not in KINDS:
                near = difflib.get_close_matches(kind, KINDS, 1)
                hint = f"Did you mean {near[0]!r}?" if near else f"The kinds are {', '.join(KINDS)}."
                raise DefinitionError(f"{at}/x-fairway/severity names {kind!r}, which is no kind of anomaly", where=where, hint=hint)
    return found


def _bounds(said: Any) -> Bounds | None:
    return Bounds(said.get("minimum"), said.get("maximum")) if isinstance(said, dict) else None


def _drift(said: dict[str, Any]) -> DriftRule:
    return DriftRule(said.get("measure", ""), said.get("threshold"))


def _cadence(said: dict[str, Any]) -> CadenceRule:
    fields: dict[str, Any] = {"column": ""}
    fields.update((key, tuple(value) if isinstance(value, list) else value) for key, value in said.items())
    return CadenceRule(**fields)
