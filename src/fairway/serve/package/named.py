"""Arrays by name, as a model of named tensors wants them: torch, ONNX, TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fairway.serve.package import envelope, tensors
from fairway.serve.package.misfit import lacking, misfit
from fairway.serve.package.payload import decode_json, decode_rows, joined
from fairway.serve.refusal import Fault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fairway.serve.call import Call
    from fairway.serve.package.predictor import Predictor


class Slot:
    """One array that a model wants. `dtype` is numpy's ("<f4", "|O" for text, "": any will do); `shape` has -1 where any size will do, None
    if nothing is known of it."""

    __slots__ = ("dtype", "name", "shape")

    def __init__(self, name: str, dtype: str = "", shape: tuple[int, ...] | None = None) -> None:
        self.name, self.dtype, self.shape = name, dtype, shape

    def fit(self, array: Any) -> Any:
        """`array` in the slot's type, and with the last axis that a column of one value a row may lack. Raises Refused."""
        import numpy as np

        made = np.asarray(array)
        if self.dtype and made.dtype != np.dtype(self.dtype):
            try:
                made = made.astype(self.dtype)
            except (TypeError, ValueError) as error:
                raise misfit(f"input {self.name!r}: {error}", hint=f"the model takes {np.dtype(self.dtype).name}") from None
        if self.shape is None or made.ndim == len(self.shape):
            wanted = self.shape
        elif made.ndim == 1 and len(self.shape) == 2 and self.shape[1] in (1, -1):
            return made.reshape(-1, 1)
        elif made.ndim == 2 and len(self.shape) == 1 and made.shape[1] == 1:
            return made.reshape(-1)
        elif made.ndim == len(self.shape) - 1 and self._matches(made.shape, self.shape[1:]):
            return made.reshape(1, *made.shape)  # one row without the axis of rows
        else:
            wanted = self.shape
            self._refuse(made.shape)
        if wanted is not None and not self._matches(made.shape, wanted):
            self._refuse(made.shape)
        return made

    @staticmethod
    def _matches(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
        return all(want in (-1, size) for size, want in zip(shape, wanted, strict=True))

    def _refuse(self, shape: tuple[int, ...]) -> None:
        shown = [size if size >= 0 else "any" for size in self.shape or ()]
        raise misfit(
            f"input {self.name!r} has the shape {list(shape)}, and the model takes [{', '.join(map(str, shown))}]",
            faults=(Fault(-1, self.name, f"shape {list(shape)}", f"shape [{', '.join(map(str, shown))}]"),),
        )


def of_calls(calls: Sequence[Call], predictor: Predictor, schema: Any) -> dict[str, Any]:
    """{name: array}, joined along the first axis."""
    import numpy as np

    made = [of_call(call, predictor, schema) for call in calls]
    if len(made) == 1:
        return made[0]
    return {name: np.concatenate([one[name] for one in made]) for name in made[0]}


def of_call(call: Call, predictor: Predictor, schema: Any) -> dict[str, Any]:
    """{slot: array} of one call; sets its `rows`. Raises Refused."""
    slots: tuple[Slot, ...] = getattr(predictor, "slots", ())
    made = _arrays_of(call, slots, schema)
    made = _into_slots(made, slots) if slots else {f"input_{at}": array for at, array in enumerate(made.values())}
    first = next(iter(made.values()))
    call.rows = call.rows or (len(first) if first.ndim else 0)
    return made


def _arrays_of(call: Call, slots: tuple[Slot, ...], schema: Any) -> dict[str, Any]:
    """Arrays as they came, each by the name that it came with ("" where it had none)."""
    import numpy as np

    if call.form == "tensors":
        return {tensor.name: tensors.to_array(tensor) for tensor in call.tensors}
    if call.form == "matrix":
        matrix = joined((call,))
        return {name: matrix[:, at] for at, name in enumerate(call.names)} if len(slots) > 1 else {"": matrix}
    if call.form == "table":
        from fairway.serve.package import tables

        found = tables.read(call)
        tables.check(found, schema)
        return {name: found.column(name).to_numpy() for name in found.column_names}
    if call.form == "rows":
        names, rows = call.names, decode_rows(call.payload)
    else:
        value = decode_json(call)
        given = value.get("inputs", value) if isinstance(value, dict) else value
        if isinstance(given, dict) and slots and {slot.name for slot in slots} <= set(given):
            return {slot.name: _array(slot.name, given[slot.name]) for slot in slots}
        if not isinstance(value, dict) or isinstance(value.get("inputs"), list):
            nested = given[0] if isinstance(given, list) and given else None
            if isinstance(nested, list | int | float):
                return {"": _array("inputs", given)}
        names, rows = envelope.rows_of(value)
    if len(slots) > 1 and names:
        return {name: np.array([row[at] for row in rows]) for at, name in enumerate(names)}
    return {"": _array("inputs", rows)}


def _array(name: str, value: Any) -> Any:
    import numpy as np

    try:
        made = np.array(value)
    except ValueError:
        made = None
    if made is None or (made.dtype == object and made.ndim and isinstance(made.flat[0], list | dict)):
        raise misfit(f"{name}: rows of different lengths make no array", hint="give every row as many values")
    return made


def _into_slots(found: dict[str, Any], slots: tuple[Slot, ...]) -> dict[str, Any]:
    """Each slot with the array of its name; where there is one of each, names do not matter."""
    if len(slots) == 1 and len(found) == 1:
        return {slots[0].name: slots[0].fit(next(iter(found.values())))}
    if len(slots) == 1 and slots[0].name not in found:
        import numpy as np

        return {slots[0].name: slots[0].fit(np.stack(list(found.values()), axis=1))}
    missing = [slot.name for slot in slots if slot.name not in found]
    if missing:
        raise lacking(missing, "an array")
    return {slot.name: slot.fit(found[slot.name]) for slot in slots}
