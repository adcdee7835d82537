"""What a user's function gets of a request, told by its parameters.

    run(raw_data), run(raw_data: str)      the body as text, as Azure ML has it
    run(body: bytes)                       the body as it came
    run(data: dict), run(data: Customer)   the JSON value, made into a dataclass, TypedDict, msgspec or pydantic class where one is named
    run(rows: list[dict])                  the rows, whatever envelope they came in
    run(x: numpy.ndarray)                  the rows as a matrix of doubles
    run(frame: pandas.DataFrame)           the rows as a frame
    run(age: int, name: str = "")          the fields of the JSON object, each made into its type
    @input_schema(…) of inference-schema   the fields of the JSON object, as Azure ML's server hands them over
    @rawhttp of azureml                    an AMLRequest

A class's `predict(self, data)` without an annotation gets the decoded rows.
"""

from __future__ import annotations

import inspect
import sys
import typing
from typing import TYPE_CHECKING, Any

import msgspec

from fairway.errors import DefinitionError
from fairway.serve.package import envelope
from fairway.serve.package.misfit import misfit
from fairway.serve.refusal import Fault, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from fairway.serve.package.inputs import Body


class Arguments:
    """One function and how it is called. `takes` as of a Predictor; `told`: the parameter, for messages."""

    def __init__(self, function: Callable[..., Any], kind: str) -> None:
        self._function = function
        inner = inspect.unwrap(function)
        self.is_async = any(test(one) for test in (inspect.iscoroutinefunction, inspect.isasyncgenfunction) for one in (function, inner))
        self._hints = _hints_of(inner)
        self._params = [
            one for one in inspect.signature(inner).parameters.values() if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)
        ]
        if inspect.ismethod(function) and not inspect.ismethod(inner):
            self._params = self._params[1:]
        self._takes_params = len(self._params) > 1 and self._params[-1].name == "params"
        if self._takes_params:
            self._params = self._params[:-1]
        name = getattr(inner, "__name__", "run")
        if not self._params:
            raise DefinitionError(f"{name}() takes no argument", hint=f"def {name}(data): … gets the request")
        first = self._params[0]
        self._hint = self._hints.get(first.name, inspect.Parameter.empty)
        self.told = first.name
        self._style = self._find_style(inner, kind)
        self.takes = {
            "matrix": "matrix",
            "frame": "frame",
            "rows": "rows",
            "text": "raw",
            "bytes": "raw",
            "body": "raw",
            "flask": "raw",
        }.get(self._style, "value")

    def _find_style(self, inner: Any, kind: str) -> str:
        if _is_schema_decorated(self._function):
            return "fields"
        if _asks_for_raw_http(self._hint, inner):
            return "flask"
        if len(self._params) > 1:
            return "fields"
        if self._hint is inspect.Parameter.empty:
            return "text" if kind == "script" else "unwrapped"
        return _style_of_hint(self._hint)

    def call(self, inputs: Any, params: dict[str, Any]) -> Any:
        """What the function returns. Raises Refused (422) where the request does not fit the parameters, and what the function raises."""
        extra = {"params": params} if self._takes_params else {}
        if self._style == "fields":
            return self._function(**self._fields(inputs), **extra)
        return self._function(self._argument(inputs), **extra)

    async def call_async(self, inputs: Any, params: dict[str, Any]) -> Any:
        """As `call`; what is awaitable is awaited, an asynchronous generator is returned as it is."""
        made = self.call(inputs, params)
        return await made if inspect.isawaitable(made) else made

    def _argument(self, inputs: Any) -> Any:
        style = self._style
        if style in ("matrix", "frame", "rows", "body"):
            return inputs
        if style == "text":
            return _text(inputs)
        if style == "bytes":
            return bytes(inputs.data)
        if style == "flask":
            return _flask_request(inputs)
        if style == "field":
            name = self._params[0].name
            inputs = inputs[name] if isinstance(inputs, dict) and name in inputs else inputs
        elif style in ("unwrapped", "list"):
            inputs = _unwrapped(inputs)
        return _converted(inputs, self._hint, self._params[0].name)

    def _fields(self, value: Any) -> dict[str, Any]:
        """The arguments by name, of a JSON object."""
        names = [one.name for one in self._params]
        if isinstance(value, dict) and len(names) == 1 and names[0] not in value:
            inner = next((value[key] for key in ("inputs", "data", "Inputs") if key in value), value)
            value = {names[0]: inner}
        elif isinstance(value, dict) and not any(name in value for name in names) and isinstance(value.get("inputs"), dict | list):
            inner = value["inputs"]
            value = inner[0] if isinstance(inner, list) and len(inner) == 1 else inner
        elif not isinstance(value, dict) and len(names) == 1:
            value = {names[0]: value}
        if not isinstance(value, dict):
            raise misfit(f"came {envelope.shown(value)}, expected an object with {', '.join(names)}")
        missing = [one.name for one in self._params if one.default is one.empty and one.name not in value]
        if missing:
            raise misfit(f"the field {missing[0]!r} is missing", faults=[Fault(-1, name, "nothing", "a value") for name in missing])
        found = {name: value[name] for name in names if name in value}
        return {name: _converted(one, self._hints.get(name, inspect.Parameter.empty), name) for name, one in found.items()}


