"""What a model takes and gives: inferred from an example, or from what the fitted estimator remembers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fairway.step import plainjson

if TYPE_CHECKING:
    from fairway.step.types import Model

_EXAMPLE_ROWS = 3
_MANY_CATEGORIES = 100
_DATATYPES = {
    "float16": "FP16", "float32": "FP32", "int8": "INT8", "int16": "INT16", "int32": "INT32", "uint8": "UINT8", "uint16": "UINT16",
    "uint32": "UINT32", "uint64": "UINT64", "halffloat": "FP16",
}  # fmt: skip
"""Libraries' types that are narrower than what JSON's stand for, by the names of the Open Inference Protocol."""
_USUAL = {"int64": "INT64", "bool": "BOOL"}


def infer(model: Model) -> dict[str, Any]:
    """{"inputs": {column: {"type", …}}, "outputs": {…}}; what is not known is left out. What the user said is kept."""
    found: dict[str, Any] = {}
    if model.signature:
        for side in ("inputs", "outputs"):
            if side in model.signature:
                found[side] = {name: {"type": t} if isinstance(t, str) else dict(t) for name, t in dict(model.signature[side]).items()}
    estimator = model._estimator
    if "inputs" not in found:
        fitted = model._transform.columns if model._transform is not None else None
        inputs = columns_of(model.example) or (_of_estimator(estimator) if fitted is None else fitted)
        if inputs:
            found["inputs"] = inputs
    if "outputs" not in found and estimator is not None:
        outputs = _outputs(estimator, model.example, model._transform)
        if outputs:
            found["outputs"] = outputs
    return found


def schema(signature: dict[str, Any]) -> dict[str, Any] | None:
    """JSON Schema 2020-12 of rows of inputs and of outputs, or of arrays by name; None where nothing is known. A datatype narrower than
    JSON's types and an array's shape stand in `x-fairway`."""
    if not signature.get("inputs") and not signature.get("outputs"):
        return None
    made: dict[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "properties": {}, "required": []}
    for side in ("inputs", "outputs"):
        columns = signature.get(side)
        if not columns:
            continue
        has_shapes = any(about.get("shape") for about in columns.values())
        made["properties"][side] = {"$ref": f"#/$defs/{side}"} if has_shapes else {"type": "array", "items": {"$ref": f"#/$defs/{side}"}}
        made.setdefault("$defs", {})[side] = {
            "type": "object",
            "properties": {name: _property(about) for name, about in columns.items()},
            "required": [name for name, about in columns.items() if not about.get("missing")],
        }
        if side == "inputs":
            made["required"].append("inputs")
    return made


def example_rows(example: Any) -> list[Any] | None:
    """The first rows of an example as a request has them; None if there are none to show."""
    if example is None:
        return None
    if hasattr(example, "to_dicts"):  # Polars, which has a to_dict of its own
        rows = example.head(_EXAMPLE_ROWS).to_dicts()
    elif hasattr(example, "to_dict") and hasattr(example, "columns") and hasattr(example, "head"):  # a pandas frame
        rows = example.head(_EXAMPLE_ROWS).astype(object).to_dict("records")
    elif hasattr(example, "to_pylist"):
        rows = example.slice(0, _EXAMPLE_ROWS).to_pylist()
    elif hasattr(example, "tolist"):
        rows = example[:_EXAMPLE_ROWS].tolist()
    else:
        rows = list(example)[:_EXAMPLE_ROWS] if isinstance(example, list | tuple) else [example]
    return [_row(row) for row in rows]


def _row(row: Any) -> Any:
    if isinstance(row, dict):
        return {str(name): _jsonable(value) for name, value in row.items()}
    return _jsonable(row)


def _jsonable(value: Any) -> Any:
    if value is None or (hasattr(value, "__ne__") and _is_nan(value)):
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    value = value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value
    value = value.tolist() if hasattr(value, "tolist") else value
    return value if plainjson.is_plain(value) else str(value)


def _is_nan(value: Any) -> bool:
    return type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value)


def columns_of(example: Any) -> dict[str, Any]:
    """{column: {"type", …}} of a table, an array or rows; {} where nothing can be said."""
    if example is None:
        return {}
    if hasattr(example, "iloc") and hasattr(example, "columns"):
        return {str(name): _of_pandas(example.iloc[:, n]) for n, name in enumerate(example.columns)}
    if hasattr(example, "schema") and hasattr(example, "columns") and hasattr(example, "dtypes"):  # Polars
        return {name: _of_column(str(dtype).lower(), example[name].null_count()) for name, dtype in example.schema.items()}
    if hasattr(example, "schema") and hasattr(example, "column_names"):
        types = {field.name: getattr(field.type, "value_type", field.type) for field in example.schema if "list" not in str(field.type)}
        return {name: _of_column(str(types.get(name, "any")), example.column(name).null_count) for name in example.column_names}
    if hasattr(example, "dtype") and hasattr(example, "shape"):
        kind = str(example.dtype).removeprefix("torch.")
        if len(example.shape) == 2:
            return {f"x{n}": {"type": kind} for n in range(example.shape[1])}
        return {"x": {"type": kind, "shape": [None, *example.shape[1:]]}}
    if isinstance(example, list) and example and isinstance(example[0], dict):
        return {str(name): {"type": _of_value(value)} for name, value in example[0].items()}
    return {}


def _of_column(kind: str, nulls: int) -> dict[str, Any]:
    return {"type": kind, **({"missing": True} if nulls else {})}


def _of_pandas(column: Any) -> dict[str, Any]:
    about: dict[str, Any] = {"type": str(column.dtype)}
    if hasattr(column, "cat"):
        about["type"] = "category"
        categories = [_jsonable(value) for value in column.cat.categories.tolist()]
        if len(categories) <= _MANY_CATEGORIES:
            about["categories"] = categories
    elif about["type"] == "object":
        first = column.dropna()
        about["type"] = _of_value(first.iloc[0]) if len(first) else "object"
    if bool(column.isna().any()):
        about["missing"] = True
    return about


def _of_value(value: Any) -> str:
    return {"str": "string", "int": "int64", "float": "float64", "bool": "bool"}.get(type(value).__name__, type(value).__name__)


def _of_estimator(estimator: Any) -> dict[str, Any]:
    """Columns that a fitted estimator remembers; their types it does not."""
    try:
        names = getattr(estimator, "feature_names_in_", None)
        count = getattr(estimator, "n_features_in_", None)
    except Exception:  # noqa: BLE001 - properties of estimators that are not fitted raise what they like
        return {}
    if names is None:
        names = getattr(estimator, "feature_names", None)
        names = names() if callable(names) else names
    if names is not None:
        return {str(name): {"type": "any"} for name in names}
    return {f"x{n}": {"type": "any"} for n in range(count)} if isinstance(count, int) else {}


def _outputs(estimator: Any, example: Any, transform: Any = None) -> dict[str, Any]:
    """What `predict` gives: from the classes of a classifier, else by predicting the example's features."""
    classes = getattr(estimator, "classes_", None)
    if classes is not None and hasattr(classes, "dtype"):
        about: dict[str, Any] = {"type": _of_dtype(classes.dtype)}
        if len(classes) <= _MANY_CATEGORIES:
            about["categories"] = [_jsonable(value) for value in classes]
        return {"prediction": about}
    if example is None or isinstance(example, list) or not hasattr(estimator, "predict"):
        return {}
    try:
        rows = example[:_EXAMPLE_ROWS]
        made = estimator.predict(rows if transform is None else transform(rows))
    except Exception:  # noqa: BLE001 - the example may lack what only the whole pipeline provides
        return {}
    dtype = getattr(made, "dtype", None)
    return {"prediction": {"type": _of_dtype(dtype)}} if dtype is not None and getattr(made, "ndim", 1) == 1 else {}


