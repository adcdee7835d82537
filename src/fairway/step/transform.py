"""Features that serving computes as training did: parts that are fitted with the training data and travel inside the model.

    @fw.transform
    def ratios(rows, fitted):
        middle = fitted("middle", lambda: rows["LIMIT_BAL"].median())     # computed in training, remembered in serving
        return rows.assign(used=rows["BILL_AMT1"] / rows["LIMIT_BAL"].fillna(middle))

    features = fw.transform(ratios, ColumnTransformer([...]))
    X = features.fit_transform(train, y)
    return fw.Model(classifier.fit(X, y), transform=features, example=train.head())

In the model's folder, `transform/` holds `transform.json`, the source of the functions and what of their module they reach, the fitted
estimators (skops), and a few rows with the features that training made of them: a server computes these again before it takes a request.
"""

from __future__ import annotations

import inspect
import json
import os
import shutil
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fairway.errors import DefinitionError, NotFoundError, UnsupportedError
from fairway.step import plainjson

if TYPE_CHECKING:
    from types import ModuleType

FOLDER = "transform"
_CARD, _REPLAY, _CODE = "transform.json", "replay.json", "code"
_REPLAYED_ROWS = 3
_TOLERANCE = 1e-6


class Fitted:
    """What a function learned in training: `fitted(name, compute)` computes in `fit` and remembers afterwards. Values are plain: numbers,
    texts, booleans, lists and dicts of them, dates."""

    __slots__ = ("is_open", "values")

    def __init__(self, values: dict[str, Any] | None = None) -> None:
        self.values: dict[str, Any] = dict(values or {})
        self.is_open = False

    def __call__(self, name: str, compute: Callable[[], Any]) -> Any:
        """The value of `name`: from `compute` while features are fitted, what that gave ever after. Raises DefinitionError if it was never
        fitted, or if the value is not plain."""
        if name in self.values:
            return self.values[name]
        if not self.is_open:
            raise DefinitionError(
                f"the features ask for {name!r}, which was not fitted",
                hint="fit the features again, with rows that take the same way through the function",
            )
        value = _plain(compute())
        if not plainjson.is_plain(value):
            raise DefinitionError(
                f"fitted({name!r}, …) is a {type(value).__name__}, which has no plain form",
                hint="keep numbers, texts, lists and dicts: series.to_dict(), array.tolist(); or use an estimator as a part of its own",
            )
        self.values[name] = value
        return value