def _style_of_hint(hint: Any) -> str:
    origin: Any = typing.get_origin(hint) or hint
    if origin in _STYLES:
        return _STYLES[origin]
    if origin is list:
        inside = typing.get_args(hint)
        return "rows" if inside and (inside[0] is dict or typing.get_origin(inside[0]) is dict) else "list"
    module, name = str(getattr(origin, "__module__", "")), str(getattr(origin, "__name__", ""))
    return {("numpy", "ndarray"): "matrix", ("pandas", "DataFrame"): "frame", ("fairway", "Body"): "body"}.get(
        (module.partition(".")[0], name), "value"
    )


_STYLES: dict[Any, str] = {
    str: "text",
    bytes: "bytes",
    bytearray: "bytes",
    memoryview: "bytes",
    int: "field",
    float: "field",
    bool: "field",
}


def _hints_of(function: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except Exception:  # noqa: BLE001 - an annotation names something that is only there for type checkers
        return {name: hint for name, hint in getattr(function, "__annotations__", {}).items() if not isinstance(hint, str)}


def _is_schema_decorated(function: Any) -> bool:
    found: Any = sys.modules.get("inference_schema.schema_util")
    return found is not None and bool(found.is_schema_decorated(function))


def _asks_for_raw_http(hint: Any, function: Any) -> bool:
    found: Any = sys.modules.get("azureml.contrib.services.aml_request")
    if found is None:
        return False
    asked = found._rawHttpRequested and getattr(function, "__name__", "") == "run"
    return bool(asked) or (isinstance(hint, type) and issubclass(hint, found.Request))


def _flask_request(body: Body) -> Any:
    """A request as Flask has it, which is what azureml's scripts know."""
    from azureml.contrib.services.aml_request import Request  # pyright: ignore[reportMissingImports]
    from werkzeug.test import EnvironBuilder

    data = bytes(body.data)
    builder = EnvironBuilder(
        path="/score", method="POST", data=data, content_type=body.content_type or None, query_string=body.params or None
    )
    return Request(builder.get_environ())


def _text(body: Body) -> str:
    try:
        return str(body.data, "utf-8")
    except UnicodeDecodeError as error:
        raise Refused(
            400, "FW-REQUEST", f"the body is not UTF-8 text: byte {error.start}", hint="run(body: bytes) takes any bytes"
        ) from None


def _unwrapped(value: Any) -> Any:
    """The rows without the envelope that callers put them in."""
    if isinstance(value, dict):
        if isinstance(value.get("dataframe_split"), dict) or ("columns" in value and "data" in value):
            names, rows = envelope.rows_of(value)
            return [dict(zip(names, row, strict=False)) for row in rows]
        for key in ("inputs", "data", "instances", "dataframe_records"):
            if key in value:
                return value[key]
    return value


def _converted(value: Any, hint: Any, name: str) -> Any:
    """`value` as the annotation has it. Raises Refused for one that cannot be."""
    if hint is inspect.Parameter.empty or hint is Any or hint is dict or hint is list:
        if (hint is dict and not isinstance(value, dict)) or (hint is list and not isinstance(value, list)):
            raise _misfit(name, value, "an object" if hint is dict else "an array")
        return value
    origin = typing.get_origin(hint) or hint
    module = getattr(origin, "__module__", "").partition(".")[0]
    if module == "numpy" and getattr(origin, "__name__", "") == "ndarray":
        import numpy as np

        return value if isinstance(value, np.ndarray) else np.asarray(value)
    if module == "pandas" and getattr(origin, "__name__", "") == "DataFrame":
        import pandas as pd

        return value if isinstance(value, pd.DataFrame) else pd.DataFrame(value)
    if hasattr(origin, "model_validate"):
        try:
            return origin.model_validate(value)
        except ValueError as error:
            problems: Any = getattr(error, "errors", list)()
            faults = tuple(
                Fault(-1, ".".join(map(str, one["loc"])), envelope.shown(one.get("input")), str(one["msg"])[:200]) for one in problems[:20]
            )
            raise misfit(faults[0].text if faults else str(error)[:500], faults=faults) from None
    try:
        return msgspec.convert(value, hint, strict=True)
    except msgspec.ValidationError as error:
        told, _, where = str(error).partition(" - at `$")
        place = f"{name}{where.rstrip('`')}"
        raise misfit(f"{place}: {told}", faults=(Fault(-1, place, envelope.shown(value), told),)) from None
    except TypeError:
        return value  # an annotation that says nothing about data


def _misfit(name: str, value: Any, expected: str) -> Refused:
    fault = Fault(-1, name, envelope.shown(value), expected)
    return misfit(fault.text, faults=(fault,))
