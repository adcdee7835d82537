"""Label and field selectors."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tests.kube.emulator.failure import ApiError

Object = dict[str, Any]
_SET = re.compile(r"^\s*([^\s!=,()]+)\s+(in|notin)\s*\(([^)]*)\)\s*$")
_FIELDS = {
    "metadata.name",
    "metadata.namespace",
    "spec.nodeName",
    "status.phase",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
}
_FIELDS |= {"status.podIP", "type", "reason", "spec.unschedulable", "status.successful"}


def parse_selectors(labels: str, fields: str) -> Callable[[Object], bool]:
    """A test of objects; ApiError 400 for what cannot be parsed."""
    tests = [_label_test(part) for part in _split(labels)] + [_field_test(part) for part in _split(fields)]
    return lambda found: all(test(found) for test in tests)


def matches_labels(labels: dict[str, str], selector: dict[str, Any]) -> bool:
    """Whether labels satisfy a LabelSelector object (matchLabels, matchExpressions)."""
    wanted = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(matches_expression(labels, expression) for expression in selector.get("matchExpressions") or ())


def matches_expression(labels: dict[str, str], expression: dict[str, Any]) -> bool:
    key, operator, values = expression["key"], expression["operator"], expression.get("values") or []
    found = labels.get(key)
    if operator == "Exists":
        return found is not None
    if operator == "DoesNotExist":
        return found is None
    if operator == "In":
        return found in values
    if operator == "NotIn":
        return found not in values
    if found is None or not found.lstrip("-").isdigit():
        return False
    return int(found) > int(values[0]) if operator == "Gt" else int(found) < int(values[0])


def _split(text: str) -> list[str]:
    """At commas outside parentheses."""
    return [part for part in re.split(r",(?![^(]*\))", text) if part.strip()]


def _label_test(part: str) -> Callable[[Object], bool]:
    if found := _SET.match(part):
        key, operator, inside = found.groups()
        values = {value.strip() for value in inside.split(",")}
        return lambda o: (_labels(o).get(key) in values) == (operator == "in")
    text = part.strip()
    if "!=" in text:
        key, value = (side.strip() for side in text.split("!=", 1))
        return lambda o: _labels(o).get(key) != value
    if "=" in text:
        key, value = (side.strip() for side in text.replace("==", "=").split("=", 1))
        return lambda o: _labels(o).get(key) == value
    if text.startswith("!"):
        return lambda o: text[1:].strip() not in _labels(o)
    if re.search(r"\s", text):
        raise ApiError(400, f"unable to parse requirement: found '{text}', expected: in, notin, =, ==, !=, gt, lt")
    return lambda o: text in _labels(o)


def _field_test(part: str) -> Callable[[Object], bool]:
    sign = "!=" if "!=" in part else "="
    if sign not in part:
        raise ApiError(400, f"invalid selector: '{part}'; can't understand '{part}'")
    key, value = (side.strip() for side in part.replace("==", "=").split(sign, 1))
    if key not in _FIELDS and not key.startswith("involvedObject."):
        raise ApiError(
            400, f'Unable to find "{key}" that match label selector "", field selector "{part}": field label not supported: {key}'
        )
    return lambda o: (_field(o, key) == value) == (sign == "=")


def _labels(found: Object) -> dict[str, str]:
    return found["metadata"].get("labels") or {}


def _field(found: Object, path: str) -> str:
    value: Any = found
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
