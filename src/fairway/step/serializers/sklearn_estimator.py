"""scikit-learn estimators as skops files: a zip of arrays and a description, read without running code that came with it.

skops names its parts by memory addresses; they are renamed in order of appearance and padding is cleared, so that the same estimator gives
the same bytes in every process.
"""

from __future__ import annotations

import io
import json
import warnings
from typing import TYPE_CHECKING, Any

from fairway.errors import DefinitionError
from fairway.step.serializers.versions import of_class, of_modules

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_SAFE = ("sklearn.", "xgboost.sklearn.", "xgboost.core.Booster", "lightgbm.sklearn.", "lightgbm.basic.Booster", "collections.")
_UNSAFE = ("sklearn.externals.", "sklearn.datasets.", "sklearn.utils._testing")
"""Names that skops does not vouch for by itself but that only hold state: the libraries' own classes and public functions."""


class SklearnSkops:
    """Any scikit-learn estimator, pipelines and searches included <-> skops. Classes and functions of the user's own need `trust`."""

    format, suffix, types = "skops", ".skops", ("sklearn.base.BaseEstimator",)

    def write(self, value: Any, path: Path) -> Mapping[str, Any]:
        data = _dump(value)
        strange = _strange(_list_untrusted(data))
        if strange:
            raise DefinitionError(
                f"the {type(value).__name__} holds {', '.join(strange)}: to read it back, code outside its library must run",
                hint="if you trust it, @fw.step(trust=True) on this step and on those that read it; or use the library's own transformers",
            )
        return _write(value, data, path)

    def read(self, path: Path, wanted: str, meta: Mapping[str, Any]) -> Any:
        return _read(path, trust=False)

    def write_trusted(self, value: Any, path: Path) -> Mapping[str, Any]:
        """As `write`, with classes and functions of the user's own; what skops cannot write at all is pickled."""
        try:
            return _write(value, _dump(value), path)
        except DefinitionError:
            from fairway.step.serializers.pickled import Pickled

            return {**Pickled().write_trusted(value, path), "format": "pickle"}

    def read_trusted(self, path: Path, wanted: str, meta: Mapping[str, Any]) -> Any:
        return _read(path, trust=True)


def _dump(value: Any) -> bytes:
    import skops.io
    from skops.io.exceptions import UnsupportedTypeException

    try:
        return skops.io.dumps(value)
    except (UnsupportedTypeException, TypeError, AttributeError, NotImplementedError) as error:
        raise DefinitionError(
            f"the {type(value).__name__} holds something that has no safe stored form: {error}",
            hint="use named functions and the library's own classes; or, if you trust it, @fw.step(trust=True) pickles it",
        ) from error


def _list_untrusted(data: bytes) -> list[str]:
    import skops.io

    return skops.io.get_untrusted_types(data=data)


def _strange(untrusted: list[str]) -> list[str]:
    return [name for name in untrusted if not name.startswith(_SAFE) or name.startswith(_UNSAFE)]


def _read(path: Path, *, trust: bool) -> Any:
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    data = path.read_bytes()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Trying to unpickle estimator")  # we say so ourselves, once
        try:
            return skops.io.loads(data, trusted=_list_untrusted(data) if trust else _list_safe(data))
        except UntrustedTypesFoundException:
            strange = _strange(untrusted := _list_untrusted(data))
            if not strange:  # it names something safe in a way of its own
                return skops.io.loads(data, trusted=untrusted)
    raise DefinitionError(
        f"the stored estimator holds {', '.join(strange)}, which is code outside its library",
        hint="if you trust who wrote it: @fw.step(trust=True) on this step, or .load(trust=True)",
    )


def _list_safe(data: bytes) -> list[str]:
    """What the file names that is safe. skops looks at all of it again; asking it what it does not vouch for would be a third time."""
    from zipfile import ZipFile

    with ZipFile(io.BytesIO(data)) as source:
        pending: list[Any] = [json.loads(source.read("schema.json"))]
    names: set[str] = set()
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            pending.extend(node)
        elif isinstance(node, dict):
            names.add(f"{node.get('__module__')}.{node.get('__class__')}")
            names.add(f"{node.get('module_path')}.{node.get('function')}")
            pending.extend(value for value in node.values() if isinstance(value, dict | list))
    return [name for name in names if not _strange([name])]


def _write(value: Any, data: bytes, path: Path) -> dict[str, Any]:
    from zipfile import ZipFile, ZipInfo

    from fairway.step.serializers.hashed import HashedFile

    with ZipFile(io.BytesIO(data)) as source, HashedFile(path) as file:
        schema = json.loads(source.read("schema.json"))
        names, modules = _rename(schema)
        with ZipFile(file, "w") as target:  # type: ignore[call-overload]
            for old, new in names.items():
                target.writestr(ZipInfo(new), _cleared(source.read(old)) if new.endswith(".npy") else source.read(old))
            target.writestr(ZipInfo("schema.json"), json.dumps(schema, separators=(",", ":")))
    libraries = of_modules(modules - {"numpy", "scipy"}) | of_class(type(value))
    return {"digest": file.digest, "class": f"{type(value).__module__}.{type(value).__qualname__}", "versions": libraries}


def _rename(schema: Any) -> tuple[dict[str, str], set[str]]:
    """Number the nodes of a skops schema in order of appearance, in place; returns {old: new} names of files, and the libraries named."""
    modules: set[str] = set()
    numbers: dict[Any, int] = {}
    files: dict[str, str] = {}
    fresh = 0
    pending = [schema]
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            pending.extend(reversed(node))
        elif isinstance(node, dict):
            if isinstance(node.get("__module__"), str):
                modules.add(node["__module__"].partition(".")[0])
            if "__id__" in node:
                fresh += 1
                # Whether two equal numbers were one object is an accident of the process.
                node["__id__"] = fresh if node.get("is_json") else numbers.setdefault(node["__id__"], fresh)
            if isinstance(node.get("file"), str):
                old = node["file"]
                node["file"] = files.setdefault(old, f"{len(files)}.{old.rpartition('.')[2]}")
            pending.extend(v for _, v in sorted(node.items(), reverse=True) if isinstance(v, dict | list))
    return files, modules


def _cleared(data: bytes) -> bytes:
    """A .npy file whose records have zeros where their padding held whatever lay in memory."""
    import numpy as np

    array = np.load(io.BytesIO(data), allow_pickle=False)
    if array.dtype.names is None:
        return data
    clean = np.zeros(array.shape, array.dtype)
    for name in array.dtype.names:
        clean[name] = array[name]
    out = io.BytesIO()
    np.lib.format.write_array(out, clean, allow_pickle=False)
    return out.getvalue()
