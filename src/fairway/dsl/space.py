"""The space that a search looks through: which parameters vary, between what. Read from Python values or a file's data; pure.

"lr": ("float", 1e-5, 1e-1, "log")      a number between two, evenly by its logarithm
"dropout": ("float", 0.0, 0.5)          evenly; a fourth number is a step: ("float", 0.0, 0.5, 0.1)
"depth": ("int", 2, 12)                 a whole number, both ends included; also with "log" or a step
"model": ["svm", "forest"]              one of these: texts, numbers, true, false, none
"kernel": {"choices": ["rbf", "poly"], "when": {"model": "svm"}}      only where another parameter has this value (or one of a list)
"lr": {"type": "float", "low": 1e-5, "high": 1e-1, "log": True}       the long spelling of a range
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fairway.dsl.source import suggest
from fairway.errors import DefinitionError

_KEYS = ("type", "low", "high", "log", "step", "choices", "when")
_SCALARS = (str, int, float, bool, type(None))
_SPELLING = 'write ["float", 0.0, 1.0], ["int", 1, 10, "log"] or a list of choices'


class SpaceError(DefinitionError):
    """`field` is what is wrong, from the top: ("lr", "low")."""

    def __init__(self, field: tuple[str, ...], message: str, *, hint: str = "", where: str = "") -> None:
        super().__init__(f"space: `{'.'.join(field)}` {message}" if field else f"the space {message}", hint=hint, where=where)
        self.field = field


def read_space(data: Any) -> dict[str, dict[str, Any]]:
    """Parameter -> its plain form: {"type": "float" | "int", "low", "high", "log"?, "step"?} or {"choices": [...]}, each with "when"?.

    Raises SpaceError, which names the field.
    """
    if not isinstance(data, Mapping) or not data:
        raise SpaceError((), f"must name parameters, not {_short(data)}", hint='write {"lr": ("float", 1e-5, 1e-1, "log"), …}')
    found: dict[str, dict[str, Any]] = {}
    for name, spec in data.items():
        if not isinstance(name, str) or not name.isidentifier() or name.startswith("_"):
            raise SpaceError((str(name),), "is not a parameter's name", hint="use the name of the step's or pipeline's parameter")
        found[name] = _read_one(name, spec, found)
    return found


def _read_one(name: str, spec: Any, before: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    if isinstance(spec, Mapping):
        return _read_long(name, dict(spec), before)
    if isinstance(spec, str) or not isinstance(spec, Sequence):
        raise SpaceError((name,), f"is {_short(spec)}", hint=f"{_SPELLING}; what does not vary is passed as an ordinary argument")
    items: list[Any] = list(spec)
    if items[:1] in (["float"], ["int"]) and len(items) in (3, 4) and all(_is_number(one) for one in items[1:3]):
        made: dict[str, Any] = {"type": items[0], "low": items[1], "high": items[2]}
        if len(items) == 4:
            if items[3] == "log":
                made["log"] = True
            elif _is_number(items[3]):
                made["step"] = items[3]
            else:
                raise SpaceError((name,), f"ends with {_short(items[3])}", hint='the fourth is "log" or a step')
        return _read_range(name, made)
    if items[-1:] == ["log"] and len(items) == 3 and all(_is_number(one) for one in items[:2]):
        kind = "int" if all(isinstance(one, int) for one in items[:2]) else "float"
        raise SpaceError((name,), 'ends with "log", and is no range', hint=f'write ["{kind}", {items[0]}, {items[1]}, "log"]')
    lacks_comma = items[:1] in (["float"], ["int"]) and any(isinstance(one, str) and one[:1].isdecimal() for one in items[1:])  # "8 64"
    if lacks_comma or (any(isinstance(one, int | float) and not isinstance(one, bool) for one in items[1:]) and isinstance(items[0], str)):
        near = suggest(items[0], ["float", "int"])  # a slip would be searched over as choices
        if near or items[-1] == "log":
            meant = "" if items[0] in ("float", "int") else near
            hint = f'a range is ["float", 0.0, 1.0] or ["int", 1, 10, "log"].{meant} If these are choices, write {{"choices": [...]}}'
            raise SpaceError((name,), f"begins with {_short(items[0])}, and is no range", hint=hint)
    return {"choices": _read_choices(name, items)}


def _read_long(name: str, spec: dict[str, Any], before: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    for key in spec:
        if key not in _KEYS:
            raise SpaceError((name, str(key)), "is not known", hint=f"the fields are {', '.join(_KEYS)}.{suggest(str(key), list(_KEYS))}")
    if "choices" in spec:
        extra = [key for key in ("low", "high", "log", "step") if key in spec]
        if extra:
            raise SpaceError((name, extra[0]), "does not go with `choices`", hint="give a range or choices, not both")
        choices = spec["choices"]
        if isinstance(choices, str) or not isinstance(choices, Sequence):
            raise SpaceError((name, "choices"), f"is {_short(choices)}, not a list", hint="write choices: [a, b]")
        made: dict[str, Any] = {"choices": _read_choices(name, list(choices))}
    else:
        missing = next((key for key in ("type", "low", "high") if key not in spec), "")
        if missing:
            raise SpaceError((name,), f"lacks `{missing}`", hint="a range has type, low and high; or give choices")
        made = _read_range(name, {key: spec[key] for key in _KEYS if key in spec and key != "when"})
    if "when" in spec:
        made["when"] = _read_when(name, spec["when"], before)
    return made


def _read_range(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    kind = spec["type"]
    if kind not in ("float", "int"):
        raise SpaceError((name, "type"), f"is {_short(kind)}", hint='it is "float" or "int"; for choices leave it out')
    made: dict[str, Any] = {"type": kind}
    for key in ("low", "high", "step"):
        if key in spec:
            made[key] = _read_number(name, key, spec[key], whole=kind == "int")
    log = spec.get("log", False)
    if not isinstance(log, bool):
        raise SpaceError((name, "log"), f"is {_short(log)}", hint="it is true or false")
    if made["low"] > made["high"]:
        raise SpaceError((name, "low"), f"is {made['low']}, above `high`, {made['high']}", hint="exchange them")
    if log:
        if made["low"] <= 0:
            raise SpaceError((name, "low"), f"is {made['low']}, which has no logarithm", hint="start above 0, or leave `log` out")
        if "step" in made:
            raise SpaceError((name, "step"), "does not go with `log`", hint="leave one of them out")
        made["log"] = True
    if made.get("step", 1) <= 0:
        raise SpaceError((name, "step"), f"is {made['step']}", hint="a step is above 0")
    return made


def _read_number(name: str, key: str, value: Any, *, whole: bool) -> float | int:
    if isinstance(value, str):  # YAML 1.1 reads 1e-5 as a text
        try:
            value = float(value)
        except ValueError:
            raise SpaceError((name, key), f"is {_short(value)}, not a number", hint="write a number") from None
    if not _is_number(value):
        raise SpaceError((name, key), f"is {_short(value)}, not a number", hint="write a number")
    if whole and value != int(value):
        raise SpaceError((name, key), f"is {value}, not a whole number", hint='use "float", or whole numbers')
    return int(value) if whole else float(value)


def _read_choices(name: str, items: list[Any]) -> list[Any]:
    if not items:
        raise SpaceError((name,), "has no choices", hint=_SPELLING)
    for one in items:
        if not isinstance(one, _SCALARS) or (isinstance(one, float) and not math.isfinite(one)):
            raise SpaceError((name,), f"has the choice {_short(one)}", hint="choices are texts, numbers, true, false or none; name others")
    if any(one == two and type(one) is type(two) for n, one in enumerate(items) for two in items[:n]):
        raise SpaceError((name,), "has a choice twice", hint="list each once")
    return items


def _read_when(name: str, when: Any, before: Mapping[str, dict[str, Any]]) -> dict[str, list[Any]]:
    if not isinstance(when, Mapping) or not when:
        raise SpaceError((name, "when"), f"is {_short(when)}", hint='write when: {model: svm}, or {model: ["svm", "forest"]}')
    found: dict[str, list[Any]] = {}
    for other, values in when.items():
        if other not in before:
            known = ", ".join(before) or "none stands above it"
            raise SpaceError((name, "when", str(other)), "is no parameter that stands above it", hint=f"those above: {known}")
        wanted: list[Any] = list(values) if isinstance(values, Sequence) and not isinstance(values, str) else [values]
        choices = before[other].get("choices")
        wrong = [one for one in wanted if choices is not None and one not in choices]
        if choices is None or wrong:
            message = f"is never {_short(wrong[0])}" if wrong else "is a range"
            raise SpaceError((name, "when", str(other)), message, hint=f"name choices of `{other}`: {choices or 'it has none'}")
        found[other] = wanted
    return found


def is_active(spec: Mapping[str, Any], params: Mapping[str, Any]) -> bool:
    """Does the parameter vary, given those above it?"""
    return all(params.get(other) in values for other, values in spec.get("when", {}).items())


def count_points(space: Mapping[str, Mapping[str, Any]]) -> int:
    """How many points a grid over the space has. Raises SpaceError for a range that is not divided into steps."""
    count = 1
    for name, spec in space.items():
        count *= len(grid_values(name, spec))
    return count


def grid_values(name: str, spec: Mapping[str, Any]) -> list[Any]:
    """The values of one parameter on a grid. Raises SpaceError for a range without steps."""
    if "choices" in spec:
        return list(spec["choices"])
    if spec["type"] == "int" and not spec.get("log"):
        return list(range(spec["low"], spec["high"] + 1, spec.get("step", 1)))
    if "step" not in spec:
        raise SpaceError(
            (name,), "is a range without steps, and a grid needs them", hint='give a step, or a list: "lr": [0.001, 0.01, 0.1]'
        )
    steps = int((spec["high"] - spec["low"]) / spec["step"] + 1e-9)
    return [round(spec["low"] + n * spec["step"], 12) for n in range(steps + 1)]


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return False
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
