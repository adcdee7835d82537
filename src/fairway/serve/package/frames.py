"""pandas frames with the types that the model was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fairway.serve.package import tensors
from fairway.serve.package.misfit import lacking, misfit
from fairway.serve.refusal import Fault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fairway.serve.call import Tensor
    from fairway.serve.package.predictor import Predictor

_LIKE_FLOAT = ("float", "double", "number")
_LIKE_INT = ("int", "uint", "long")


def of_matrix(matrix: Any, names: tuple[str, ...], predictor: Predictor, schema: Any) -> Any:
    """A frame over the matrix's own memory where no column needs another type."""
    import pandas as pd

    frame = pd.DataFrame(matrix, columns=_named(names, predictor, matrix.shape[1]), copy=False)
    return _typed(frame, predictor, schema)


def of_rows(rows: list[list[Any]], names: Sequence[str], predictor: Predictor, schema: Any) -> Any:
    """A frame of rows of Python values."""
    import pandas as pd

    columns = _named(tuple(names), predictor, len(rows[0]) if rows else 0)
    for at, row in enumerate(rows):
        if len(row) != len(columns):
            raise misfit(
                f"row {at} has {len(row)} values for {len(columns)} columns",
                faults=(Fault(at, "", f"{len(row)} values", str(len(columns))),),
            )
    return _typed(pd.DataFrame(rows, columns=columns), predictor, schema)


def of_tensors(given: Sequence[Tensor], predictor: Predictor, schema: Any) -> Any:
    """A frame of one tensor for each column, or of a 2-D tensor."""
    arrays = [tensors.to_array(tensor) for tensor in given]
    if len(arrays) == 1 and arrays[0].ndim == 2:
        return of_matrix(arrays[0], (), predictor, schema)
    import pandas as pd

    columns = {tensor.name: array.reshape(-1) for tensor, array in zip(given, arrays, strict=True)}
    if len({len(column) for column in columns.values()}) > 1:
        told = ", ".join(f"{name!r} {len(column)}" for name, column in list(columns.items())[:5])
        raise misfit(f"tensors have different lengths: {told}", hint="give each column one value for each row")
    return _typed(pd.DataFrame(columns), predictor, schema)


def of_frame(frame: Any, predictor: Predictor, schema: Any) -> Any:
    """A frame that came as a table, with the types of training."""
    return _typed(frame, predictor, schema)


def concatenate(frames: list[Any]) -> Any:
    """One frame of all rows; its index counts from 0."""
    import pandas as pd

    made = pd.concat(frames, ignore_index=True)
    for name, dtype in frames[0].dtypes.items():
        if made[name].dtype != dtype:  # unequal categories, which can only be when there is no signature
            made[name] = made[name].astype(dtype)
    return made


def _named(names: tuple[str, ...], predictor: Predictor, width: int) -> Any:  # a list of names; pandas 2 says that it takes none
    wanted = predictor.names
    if names and not (wanted and len(wanted) == len(names) and not set(wanted) & set(names)):
        return list(names)
    return list(wanted) if len(wanted) == width else [f"x{n}" for n in range(width)]


def _typed(frame: Any, predictor: Predictor, schema: Any) -> Any:
    """Columns in the order and with the types of training. Raises Refused for a missing column and for a value of another kind."""
    known: dict[str, dict[str, Any]] = getattr(predictor, "columns", {})
    types = {column.name: column.type for column in getattr(schema, "columns", ())}
    wanted = [name for name in (predictor.names or tuple(known)) if name]
    missing = [name for name in wanted if name not in frame]
    if missing:
        raise lacking(missing)
    if wanted and list(frame.columns) != wanted:
        frame = frame[wanted]
    changed = {}
    for name in frame.columns:
        about = known.get(name, {})
        kind = about.get("type", "") if about.get("type", "any") != "any" else types.get(name, "")
        column = frame[name]
        made = _column(column, name, str(kind), about.get("categories"))
        if made is not column:
            changed[name] = made
    return frame.assign(**changed) if changed else frame


def _column(column: Any, name: str, kind: str, categories: Any) -> Any:
    """One column in the type named by `kind`, itself if it has that type."""
    import pandas as pd

    if not kind or str(column.dtype) == kind:
        return column
    try:
        if kind == "category":
            known = column if categories is None else column.where(column.isin(categories), None)  # others are missing, as for pandas
            return pd.Series(pd.Categorical(known, categories=categories), index=column.index, name=name)
        if kind.startswith(("date", "timestamp")):
            return pd.to_datetime(column, utc="UTC" in kind or "tz=" in kind)
        if kind.startswith(_LIKE_FLOAT):
            return (
                column.astype("float32" if kind == "float32" else "float64")
                if not str(column.dtype).startswith("float") or kind == "float32"
                else column
            )
        if kind.startswith(_LIKE_INT):
            exact = kind if kind not in ("integer", "int", "long") else "int64"
            return column if column.dtype == exact else column.astype("float64") if column.isna().any() else column.astype(exact)
        if kind in ("bool", "boolean"):
            return column if column.isna().any() else column.astype(bool)
        if kind in ("string", "str", "object") and column.dtype.kind in "OU":
            return column
    except (TypeError, ValueError) as error:
        raise misfit(f"column {name!r}: {error}", faults=(Fault(-1, name, str(column.dtype), kind),)) from None
    return column