def _plain(value: Any) -> Any:
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        return value.item()
    if isinstance(value, dict):
        return {key.item() if hasattr(key, "item") else key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value


class Transform:
    """Parts one after another: plain functions of a table (with a second parameter, they also get `fitted`) and estimators with `fit` and
    `transform`, of scikit-learn or like it."""

    def __init__(self, *parts: Any) -> None:
        self.parts: list[_Function | _Estimator] = []
        for part in parts:
            self.parts += _parts_of(part)
        self.takes, self.columns = "", dict[str, Any]()
        self.is_fitted = False
        self._replay: dict[str, Any] = {}

    def fit(self, table: Any, y: Any = None) -> Transform:
        """Learn from training data; returns itself."""
        self.fit_transform(table, y)
        return self

    def fit_transform(self, table: Any, y: Any = None) -> Any:
        """Learn from training data, and give its features."""
        from fairway.step.serializers import signatures

        made = table
        for part in self.parts:
            made = part.fit(made, y)
        self.takes, self.columns, self.is_fitted = _kind(table), signatures.columns_of(table), True
        self._replay = _record(self, table)
        return made

    def transform(self, table: Any) -> Any:
        """The features of a table, as fitted. Raises DefinitionError if nothing was fitted yet."""
        if not self.is_fitted:
            raise DefinitionError("these features are not fitted", hint="features.fit(train) first")
        for part in self.parts:
            table = part.apply(table)
        return table

    def __call__(self, table: Any, *more: Any) -> Any:
        """`transform(table)`. Inside another part it is the plain function that it was made of."""
        if not self.is_fitted and len(self.parts) == 1 and isinstance(self.parts[0], _Function) and (more or not self.parts[0].learns):
            return self.parts[0].function(table, *more)
        return self.transform(table)

    def replay(self) -> list[str]:
        """What is different now from the features that training made of its first rows: empty when all are the same. Numbers may differ
        by one part in a million."""
        if not self._replay:
            return []
        made = _cells(self.transform(_table_of(self._replay["rows"], self.takes, self.columns)))
        return _differences(self._replay["features"], made)

    def save(self, folder: str, *, trust: bool = False) -> None:
        """Write it as a new folder. Raises DefinitionError for what has no safe stored form."""
        if not self.is_fitted:
            raise DefinitionError("a model takes features along that are fitted; these are not", hint="features.fit(train) first")
        os.makedirs(folder)
        try:
            self._save(folder, trust)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _save(self, folder: str, trust: bool) -> None:
        by_module: dict[str, list[_Function]] = {}
        for part in self.parts:
            if isinstance(part, _Function):
                by_module.setdefault(part.module, []).append(part)
        where = {module: f"part{n}_{_stem(module)}" for n, module in enumerate(by_module)}
        libraries = {one for module, functions in by_module.items() for one in _write_code(folder, where[module], functions)}
        parts = [part.save(folder, n, trust, where) for n, part in enumerate(self.parts)]
        card = {"fairway": 1, "takes": self.takes, "columns": self.columns, "parts": parts, "libraries": sorted(libraries)}
        _write(folder, _CARD, json.dumps(card, indent=1, ensure_ascii=False))
        if self._replay:
            _write(folder, _REPLAY, plainjson.render(self._replay).decode())

    @classmethod
    def load(cls, folder: str, *, trust: bool = False) -> Transform:
        """The features stored in `folder`. Its functions are code of who wrote the model: they run as a script's do."""
        try:
            with open(os.path.join(folder, _CARD), encoding="utf-8") as file:
                card = json.load(file)
        except FileNotFoundError:
            raise NotFoundError(f"there is no {_CARD} in {folder}", hint="a model's folder has it in transform/") from None
        made = cls()
        made.takes, made.columns, made.is_fitted = card["takes"], card["columns"], True
        for about in card["parts"]:
            made.parts.append(_Function.load(folder, about) if about["kind"] == "function" else _Estimator.load(folder, about, trust))
        try:
            with open(os.path.join(folder, _REPLAY), "rb") as file:
                made._replay = plainjson.parse(file.read())
        except FileNotFoundError:
            made._replay = {}
        return made

    def __repr__(self) -> str:
        return f"fw.transform({', '.join(part.name for part in self.parts)})"


def transform(*parts: Any) -> Transform:
    """Features of these parts: `fw.transform(clean, ColumnTransformer(…))`, or `@fw.transform` over one function. See `Transform`."""
    if not parts:
        raise DefinitionError("fw.transform() has no parts", hint="give it functions of a table, or estimators with fit and transform")
    return Transform(*parts)


def _parts_of(part: Any) -> list[_Function | _Estimator]:
    if isinstance(part, Transform):
        return [_Function(one.function) if isinstance(one, _Function) else one for one in part.parts]
    if inspect.isfunction(part):
        return [_Function(part)]
    if not isinstance(part, type) and callable(getattr(part, "transform", None)) and callable(getattr(part, "fit", None)):
        return [_Estimator(part)]
    raise DefinitionError(
        f"a {type(part).__name__} is no part of features", hint="a function of a table, or an object with fit and transform, not its class"
    )


class _Function:
    """A plain function of a table."""

    def __init__(self, function: Callable[..., Any], fitted: dict[str, Any] | None = None) -> None:
        self.function, self.name, self.module = function, function.__name__, function.__module__
        if self.name == "<lambda>":
            raise DefinitionError("a lambda cannot travel with a model", hint="write it as a function at the top level of a module: def …")
        wanted = [one for one in inspect.signature(function).parameters.values() if one.default is one.empty]
        if not 1 <= len(wanted) <= 2:
            raise DefinitionError(f"{self.name}() takes {len(wanted)} arguments", hint="def features(rows) or def features(rows, fitted)")
        self.learns = len(wanted) == 2
        self.fitted = Fitted(fitted)

    def fit(self, table: Any, y: Any) -> Any:
        self.fitted = Fitted()
        self.fitted.is_open = True
        try:
            return self._call(table)
        finally:
            self.fitted.is_open = False

    def apply(self, table: Any) -> Any:
        return self._call(table)

    def _call(self, table: Any) -> Any:
        made = self.function(table, self.fitted) if self.learns else self.function(table)
        if made is None:
            raise DefinitionError(f"{self.name}() returned nothing", hint="return the table")
        return made

    def save(self, folder: str, number: int, trust: bool, where: dict[str, str]) -> dict[str, Any]:
        fitted = json.loads(plainjson.render(self.fitted.values))
        return {"kind": "function", "module": where[self.module], "name": self.name, "fitted": fitted}

    @classmethod
    def load(cls, folder: str, about: dict[str, Any]) -> _Function:
        module = _import_code(os.path.join(folder, _CODE), about["module"])
        found = getattr(module, about["name"])
        if isinstance(found, Transform):
            found = next(part.function for part in found.parts if isinstance(part, _Function))
        return cls(found, plainjson.parse(json.dumps(about["fitted"]).encode()))


class _Estimator:
    """A transformer of scikit-learn, or a pipeline of them."""

    def __init__(self, estimator: Any) -> None:
        self.estimator, self.name = estimator, type(estimator).__name__

    def fit(self, table: Any, y: Any) -> Any:
        fit_transform = getattr(self.estimator, "fit_transform", None)
        if fit_transform is not None:
            return fit_transform(table) if y is None else fit_transform(table, y)
        self.estimator.fit(table) if y is None else self.estimator.fit(table, y)
        return self.estimator.transform(table)

    def apply(self, table: Any) -> Any:
        return self.estimator.transform(table)

    def save(self, folder: str, number: int, trust: bool, where: dict[str, str]) -> dict[str, Any]:
        from fairway.step.serializers import models

        about = models.write_estimator(self.estimator, folder, trust, f"part{number}")
        return {"kind": "estimator", **about}

    @classmethod
    def load(cls, folder: str, about: dict[str, Any], trust: bool) -> _Estimator:
        from fairway.step.serializers import models

        return cls(models.read_estimator(os.path.join(folder, about["file"]), about, trust))


def _stem(module: str) -> str:
    return module.rpartition(".")[2].strip("_") or "main"


def _write_code(folder: str, name: str, functions: list[_Function]) -> tuple[str, ...]:
    from fairway.step.usercode import cut_out

    text, modules, libraries = cut_out(sys.modules[functions[0].module], [one.name for one in functions])
    for path, source in ((f"{name}.py", text), *modules.items()):
        os.makedirs(os.path.dirname(os.path.join(folder, _CODE, path)), exist_ok=True)
        _write(os.path.join(folder, _CODE), path, source)
    return libraries


def _import_code(folder: str, name: str) -> ModuleType:
    """A module of the model's code, by a name that no other module has; the user's modules beside it are found by their own names."""
    import hashlib
    import importlib.util

    path = os.path.join(folder, f"{name}.py")
    unique = f"fairway_{name}_{hashlib.sha256(os.path.realpath(path).encode()).hexdigest()[:8]}"
    if unique in sys.modules:
        return sys.modules[unique]
    spec = importlib.util.spec_from_file_location(unique, path)
    if spec is None or spec.loader is None or not os.path.isfile(path):
        raise NotFoundError(f"there is no {path}", hint="the model's folder is not whole: fetch it again")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, folder)
    sys.modules[unique] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[unique]
        raise
    return module


