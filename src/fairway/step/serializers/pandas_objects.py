"""Columns of Python objects: strings, bytes, arrays of numbers; anything else cell by cell as JSON."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from fairway.errors import DefinitionError
from fairway.step import plainjson


def to_arrow(values: Any, label: str) -> tuple[Any, dict[str, Any]]:
    """(Arrow array, note) of a one-dimensional array of objects. Raises DefinitionError naming the first cell that cannot be stored."""
    import pyarrow as pa

    cells = values.tolist()
    missing = (
        {_missing(cell) for cell in cells if cell is None or cell != cell or type(cell).__name__ in ("NAType", "NaTType")}
        if _comparable(cells)
        else {""}
    )
    kinds = {type(cell) for cell in cells if not _missing(cell)}
    if len(missing) <= 1 and "" not in missing:
        note = {"kind": "objects", "missing": next(iter(missing), "None")}
        clean = [None if _missing(cell) else cell for cell in cells] if missing else cells
        try:
            if kinds == {str}:
                return pa.array(clean, pa.large_string()), {**note, "as": "plain"}
            if kinds == {bytes}:
                return pa.array(clean, pa.large_binary()), {**note, "as": "plain"}
            if kinds == {bool}:
                return pa.array(clean, pa.bool_()), {**note, "as": "plain"}
        except (pa.ArrowException, UnicodeEncodeError):
            pass  # lone surrogates, say: JSON can
        if not missing and (arrays := _arrays(cells, kinds)) is not None:
            return arrays
    return pa.array([_render(cell, row, label) for row, cell in enumerate(cells)], pa.large_binary()), {"kind": "objects", "as": "json"}


def from_arrow(array: Any, note: dict[str, Any]) -> Any:
    """The inverse of `to_arrow`."""
    import numpy as np

    made = np.empty(len(array), dtype=object)
    if note["as"] == "json":
        cells = [plainjson.parse(text) for text in array.to_pylist()]
    elif note["as"] == "arrays":
        flat = array.values.to_numpy(zero_copy_only=False).astype(note["dtype"], copy=False)
        ends = array.offsets.to_numpy()
        cells = [flat[start:end].copy() for start, end in pairwise(ends)]
    else:
        blank = _blank(note["missing"])
        cells = [blank if cell is None else cell for cell in array.to_pylist()]
    for row, cell in enumerate(cells):  # one by one: NumPy would make a matrix of arrays of equal length
        made[row] = cell
    return made


def _comparable(cells: list[Any]) -> bool:
    """Can each cell be asked whether it equals itself? (Arrays and tables answer with arrays.)"""
    return not any(hasattr(cell, "__array__") and not _missing(cell) for cell in cells)


def _missing(cell: Any) -> str:
    """Which of pandas' words for "nothing here" it is; "" if it is a value."""
    if cell is None:
        return "None"
    kind = type(cell)
    if kind is float and cell != cell:
        return "nan"
    return {"NAType": "NA", "NaTType": "NaT"}.get(kind.__name__, "")


def _blank(word: str) -> Any:
    import pandas as pd

    return {"None": None, "nan": float("nan"), "NA": pd.NA, "NaT": pd.NaT}[word]


def _arrays(cells: list[Any], kinds: set[type]) -> tuple[Any, dict[str, Any]] | None:
    """Embeddings and the like: vectors of one dtype, whatever their lengths."""
    import numpy as np
    import pyarrow as pa

    if kinds != {np.ndarray} or any(c.ndim != 1 or c.dtype != cells[0].dtype for c in cells) or cells[0].dtype.kind not in "iuf":
        return None
    flat = pa.array(np.concatenate(cells))
    ends = pa.array(np.cumsum([0, *map(len, cells)], dtype="i8"))
    return pa.LargeListArray.from_arrays(ends, flat), {"kind": "objects", "as": "arrays", "dtype": cells[0].dtype.str}


def _render(cell: Any, row: int, label: str) -> bytes:
    try:
        return plainjson.dump_plain(plainjson.encode(cell, _within_cell))
    except plainjson.NotJson as error:
        kind = type(error.value)
        raise DefinitionError(
            f"the column {label} holds a {kind.__module__}.{kind.__qualname__} in row {row}, which a table cannot store",
            hint=f"turn the column into text or numbers first, or drop it: df.drop(columns=[{label!r}])",
        ) from None


def _within_cell(value: Any) -> Any:
    """Long bytes and arrays of numbers, which elsewhere have files of their own."""
    if isinstance(value, bytes | bytearray):
        return plainjson.tag_bytes(value)
    if type(value).__module__ == "numpy" and hasattr(value, "ravel") and value.dtype.kind in "biufc":
        return plainjson.tag_array(value, _within_cell)
    raise plainjson.NotJson(value)
