"""One pandas column to an Arrow array and back, exactly: what Arrow cannot say of it stands in a small note beside it.

Numbers and times are not copied. A missing number is NaN (or NaT) in the data and null in Arrow's mask, so that pandas gets back the bits
it wrote and every other reader sees a null.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fairway.errors import DefinitionError
from fairway.step import plainjson

if TYPE_CHECKING:
    from fairway.step.serializers.arrow_file import Mapping, Strided

Note = dict[str, Any]
_MUCH_BYTES = 4 << 20
_MISSING = ("None", "nan", "NA", "NaT")


def to_arrow(values: Any, label: str, strided: Strided | None = None) -> tuple[Any, Note]:
    """(Arrow array, note) of a pandas or NumPy array. `label` names the column in errors.

    With `strided`, many numbers that do not lie in one piece are not put into one here.
    """
    import numpy as np
    import pandas as pd

    if isinstance(values.dtype, np.dtype) or type(values).__name__ == "NumpyExtensionArray":  # which only wraps NumPy's own array
        plain = np.asarray(values)
        late = (
            strided is not None
            and plain.nbytes >= _MUCH_BYTES
            and plain.dtype.kind in "iuf"
            and plain.dtype.itemsize <= 8
            and plain.dtype.isnative
            and not plain.flags.c_contiguous
        )
        return _numpy_to_arrow(plain if late else np.ascontiguousarray(plain), label, strided if late else None)
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _categories_to_arrow(values, label)
    if isinstance(dtype, pd.DatetimeTZDtype):
        zone = dtype.tz
        array = _times_to_arrow(values.asi8 if hasattr(values, "asi8") else values.view("i8"), dtype.unit, _zone_name(zone))
        return array, {"kind": "zoned", "unit": dtype.unit, "zone": _zone_name(zone), "class": type(zone).__module__.partition(".")[0]}
    if isinstance(dtype, pd.SparseDtype):
        array, note = to_arrow(np.asarray(values), label)
        return array, {
            "kind": "sparse",
            "dtype": str(dtype.subtype),
            "fill": plainjson.encode(dtype.fill_value, lambda v: None),
            "dense": note,
        }
    return _extension_to_arrow(values, dtype, label)


def from_arrow(array: Any, note: Note, file: Mapping | None) -> Any:
    """The inverse of `to_arrow`. With `file`, the memory that `array` lies in, numbers are not copied."""
    kind = note["kind"]
    return _READERS[kind](array, note, file)


def _numpy_to_arrow(values: Any, label: str, strided: Strided | None = None) -> tuple[Any, Note]:
    import numpy as np
    import pyarrow as pa

    kind, name = values.dtype.kind, values.dtype.str
    if kind == "O":
        from fairway.step.serializers import pandas_objects

        return pandas_objects.to_arrow(values, label)
    if kind == "b":
        return pa.array(values), {"kind": "bool"}
    if kind in "mM":
        unit = np.datetime_data(values.dtype)[0]
        return _times_to_arrow(values.view("i8"), unit, None, duration=kind == "m"), {"kind": "numpy", "dtype": name}
    if kind in "iuf" and values.dtype.itemsize <= 8 and values.dtype.isnative:
        data = pa.py_buffer(values) if strided is None else strided.stand_in(values)
        mask = np.isnan(values) if kind == "f" else None
        return _primitive(pa.from_numpy_dtype(values.dtype), values, data, mask), {"kind": "numpy", "dtype": name}
    width = values.dtype.itemsize  # complex and other numbers that Arrow does not have
    data = pa.py_buffer(values.view("u1")) if len(values) else pa.py_buffer(b"")
    return pa.Array.from_buffers(pa.binary(width), len(values), [None, data]), {"kind": "numpy", "dtype": name}


def _times_to_arrow(ticks: Any, unit: str, zone: str | None, *, duration: bool = False) -> Any:
    import numpy as np
    import pyarrow as pa

    ticks = np.ascontiguousarray(ticks)
    kind = pa.duration(unit) if duration else pa.timestamp(unit, tz=zone)
    return _primitive(kind, ticks, pa.py_buffer(ticks), ticks == np.iinfo("i8").min)


def _primitive(kind: Any, values: Any, data: Any, missing: Any) -> Any:
    import numpy as np
    import pyarrow as pa

    mask = None
    if missing is not None and missing.any():
        mask = pa.py_buffer(np.packbits(~missing, bitorder="little"))
    return pa.Array.from_buffers(kind, len(values), [mask, data])


def _categories_to_arrow(values: Any, label: str) -> tuple[Any, Note]:
    import numpy as np
    import pyarrow as pa

    kept, note = to_arrow(values.categories.array, label)
    codes = np.ascontiguousarray(values.codes)
    whole = {"kind": "category", "ordered": bool(values.ordered), "codes": codes.dtype.str, "categories": note}
    if values.categories.name is not None:
        whole["name"] = plainjson.encode(values.categories.name, _no_name)
    if isinstance(kept, pa.DictionaryArray):  # categories of categories: Arrow has no such thing
        raise DefinitionError(
            f"the column {label} has categories that are categorical themselves", hint="convert them: df[c].cat.rename_categories(list)"
        )
    return pa.DictionaryArray.from_arrays(
        _primitive(pa.from_numpy_dtype(codes.dtype), codes, pa.py_buffer(codes), codes == -1), kept, ordered=bool(values.ordered)
    ), whole


def _no_name(value: Any) -> Any:
    raise plainjson.NotJson(value)


def _extension_to_arrow(values: Any, dtype: Any, label: str) -> tuple[Any, Note]:
    import pandas as pd
    import pyarrow as pa

    if isinstance(dtype, pd.StringDtype):
        note: Note = {"kind": "string", "storage": dtype.storage, "missing": "nan" if dtype.na_value is not pd.NA else "NA"}
        return _whole(pa.array(values, type=pa.large_string(), from_pandas=True)), note
    if isinstance(dtype, pd.ArrowDtype):
        return _whole(pa.array(values)), {"kind": "arrow"}
    if isinstance(dtype, pd.PeriodDtype):
        return _times_to_arrow(values.asi8, "s", None, duration=True).view(pa.int64()), {
            "kind": "period",
            "freq": dtype.name[len("period[") : -1],
        }
    if isinstance(dtype, pd.IntervalDtype):
        left, left_note = to_arrow(_array_of(values.left), label)
        right, right_note = to_arrow(_array_of(values.right), label)
        array = pa.StructArray.from_arrays([left, right], ["left", "right"])
        return array, {"kind": "interval", "closed": dtype.closed, "left": left_note, "right": right_note, "subtype": str(dtype.subtype)}
    try:
        array = _whole(pa.array(values))
        pd.api.types.pandas_dtype(str(dtype))
    except (TypeError, ValueError, pa.ArrowException) as error:
        raise DefinitionError(
            f"the column {label} has the dtype {dtype}, which cannot be stored as Arrow", hint=f"convert it first: df[{label!r}].astype(…)"
        ) from error
    return array, {"kind": "extension", "dtype": str(dtype)}


def _array_of(values: Any) -> Any:
    return values.array if hasattr(values, "array") else values


def _whole(array: Any) -> Any:
    return array.combine_chunks() if hasattr(array, "combine_chunks") else array


def _zone_name(zone: Any) -> str:
    import datetime

    name = getattr(zone, "key", None) or getattr(zone, "zone", None)
    if name:
        return name
    if zone is datetime.UTC:
        return "UTC"
    text = datetime.datetime(2000, 1, 1, tzinfo=zone).strftime("%z")
    return f"{text[:3]}:{text[3:5]}"


def _read_numpy(array: Any, note: Note, file: Mapping | None) -> Any:
    import numpy as np

    dtype = np.dtype(note["dtype"])
    if file is not None:
        return file.view(array, dtype)
    data = array.buffers()[1]
    return (
        np.frombuffer(data, dtype, len(array), array.offset * dtype.itemsize).copy()
        if data is not None and len(array)
        else np.empty(0, dtype)
    )


def _read_zoned(array: Any, note: Note, file: Mapping | None) -> Any:
    import pandas as pd

    ticks = _read_numpy(array, {"dtype": f"M8[{note['unit']}]"}, file)
    zone: Any = note["zone"]
    if note["class"] == "pytz":
        import pytz

        zone = pytz.timezone(zone) if not zone.startswith(("+", "-")) else zone
    elif note["class"] == "zoneinfo":
        from zoneinfo import ZoneInfo

        zone = ZoneInfo(zone)
    return pd.DatetimeIndex(ticks, copy=False).tz_localize("UTC").tz_convert(zone).array


def _read_sparse(array: Any, note: Note, file: Mapping | None) -> Any:
    import numpy as np
    import pandas as pd

    fill = plainjson.parse(plainjson.dump_plain(note["fill"]))
    dtype = np.dtype(note["dtype"])
    return pd.arrays.SparseArray(from_arrow(array, note["dense"], file), fill_value=fill, dtype=pd.SparseDtype(dtype, fill))


def _read_category(array: Any, note: Note, file: Mapping | None) -> Any:
    import numpy as np
    import pandas as pd

    codes = _read_numpy(array.indices, {"dtype": note["codes"]}, file) if len(array) else np.empty(0, note["codes"])
    name = plainjson.parse(plainjson.dump_plain(note["name"])) if "name" in note else None
    categories = as_index(from_arrow(array.dictionary, note["categories"], None), name)
    return pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(categories, note["ordered"]), validate=False)


def as_index(values: Any, name: Any) -> Any:
    """An Index of exactly these values: no guessing of a better dtype."""
    import pandas as pd

    return pd.Index(values, dtype=values.dtype, name=name, copy=False)


def _read_string(array: Any, note: Note, file: Mapping | None) -> Any:
    import numpy as np
    import pandas as pd

    # pandas before 2.3 knows no other missing value than NA, and no argument for it
    dtype = pd.StringDtype(note["storage"]) if note["missing"] == "NA" else pd.StringDtype(note["storage"], na_value=np.nan)
    return dtype.__from_arrow__(array)


def _read_arrow(array: Any, note: Note, file: Mapping | None) -> Any:
    import pandas as pd

    return pd.arrays.ArrowExtensionArray(array)


def _read_period(array: Any, note: Note, file: Mapping | None) -> Any:
    import pandas as pd

    return pd.arrays.PeriodArray(_read_numpy(array, {"dtype": "<i8"}, file), dtype=pd.PeriodDtype(note["freq"]))


def _read_interval(array: Any, note: Note, file: Mapping | None) -> Any:
    import pandas as pd

    left, right = (from_arrow(array.field(side), note[side], file) for side in ("left", "right"))
    return pd.arrays.IntervalArray.from_arrays(left, right, closed=note["closed"])


def _read_extension(array: Any, note: Note, file: Mapping | None) -> Any:
    import pandas as pd

    dtype: Any = pd.api.types.pandas_dtype(note["dtype"])
    return dtype.__from_arrow__(array)


def _read_bool(array: Any, note: Note, file: Mapping | None) -> Any:
    return array.to_numpy(zero_copy_only=False)


def _read_objects(array: Any, note: Note, file: Mapping | None) -> Any:
    from fairway.step.serializers import pandas_objects

    return pandas_objects.from_arrow(array, note)


_READERS = {
    "numpy": _read_numpy,
    "bool": _read_bool,
    "zoned": _read_zoned,
    "sparse": _read_sparse,
    "category": _read_category,
    "string": _read_string,
    "arrow": _read_arrow,
    "period": _read_period,
    "interval": _read_interval,
    "extension": _read_extension,
    "objects": _read_objects,
}