def _write(folder: str, name: str, text: str) -> None:
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        file.write(text)


# --- tables in several libraries' forms


def _kind(table: Any) -> str:
    """ "pandas", "polars", "arrow", "numpy", or "rows" (a list of dicts)."""
    top = type(table).__module__.partition(".")[0]
    kind = {"pandas": "pandas", "polars": "polars", "pyarrow": "arrow", "numpy": "numpy"}.get(top)
    if kind is None and isinstance(table, list) and table and isinstance(table[0], dict):
        return "rows"
    if kind is None:
        raise UnsupportedError(
            f"features cannot be fitted on a {type(table).__name__}",
            hint="a frame of pandas or polars, an Arrow table, an array, a list of dicts",
        )
    return kind


def _head(table: Any, rows: int) -> Any:
    return table.head(rows) if hasattr(table, "head") else table.slice(0, rows) if hasattr(table, "slice") else table[:rows]


def _record(features: Transform, table: Any) -> dict[str, Any]:
    """The first rows and their features, for `replay`; nothing where they cannot be told as JSON, or depend on the other rows."""
    from fairway.step.serializers import signatures

    head = _head(table, _REPLAYED_ROWS)
    rows = signatures.example_rows(head)
    return {"rows": rows, "features": _cells(features.transform(head))} if rows else {}


