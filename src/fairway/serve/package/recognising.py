"""What kind of model a file or a folder is, from its name, its first bytes, and the names inside it if it is a zip."""

from __future__ import annotations

import ast
import json
import zipfile
from pathlib import Path
from typing import Any

from fairway.errors import DefinitionError, NotFoundError

_BY_SUFFIX = {
    ".onnx": "onnx",
    ".pt2": "torch-export",
    ".keras": "keras",
    ".h5": "keras",
    ".hdf5": "keras",
    ".ubj": "xgboost",
    ".xgb": "xgboost",
    ".skops": "sklearn",
    ".pkl": "sklearn",
    ".pickle": "sklearn",
    ".joblib": "sklearn",
    ".safetensors": "torch",
    ".r": "r",
}
_SCRIPTS = ("score.py", "main.py", "predict.py", "model.py")
_R_SCRIPTS = ("score.R", "score.r", "main.R", "model.R")


def of_file(path: Path, cls: str = "") -> tuple[str, str]:
    """(kind, entry) of a file. Raises DefinitionError for one that is no model that could be served."""
    suffix = path.suffix.lower()
    if cls:
        return "class", f"{path.name}:{cls}"
    if suffix == ".py":
        return _of_python(path)
    if suffix in (".pt", ".pth", ".bin", ".ts"):
        return _of_torch(path), path.name
    if suffix in (".json", ".txt", ".model", ".lgb"):
        kind = _of_trees(path)
        if kind:
            return kind, path.name
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix], path.name
    raise DefinitionError(
        f"{path} is no model that Fairway knows",
        hint="a script (.py, .R), or .skops, .ubj, .json (XGBoost), .txt (LightGBM), .pt, .pt2, .safetensors, .keras, .onnx, .pkl; "
        "or a folder with one of them, a SavedModel, or an MLmodel",
    )


def of_folder(folder: Path) -> tuple[str, str]:
    """(kind, entry) of a folder without a card that says so. Raises DefinitionError."""
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    if "MLmodel" in names:
        return "mlflow", ""
    if "saved_model.pb" in names:
        return "tensorflow", ""
    for name in (*_SCRIPTS, *_R_SCRIPTS):
        if name in names:
            return of_file(folder / name)
    models: list[tuple[str, str]] = []
    for name in names:
        try:
            inner = folder / name
            found = of_folder_within(inner) if inner.is_dir() else of_file(inner)
        except (DefinitionError, NotFoundError):
            continue
        models.append((found[0], f"{name}/{found[1]}".rstrip("/") if inner.is_dir() else found[1]))
    if len(models) == 1:
        return models[0]
    shown = ", ".join(entry for _, entry in models[:5]) or ", ".join(names[:5]) or "it is empty"
    if models:
        raise DefinitionError(
            f"{folder} has several files that could be served: {shown}", hint=f"name one: {folder / models[0][1].partition(':')[0]}"
        )
    raise DefinitionError(
        f"there is no model in {folder} ({shown})",
        hint="it needs a score.py with init() and run(), a model's file, a SavedModel or an MLmodel",
    )


def of_folder_within(folder: Path) -> tuple[str, str]:
    """As `of_folder`, for one that lies in a package: only kinds that are folders by nature."""
    if (folder / "MLmodel").is_file():
        return "mlflow", ""
    if (folder / "saved_model.pb").is_file():
        return "tensorflow", ""
    raise DefinitionError(f"{folder} is no model", hint="name a SavedModel or an MLflow model")


def example_of_mlflow(folder: Path) -> Any:
    """The input example that MLflow keeps in the form in which its own server takes it; None if there is none."""
    for name in ("serving_input_example.json", "input_example.json"):
        path = folder / name
        if path.is_file():
            return json.loads(path.read_text(encoding="utf-8"))
    return None


def imports_of(path: Path) -> frozenset[str]:
    """Top-level modules that a script's import statements name, also those inside its functions; none if Python cannot read it."""
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError:
        return frozenset()
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return frozenset(found)


def _of_python(path: Path) -> tuple[str, str]:
    """A script with `run`, else the one class with `predict`. Nothing of it is run here."""
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except SyntaxError as error:
        raise DefinitionError(f"Python cannot read it: {error.msg}", hint="correct that line", where=f"{path}:{error.lineno}") from None
    if "run" in _names_of(tree):
        return "script", path.name
    classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef) if "predict" in _names_of(node)]
    if len(classes) == 1:
        return "class", f"{path.name}:{classes[0]}"
    if classes:
        raise DefinitionError(f"{path} has several classes with predict: {', '.join(classes)}", hint=f"name one: {path}:{classes[0]}")
    raise DefinitionError(
        f"{path} has nothing to serve: no function run, no class with a method predict",
        hint="define init() (loads the model, once) and run(data) (answers one request)",
    )


def _names_of(node: ast.Module | ast.ClassDef) -> set[str]:
    """What a module or class defines, imports or assigns at its top."""
    found: set[str] = set()
    for item in node.body:
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(item.name)
        elif isinstance(item, ast.ImportFrom | ast.Import):
            found.update((alias.asname or alias.name).partition(".")[0] for alias in item.names)
        elif isinstance(item, ast.Assign):
            found.update(target.id for target in item.targets if isinstance(target, ast.Name))
    return found


def _of_torch(path: Path) -> str:
    """TorchScript, an exported program, or a state dict: the three are zips with different files inside."""
    if not zipfile.is_zipfile(path):
        return "torch"
    with zipfile.ZipFile(path) as archive:
        names = {name.partition("/")[2] for name in archive.namelist()}
    if "constants.pkl" in names:
        return "torchscript"
    return "torch-export" if any(name.startswith(("models/", "serialized_exported_program")) for name in names) else "torch"


def _of_trees(path: Path) -> str:
    """XGBoost's JSON or UBJSON, LightGBM's text, "" for any other file."""
    with path.open("rb") as file:
        start = file.read(4096)
    if start.startswith(b"tree\n") and b"num_class=" in start:
        return "lightgbm"
    # Both spellings begin with the name "learner" in the first object; in UBJSON a length stands between "{" and the name.
    return "xgboost" if start[:1] == b"{" and b"learner" in start[:64] else ""
