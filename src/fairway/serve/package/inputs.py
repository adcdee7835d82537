"""From checked calls to what a model takes. Numbers that lie one after another in memory already are not copied.

`to_inputs` raises Refused for what the front could not know: a table's content, JSON for which there is no schema, a column that the model
needs and the request lacks.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import msgspec

from fairway.serve.package import envelope, named, tensors
from fairway.serve.package.misfit import MOST_FAULTS, lacking, misfit
from fairway.serve.package.payload import decode_json, decode_rows, joined
from fairway.serve.refusal import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fairway.serve.call import Call
    from fairway.serve.package.predictor import Predictor

_encode_json = msgspec.json.Encoder().encode


class Body:
    """A request as it came, for scripts that want it so."""

    __slots__ = ("content_type", "data", "id", "params")

    def __init__(self, data: bytes | memoryview, content_type: str, params: dict[str, Any], id: str = "") -> None:
        self.data, self.content_type, self.params, self.id = data, content_type, params, id


def to_inputs(calls: Sequence[Call], predictor: Predictor, schema: Any = None) -> Any:
    """What `predictor` takes, of one or several calls. Sets `rows` of calls whose rows nobody counted before. Raises Refused."""
    takes = predictor.takes
    if takes == "matrix":
        return _to_matrix(calls, predictor, schema)
    if takes == "frame":
        return _to_frame(calls, predictor, schema)
    if takes == "rows":
        return list(chain.from_iterable(_rows_as_dicts(call, schema) for call in calls))
    if takes == "tensors":
        return named.of_calls(calls, predictor, schema)
    if len(calls) != 1:
        raise ValueError(f"{len(calls)} calls cannot be joined for a model that takes one {takes}")
    return _to_body(calls[0], schema) if takes == "raw" else _to_value(calls[0], schema)


def _to_matrix(calls: Sequence[Call], predictor: Predictor, schema: Any) -> Any:
    first = calls[0]
    if len(calls) == 1:
        return _matrix_of(first, predictor, schema)
    if all(call.form == "matrix" and call.dtype == first.dtype and call.names == first.names for call in calls):
        return _ordered(joined(calls), first.names, predictor.names)
    import numpy as np

    return np.concatenate([_matrix_of(call, predictor, schema) for call in calls])


def _matrix_of(call: Call, predictor: Predictor, schema: Any) -> Any:
    import numpy as np

    if call.form == "matrix":
        return _ordered(joined((call,)), call.names, predictor.names)
    if call.form == "tensors":
        made = tensors.as_matrix(call.tensors, predictor.names)
    elif call.form == "table":
        from fairway.serve.package import tables

        made = tables.as_matrix(tables.read(call), predictor.names, schema)
    else:
        names, rows = _rows_of(call, schema)
        made = _numbers(rows, names) if rows else np.empty((0, len(names)))
        made = _ordered(made, names, predictor.names)
    call.rows = call.rows or len(made)
    return made


def _ordered(matrix: Any, names: tuple[str, ...], wanted: tuple[str, ...]) -> Any:
    """With the columns in the order of training."""
    order = _order(names, wanted)
    return matrix if order is None else matrix[:, order]


@lru_cache(maxsize=64)
def _order(names: tuple[str, ...], wanted: tuple[str, ...]) -> list[int] | None:
    """Where each wanted column stands among `names`; None if they stand as wanted, or either side has no names. Raises Refused."""
    if not names or not wanted or names == wanted:
        return None
    places = {name: at for at, name in enumerate(names)}
    missing = [name for name in wanted if name not in places]
    if not missing:
        return [places[name] for name in wanted]
    if len(names) == len(wanted) and not any(name in places for name in wanted):
        return None  # other names altogether ("x0", "x1", …): the order is all there is to go by
    raise lacking(missing)


def _numbers(rows: list[list[Any]], names: Sequence[str]) -> Any:
    """A matrix of rows of numbers; what is missing becomes NaN. Raises Refused for anything else."""
    import numpy as np

    try:
        made = np.array(rows)
    except ValueError:
        made = np.empty(0, object)  # rows of different lengths
    if made.ndim == 2 and made.dtype.kind in "biuf":
        return made.astype(np.float64, copy=False)
    faults = list(islice(_not_numbers(rows, names), MOST_FAULTS))
    if faults:
        raise misfit(faults[0].text, faults=faults)
    return np.array(rows, np.float64)  # None becomes NaN


def _not_numbers(rows: list[list[Any]], names: Sequence[str]) -> Iterator[Fault]:
    width = len(names) or len(rows[0])
    for at, row in enumerate(rows):
        if len(row) != width:
            yield Fault(at, "", f"{len(row)} values", str(width))
            continue
        for place, value in enumerate(row):
            if value is not None and not isinstance(value, int | float):
                yield Fault(at, names[place] if names else str(place), envelope.shown(value), "a number")
                break


def _to_frame(calls: Sequence[Call], predictor: Predictor, schema: Any) -> Any:
    from fairway.serve.package import frames

    if len(calls) > 1 and all(call.form == "matrix" and call.names == calls[0].names and call.dtype == calls[0].dtype for call in calls):
        return frames.of_matrix(joined(calls), calls[0].names, predictor, schema)
    made = [_frame_of(call, predictor, schema) for call in calls]
    return made[0] if len(made) == 1 else frames.concatenate(made)


def _frame_of(call: Call, predictor: Predictor, schema: Any) -> Any:
    from fairway.serve.package import frames

    if call.form == "matrix":
        return frames.of_matrix(joined((call,)), call.names, predictor, schema)
    if call.form == "table":
        from fairway.serve.package import tables

        made = tables.as_frame(tables.read(call), predictor, schema)
    elif call.form == "tensors":
        made = frames.of_tensors(call.tensors, predictor, schema)
    else:
        names, rows = _rows_of(call, schema)
        made = frames.of_rows(rows, names, predictor, schema)
    call.rows = call.rows or len(made)
    return made


def _rows_as_dicts(call: Call, schema: Any) -> list[dict[str, Any]]:
    if call.form == "matrix":
        names, rows = call.names, _plain_numbers(joined((call,)), schema)
    elif call.form == "table":
        from fairway.serve.package import tables

        found = tables.read(call)
        tables.check(found, schema)
        call.rows = call.rows or found.num_rows
        return found.to_pylist()
    elif call.form == "tensors":
        names, rows = tensors.as_rows(call.tensors)
    else:
        names, rows = _rows_of(call, schema)
    call.rows = call.rows or len(rows)
    names = names or _schema_names(schema) or tuple(f"x{n}" for n in range(len(rows[0]) if rows else 0))
    return [dict(zip(names, row, strict=False)) for row in rows]


def _plain_numbers(matrix: Any, schema: Any) -> list[list[Any]]:
    """Rows of Python numbers; what the schema calls an integer is one again, NaN of a nullable column is None."""
    rows: list[list[Any]] = matrix.tolist()
    kinds = [column.type for column in getattr(schema, "columns", ())]
    casts = [(at, int if kind == "integer" else bool) for at, kind in enumerate(kinds) if kind in ("integer", "boolean")]
    for row in rows:
        for at, value in enumerate(row):
            if value != value:
                row[at] = None
        for at, cast in casts:
            if row[at] is not None:
                row[at] = cast(row[at])
    return rows


def _rows_of(call: Call, schema: Any) -> tuple[tuple[str, ...], list[list[Any]]]:
    """Names and rows of a call that carries rows or JSON."""
    if call.form == "rows":
        return call.names, decode_rows(call.payload)
    names, rows = envelope.rows_of(decode_json(call))
    return names or _schema_names(schema), rows


def _schema_names(schema: Any) -> tuple[str, ...]:
    return tuple(column.name for column in getattr(schema, "columns", ()))


def _to_value(call: Call, schema: Any) -> Any:
    """One decoded JSON value; of rows, a list of objects under "inputs", as /predict has it."""
    if call.form in ("json", "raw"):
        return decode_json(call)
    if call.form == "tensors":
        return {tensor.name: tensors.to_array(tensor).tolist() for tensor in call.tensors}
    return {"inputs": _rows_as_dicts(call, schema)}


def _to_body(call: Call, schema: Any) -> Body:
    """The bytes as they came; of rows, which have come in another form, JSON as Azure's callers write it."""
    if call.form in ("json", "raw", "table"):
        return Body(call.payload, call.content_type or "application/json", call.params, call.id)
    if call.form == "tensors":
        value: Any = {tensor.name: tensors.to_array(tensor).tolist() for tensor in call.tensors}
    else:
        rows = _plain_numbers(joined((call,)), schema) if call.form == "matrix" else decode_rows(call.payload)
        value = {"data": [dict(zip(call.names, row, strict=True)) for row in rows] if call.names else rows}
    return Body(_encode_json(value), "application/json", call.params, call.id)