def _of_dtype(dtype: Any) -> str:
    return "string" if getattr(dtype, "kind", "") in "OUT" else str(dtype)


def _array(kind: str, shape: list[int | None]) -> dict[str, Any]:
    """Lists in lists, of a length where one is given."""
    names = {"int": "integer", "uint": "integer", "bool": "boolean"}
    made: dict[str, Any] = {"type": next((name for start, name in names.items() if kind.startswith(start)), "number")}
    for size in reversed(shape):
        made = {"type": "array", "items": made, **({"minItems": size, "maxItems": size} if size is not None else {})}
    said = {"datatype": _DATATYPES.get(kind, _USUAL.get(kind, "FP64")), "shape": [-1 if size is None else size for size in shape]}
    return {**made, "x-fairway": said}


def _property(about: dict[str, Any]) -> dict[str, Any]:
    """One column as JSON Schema."""
    kind = about["type"].lower()
    if "categories" in about:
        values = about["categories"]
        return {"enum": [*values, None] if about.get("missing") else values}
    if about.get("shape"):
        return _array(kind, about["shape"])
    for start, name in (
        ("int", "integer"), ("uint", "integer"), ("float", "number"), ("double", "number"), ("decimal", "number"), ("bool", "boolean"),
        ("str", "string"), ("utf8", "string"), ("large_string", "string"), ("categor", "string"), ("enum", "string"),
    ):  # fmt: skip
        if kind.startswith(start):
            made: dict[str, Any] = {"type": [name, "null"] if about.get("missing") else name}
            return {**made, "x-fairway": {"datatype": _DATATYPES[kind]}} if kind in _DATATYPES else made
    if kind.startswith(("datetime", "timestamp")):
        return {"type": ["string", "null"] if about.get("missing") else "string", "format": "date-time"}
    if kind.startswith("date"):
        return {"type": ["string", "null"] if about.get("missing") else "string", "format": "date"}
    return {}
