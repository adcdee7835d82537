"""Which package a path is: told from the names and the first bytes of files, without importing any library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairway.errors import DefinitionError, NotFoundError
from fairway.serve.package import recognising
from fairway.serve.package.package import CARD, EXAMPLE, KINDS, SCHEMA, Package

if TYPE_CHECKING:
    from collections.abc import Mapping

_FORMATS = {  # of a card that a step wrote
    "skops": "sklearn",
    "pickle": "sklearn",
    "xgboost": "xgboost",
    "lightgbm": "lightgbm",
    "torch-module": "torch",
    "safetensors": "torch",
    "onnx": "onnx",
}


def open_package(path: str, *, schema: str | None = None, options: Mapping[str, Any] | None = None) -> Package:
    """The package at `path`: a folder, a model's file, a script, or "file.py:Class". `schema` names a file to be used instead of the
    package's own. Raises NotFoundError, DefinitionError."""
    place, _, cls = path.rpartition(":") if ".py:" in path else (path, "", "")
    target = Path(place).absolute()
    if not target.exists():
        raise NotFoundError(
            f"there is nothing at {place}", hint="name a folder, a script, or a model's file; `fairway artifacts ls` lists runs' own"
        )
    if target.is_dir():
        made = _open_folder(target)
    else:
        kind, entry = recognising.of_file(target, cls)
        made = Package(str(target.parent), kind, _name_of(target), entry)
        made = _with_files(made, target)
    made.options = {**made.options, **{name: value for name, value in (options or {}).items() if value is not None}}
    if schema:
        made.schema = _read_json(Path(schema))
    _check_options(made)
    return made


def _open_folder(folder: Path) -> Package:
    card_file = folder / CARD
    card: dict[str, Any] = _read_json(card_file) if card_file.is_file() else {}
    if card.get("kind"):
        kind, entry = str(card["kind"]), str(card.get("entry") or card.get("file") or "")
    elif card.get("format", "files") in _FORMATS:
        kind, entry = _FORMATS[card["format"]], str(card["file"])
    else:
        kind, entry = recognising.of_folder(folder)
    if kind not in KINDS:
        raise DefinitionError(
            f"{card_file} says kind {kind!r}, which is none of: {', '.join(KINDS)}", hint="was it written by a newer Fairway?"
        )
    name = str(card.get("name") or folder.name)
    options: dict[str, Any] = dict(card.get("options") or {})
    made = Package(str(folder), kind, name, entry, card, options=options, lock=str(card.get("lock") or ""))
    return _with_files(made, folder)


def _with_files(package: Package, target: Path) -> Package:
    """With the schema and the example that lie beside the model."""
    folder = Path(package.folder)
    if target.is_file() and package.kind not in ("script", "class", "r"):
        stem = target.with_suffix("")
        schema, example = Path(f"{stem}.schema.json"), Path(f"{stem}.example.json")
        if not schema.is_file():
            schema, example = folder / SCHEMA, folder / EXAMPLE
    else:
        schema, example = folder / str(package.card.get("schema") or SCHEMA), folder / str(package.card.get("example") or EXAMPLE)
    if schema.is_file():
        package.schema = _read_json(schema)
    if example.is_file():
        package.example = _read_json(example)
    elif package.kind == "mlflow":
        package.example = recognising.example_of_mlflow(package.path)
    return package


def _check_options(package: Package) -> None:
    unknown = set(package.options) & {"methods", "trusted", "batches"}
    if unknown:
        raise DefinitionError(f"unknown option {unknown.pop()!r}", hint="options of a model: method, batch, trust, device, class, model")


def _name_of(path: Path) -> str:
    return path.stem


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFoundError(f"there is no file {path}", hint="give the path of a schema.json") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        line = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise DefinitionError(f"not JSON: {error}", hint="check it with `python -m json.tool FILE`", where=f"{path}{line}") from None
