"""Numbers as training code has them: in tensors and arrays of whatever library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fairway.errors import DefinitionError


def plain_metrics(values: Mapping[str, Any], call: str = "fw.log") -> dict[str, Any]:
    """The values with each tensor, array or scalar of a library as a Python number; text and what else has no numbers in it stays.

    They are taken out now: a tensor may be changed by the training's next line. Raises DefinitionError, which names the value, for several
    numbers under one name.
    """
    return {name: _plain_number(name, value, call) for name, value in values.items()}


def _plain_number(name: str, value: Any, call: str) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    item = getattr(value, "item", None)
    try:
        number = item() if callable(item) else float(value)
        if isinstance(number, bool | int | float):
            return number
    except Exception as error:
        if not _has_parts(value):
            return value
        raise DefinitionError(
            f"{call}: {name!r} is {_describe(value)}, not one number",
            hint="give its mean or its norm, or each number under a name of its own",
        ) from error
    return value


def _has_parts(value: Any) -> bool:
    return hasattr(value, "shape") or hasattr(value, "__len__")


def _describe(value: Any) -> str:
    cls = type(value)
    library = cls.__module__.partition(".")[0]
    kind = cls.__name__ if library == "builtins" else f"{library}.{cls.__name__}"
    shape = getattr(value, "shape", None)
    if shape is not None:
        return f"a {kind} of shape {tuple(shape)}"
    return f"a {kind} of {len(value)}"
