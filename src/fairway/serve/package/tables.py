"""Arrow streams and Parquet files: read and checked in the model's process, so that the front need not import pyarrow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fairway.errors import UnsupportedError
from fairway.serve.package.misfit import lacking, misfit
from fairway.serve.refusal import Fault, Refused

if TYPE_CHECKING:
    from fairway.serve.call import Call
    from fairway.serve.package.predictor import Predictor


def read(call: Call) -> Any:
    """The pyarrow.Table of a call; sets its `rows`. Raises Refused (400) for bytes that are none, UnsupportedError without pyarrow."""
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError:
        raise UnsupportedError("to take Arrow or Parquet the model's environment needs pyarrow", hint="pip install pyarrow") from None
    is_parquet = "parquet" in call.content_type
    try:
        source = pa.BufferReader(pa.py_buffer(call.payload))
        made = pyarrow.parquet.read_table(source) if is_parquet else pa.ipc.open_stream(source).read_all()
        made.validate(full=not is_parquet)
    except (pa.ArrowException, OSError) as error:
        kind = "a Parquet file" if is_parquet else "an Arrow stream"
        told = str(error).splitlines()[0][:200]
        raise Refused(400, "FW-NOT-TABLE", f"the body is not {kind}: {told}", hint=f"content-type says {call.content_type}") from None
    if made.num_rows == 0:
        raise misfit("the table has no rows", hint="send at least one")
    call.rows = made.num_rows
    return made


def check(table: Any, schema: Any) -> None:
    """Refuse (422) a table that does not keep to the schema's columns: names, kinds of values, nulls, NaN, bounds, choices."""
    columns = getattr(schema, "columns", ())
    faults: list[Fault] = []
    for column in columns:
        if column.name not in table.column_names:
            if column.required:
                faults.append(Fault(-1, column.name, "nothing", f"a column of {column.type}"))
            continue
        faults += _faults_of(table.column(column.name), column)
    if faults:
        raise misfit(faults[0].text, faults=faults)


def as_matrix(table: Any, names: tuple[str, ...], schema: Any) -> Any:
    """Checked, as a matrix of doubles with the model's columns in the model's order."""
    import numpy as np

    check(table, schema)
    wanted = names or tuple(column.name for column in getattr(schema, "columns", ())) or tuple(table.column_names)
    missing = [name for name in wanted if name not in table.column_names]
    if missing and not getattr(schema, "columns", ()):
        raise lacking(missing, "a column")
    made = np.full((table.num_rows, len(wanted)), np.nan)
    for at, name in enumerate(wanted):
        if name in table.column_names:
            made[:, at] = _doubles(table.column(name), name)
    return made


def as_frame(table: Any, predictor: Predictor, schema: Any) -> Any:
    """Checked, as a pandas frame with the types of training."""
    from fairway.serve.package import frames

    check(table, schema)
    return frames.of_frame(table.to_pandas(), predictor, schema)


def _doubles(column: Any, name: str) -> Any:
    import pyarrow as pa

    try:
        return column.cast(pa.float64()).to_numpy()
    except pa.ArrowException:
        raise misfit(
            f"column {name!r} is {column.type}, and the model takes numbers",
            faults=(Fault(-1, name, str(column.type), "numbers"),),
        ) from None


def _faults_of(values: Any, column: Any) -> list[Fault]:
    """What is wrong with one column; the first bad row of each kind."""
    import pyarrow as pa
    import pyarrow.compute

    pc: Any = pyarrow.compute  # its functions are made when it is imported: type checkers know none of them

    kind = values.type
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    fits = {
        "number": is_number,
        "integer": pa.types.is_integer(kind)
        or (pa.types.is_floating(kind) and bool(pc.all(pc.equal(pc.floor(values), values)).as_py() in (True, None))),
        "boolean": pa.types.is_boolean(kind),
        "string": pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind) or pa.types.is_temporal(kind),
    }.get(column.type, True)
    if pa.types.is_null(kind):
        fits = True  # a column of nothing but nulls: refused below unless they are allowed
    if not fits:
        return [Fault(-1, column.name, f"a column of {kind}", f"a column of {column.type}")]
    found: list[Fault] = []
    tests: list[tuple[Any, str]] = []
    if not column.nullable and values.null_count:
        tests.append((pc.is_null(values), f"a {column.type}"))
    if pa.types.is_floating(kind) and not getattr(column, "allows_nan", False):
        tests.append((pc.is_nan(values), "a finite number"))
    if is_number and getattr(column, "minimum", None) is not None:
        tests.append((pc.less(values, column.minimum), f"at least {column.minimum}"))
    if is_number and getattr(column, "maximum", None) is not None:
        tests.append((pc.greater(values, column.maximum), f"at most {column.maximum}"))
    choices = [choice for choice in getattr(column, "choices", None) or () if choice is not None]
    if choices and not pa.types.is_null(kind):
        plain = values.combine_chunks().dictionary_decode() if pa.types.is_dictionary(kind) else values
        known = pc.is_in(plain, value_set=pa.array(choices))
        tests.append((pc.and_(pc.invert(known), pc.is_valid(plain)), f"one of {', '.join(map(repr, choices[:10]))}"))
    for bad, expected in tests:
        at = pc.index(pc.fill_null(bad, False), True).as_py()
        if at >= 0:
            value = values[at].as_py()
            found.append(Fault(at, column.name, "null" if value is None else repr(value)[:60], expected))
    return found