def _table_of(rows: list[Any], takes: str, columns: dict[str, Any]) -> Any:
    """Rows (dicts, or lists for arrays) as the table that the features were fitted on."""
    if takes == "pandas":
        import pandas as pd

        names: Any = list(columns)  # pandas 2 says that it takes no list
        made = pd.DataFrame(rows, columns=names or None)
        for name, about in columns.items():
            kind = about.get("type", "any")
            if kind == "category":
                made[name] = pd.Categorical(made[name], categories=about.get("categories"))
            elif kind not in ("any", "object", "string", "str") and name in made:
                made[name] = made[name].astype(kind)
        return made
    if takes == "polars":
        import polars as pl

        return pl.DataFrame(rows, infer_schema_length=None)
    if takes == "arrow":
        import pyarrow as pa

        return pa.Table.from_pylist(rows)
    if takes == "numpy":
        import numpy as np

        return np.array(rows)
    return rows


def _cells(features: Any) -> list[list[Any]]:
    """Features as rows of plain values."""
    found: Any = features.toarray() if hasattr(features, "toarray") else features
    if hasattr(found, "to_pylist"):
        found = found.to_pylist()
    elif hasattr(found, "rows") and callable(found.rows):  # polars
        found = found.rows()
    else:
        found = found.to_numpy() if hasattr(found, "to_numpy") else found
        found = found.tolist() if hasattr(found, "tolist") else found
    return [[_cell(value) for value in _row_of(row)] for row in found]


def _row_of(row: Any) -> list[Any]:
    if isinstance(row, dict):
        return list(row.values())
    return list(row) if isinstance(row, list | tuple) else [row]


def _cell(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value
    if value is None or value != value:
        return None
    return value if isinstance(value, bool | int | float | str) else str(value)


def _differences(old: list[list[Any]], new: list[list[Any]]) -> list[str]:
    if len(old) != len(new) or any(len(a) != len(b) for a, b in zip(old, new, strict=True)):
        return [
            f"training made {len(old)} rows of {len(old[0]) if old else 0} features, this makes {len(new)} of {len(new[0]) if new else 0}"
        ]
    found: list[str] = []
    for row, (before, after) in enumerate(zip(old, new, strict=True)):
        for place, (a, b) in enumerate(zip(before, after, strict=True)):
            both = isinstance(a, int | float) and isinstance(b, int | float)
            if a != b and not (both and abs(a - b) <= _TOLERANCE * max(1.0, abs(a), abs(b))):
                found.append(f"row {row}, feature {place}: {a!r} in training, {b!r} here")
    return found
