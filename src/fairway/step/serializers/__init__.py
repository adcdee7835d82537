"""Which serializer writes a value, and which reads a format. Built-ins stand in a table; others are found by entry point.

The table says what `pyproject.toml` says in its group "fairway.serializers", so that a run which needs only built-ins never scans the
metadata of installed distributions (a test holds the two equal). Each family is a module, imported when first needed.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fairway.spec.ports import Serializer

GROUP = "fairway.serializers"
_HERE = "fairway.step.serializers."

BUILT_IN: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    # name of the entry point: (module:object, formats, type names)
    "text": ("text:Text", ("text",), ("str",)),
    "bytes": ("text:Bytes", ("bytes",), ("bytes", "bytearray")),
    "html": ("text:Html", ("html",), ("fairway.HTML",)),
    "markdown": ("text:MarkdownText", ("markdown",), ("fairway.Markdown",)),
    "metrics": ("text:MetricsJson", ("metrics",), ("fairway.Metrics",)),
    "table": ("text:TableJson", ("table",), ("fairway.Table",)),
    "pandas": ("pandas_frame:PandasArrow", ("arrow",), ("pandas.DataFrame", "pandas.Series")),
    "polars": ("polars_frame:PolarsArrow", ("arrow-polars",), ("polars.DataFrame", "polars.Series", "polars.LazyFrame")),
    "pyarrow": ("arrow_table:ArrowTable", ("arrow-table",), ("pyarrow.Table", "pyarrow.RecordBatch")),
    "data-report": (
        "data_report:DataReport",
        ("data-report",),
        ("fairway.data.Validation", "fairway.data.DriftReport", "fairway.data.TableStatistics"),
    ),
    "data-table": ("data_table:DataTable", ("parquet-table",), ("fairway.data.Table",)),
    "numpy": ("numpy_array:NumpyArray", ("npy",), ("numpy.ndarray", "numpy.generic")),
    "scipy": ("numpy_array:SparseMatrix", ("npz",), ("scipy.sparse.spmatrix", "scipy.sparse.sparray")),
    "sklearn": ("sklearn_estimator:SklearnSkops", ("skops",), ("sklearn.base.BaseEstimator",)),
    "xgboost": ("xgboost_model:XgboostUbj", ("xgboost",), ("xgboost.XGBModel", "xgboost.Booster")),
    "lightgbm": ("lightgbm_model:LightgbmText", ("lightgbm",), ("lightgbm.LGBMModel", "lightgbm.Booster")),
    "torch-tensor": ("torch_module:TorchTensors", ("safetensors",), ("torch.Tensor",)),
    "torch-module": ("torch_module:TorchModule", ("torch-module",), ("torch.nn.Module",)),
    "onnx": ("onnx_model:OnnxModel", ("onnx",), ("onnx.ModelProto",)),
    "figure": (
        "figures:FigureFile",
        ("figure",),
        (
            "fairway.Figure",
            "matplotlib.figure.Figure",
            "plotly.graph_objects.Figure",
            "plotly.basedatatypes.BaseFigure",
            "altair.TopLevelMixin",
        ),
    ),
    "model": ("models:ModelFolder", ("model",), ("fairway.Model",)),
    "pickle": ("pickled:Pickled", ("pickle",), ()),
}
"""What is written under each name of the group in pyproject.toml, relative to this package."""

_BY_TYPE = {kind: name for name, (_, _, kinds) in BUILT_IN.items() for kind in kinds}
_BY_FORMAT = {form: name for name, (_, forms, _) in BUILT_IN.items() for form in forms}
_ELSEWHERE = {  # classes whose defining module is not the name that people know them by
    "pandas.core.frame.DataFrame": "pandas.DataFrame",
    "pandas.core.series.Series": "pandas.Series",
    "pandas.Series": "pandas.Series",
    "polars.dataframe.frame.DataFrame": "polars.DataFrame",
    "polars.series.series.Series": "polars.Series",
    "polars.lazyframe.frame.LazyFrame": "polars.LazyFrame",
    "pyarrow.lib.Table": "pyarrow.Table",
    "pyarrow.lib.RecordBatch": "pyarrow.RecordBatch",
    "scipy.sparse._matrix.spmatrix": "scipy.sparse.spmatrix",
    "scipy.sparse._base.sparray": "scipy.sparse.sparray",
    "xgboost.sklearn.XGBModel": "xgboost.XGBModel",
    "xgboost.core.Booster": "xgboost.Booster",
    "lightgbm.sklearn.LGBMModel": "lightgbm.LGBMModel",
    "lightgbm.basic.Booster": "lightgbm.Booster",
    "torch._tensor.Tensor": "torch.Tensor",
    "torch.nn.modules.module.Module": "torch.nn.Module",
    "torch.nn.parameter.Parameter": "torch.nn.Parameter",
    "onnx.onnx_ml_pb2.ModelProto": "onnx.ModelProto",
    "onnx.onnx_pb.ModelProto": "onnx.ModelProto",
    "plotly.graph_objs._figure.Figure": "plotly.graph_objects.Figure",
    "altair.vegalite.v5.api.TopLevelMixin": "altair.TopLevelMixin",
    "altair.vegalite.v6.api.TopLevelMixin": "altair.TopLevelMixin",
}
_FAMILIES = frozenset(
    (
        "builtins",
        "fairway",
        "pandas",
        "polars",
        "pyarrow",
        "numpy",
        "scipy",
        "sklearn",
        "xgboost",
        "lightgbm",
        "torch",
        "onnx",
        "matplotlib",
        "plotly",
        "altair",
    )
)
_instances: dict[str, Any] = {}
_outsiders: list[Any] | None = None


def type_name(cls: type) -> str:
    """The public name of a class: "int", "pandas.DataFrame", "fairway.File", "sklearn.tree.DecisionTreeClassifier"."""
    own = getattr(cls, "fairway_type", "")
    if own:
        return own
    module, name = cls.__module__, cls.__qualname__
    if module == "builtins":
        return name
    known = _ELSEWHERE.get(f"{module}.{name}")
    if known:
        return known
    at = module.find(".")
    while at > 0:  # the shortest package above that offers the class under its own name
        if getattr(sys.modules.get(module[:at]), "__dict__", {}).get(name) is cls:
            return f"{module[:at]}.{name}"
        at = module.find(".", at + 1)
    return f"{module}.{name}"


def find_for_class(cls: type) -> Serializer | None:
    """The writer for instances of `cls`: the first match over its MRO, None if there is none."""
    for kind in cls.__mro__[:-1]:
        name = _BY_TYPE.get(type_name(kind)) or _BY_TYPE.get(f"{kind.__module__}.{kind.__qualname__}")
        if name is not None:
            return _built_in(name)
        if kind.__module__.partition(".")[0] not in _FAMILIES:
            for other in outsiders():
                if type_name(kind) in other.types or f"{kind.__module__}.{kind.__qualname__}" in other.types:
                    return other
    return None


def find_for_format(form: str) -> Serializer | None:
    """The reader of a stored format, None if this interpreter has none."""
    name = _BY_FORMAT.get(form)
    if name is not None:
        return _built_in(name)
    return next((s for s in outsiders() if s.format == form), None)


def find_for_name(name: str) -> Serializer | None:
    """The writer for a type given by its public name; its module is imported if need be."""
    built_in = _BY_TYPE.get(name)
    if built_in is not None:
        return _built_in(built_in)
    for other in outsiders() if name.partition(".")[0] not in _FAMILIES else ():
        if name in other.types:
            return other
    cls = find_class(name)
    return find_for_class(cls) if cls is not None else None


def find_class(name: str) -> type | None:
    """The class of a public type name, from the modules that are imported already; None if it is not among them."""
    import builtins

    parts = name.split(".")
    if len(parts) == 1:
        found: Any = getattr(builtins, name, None)
        return found if isinstance(found, type) else None
    for cut in range(len(parts) - 1, 0, -1):
        found = sys.modules.get(".".join(parts[:cut]))
        for part in parts[cut:] if found is not None else ():
            found = getattr(found, part, None)
        if isinstance(found, type):
            return found
    return None


def outsiders() -> list[Any]:
    """Serializers of other distributions, from their entry points; one that cannot be loaded is left out with a warning."""
    global _outsiders
    if _outsiders is None:
        from importlib.metadata import entry_points

        _outsiders = []
        for point in entry_points(group=GROUP):
            if point.value.startswith(_HERE):
                continue
            try:
                made = point.load()
                _outsiders.append(made() if isinstance(made, type) else made)
            except Exception as error:  # noqa: BLE001 - somebody else's plugin must not break every run
                import warnings

                warnings.warn(f"the serializer {point.name!r} ({point.value}) cannot be loaded: {error}", stacklevel=2)
    return _outsiders


def forget_outsiders() -> None:
    """Look for other distributions' serializers again (after one was installed)."""
    global _outsiders
    _outsiders = None


def _built_in(name: str) -> Any:
    made = _instances.get(name)
    if made is None:
        module, _, attribute = BUILT_IN[name][0].partition(":")
        made = _instances[name] = getattr(import_module(_HERE + module), attribute)()
    return made
