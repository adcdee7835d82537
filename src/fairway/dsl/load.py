"""Finding a pipeline by what a person writes: "churn.py", "churn.py:name", "package.module:name", "graph.yaml"."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from types import ModuleType
from typing import Any

from fairway.dsl.pipeline import Pipeline
from fairway.dsl.source import shown, suggest
from fairway.dsl.step import Step
from fairway.errors import DefinitionError, NotFoundError
from fairway.spec.graph import Graph
from fairway.step.importing import run_import

_GRAPH_FILES = (".yaml", ".yml", ".json")


def load_pipeline(target: str | os.PathLike[str]) -> Pipeline | Graph:
    """The pipeline that `target` names; a Graph if it is a graph file. Imports the user's module with its folder first on sys.path.

    Raises NotFoundError if there is no such file, module or pipeline, DefinitionError (with file and line) if the file cannot be imported.
    """
    text = os.fspath(target)
    if text.endswith(_GRAPH_FILES):
        return _load_graph(text)
    place, name = _split(text)
    return _choose(_load_module(place), name, place)


def _load_module(place: str) -> ModuleType:
    _check_place(place)
    stdout, sys.stdout = sys.stdout, sys.stderr  # a run's stdout is for its outputs: what the module prints is talk
    try:
        return _import_file(place) if place.endswith(".py") or os.sep in place else _import_module(place)
    finally:
        sys.stdout = stdout


def load_target(target: str | os.PathLike[str]) -> Pipeline | Graph | Step:
    """As `load_pipeline`; also a step, if `target` names one or the file holds nothing else. What a search may be made over."""
    text = os.fspath(target)
    if text.endswith(_GRAPH_FILES):
        return _load_graph(text)
    place, name = _split(text)
    module = _load_module(place)
    found = {key: value for key, value in vars(module).items() if isinstance(value, Pipeline | Step)}
    if isinstance(found.get(name), Step):
        return found[name]
    own = [value for value in found.values() if value.__module__ == module.__name__] or list(found.values())
    if not name and len(own) == 1 and isinstance(own[0], Step):
        return own[0]
    if name and name not in vars(module):
        listed = ", ".join(key for key, value in found.items() if value in own) or "none"
        raise NotFoundError(f"{place} has neither a pipeline nor a step `{name}`", hint=f"it has {listed}.{suggest(name, list(found))}")
    return _choose(module, name, place)


def _check_place(place: str) -> None:
    """Refuse what is there and cannot be imported. Raises NotFoundError."""
    if os.path.isdir(place) and not os.path.isfile(os.path.join(place, "__init__.py")):
        files = sorted(file for file in os.listdir(place) if file.endswith(".py"))
        hint = f"name the Python file, such as {os.path.join(place, files[0])}" if files else "there is no Python file in it"
        raise NotFoundError(f"{place} is a folder", hint=hint)
    if os.path.isfile(place) and not place.endswith(".py"):
        raise NotFoundError(f"{place} is not a Python file", hint="a pipeline is a .py file, or a graph that `fairway graph` wrote")


def _split(text: str) -> tuple[str, str]:
    place, colon, name = text.rpartition(":")
    if colon and name.isidentifier() and place:
        return place, name
    return text, ""


def _load_graph(path: str) -> Graph:
    # the reader of graph files stands above this room, because YAML is a library of its own
    reader = import_module("fairway.engine.graphfile")
    return reader.load(path)


def _import_file(path: str) -> ModuleType:
    full = os.path.abspath(path)
    if not os.path.isfile(full):
        folder = os.path.dirname(full)
        near = [f for f in os.listdir(folder) if f.endswith(".py")] if os.path.isdir(folder) else []
        hint = suggest(os.path.basename(full), near).strip() or "give the path of a Python file, such as churn.py"
        raise NotFoundError(f"there is no file {path}", hint=hint)
    folder, name = os.path.split(full)
    name = name.removesuffix(".py")
    if folder not in sys.path[:1]:
        sys.path.insert(0, folder)
    known = sys.modules.get(name)
    if known is not None and _same_file(known, full):
        return known
    if known is not None:
        return _import_as(name, full)
    if not name.isidentifier():
        raise DefinitionError(
            f"{path} cannot be imported: `{name}` is not a module's name", hint=f"rename it, for example to {_plain(name)}.py"
        )
    try:
        module = run_import(name, lambda: import_module(name))
    except Exception as error:
        raise _import_failed(error, full) from error
    return module if _same_file(module, full) else _import_as(name, full)


def _plain(name: str) -> str:
    text = "".join(letter if letter.isalnum() else "_" for letter in name)
    return text if text[:1].isalpha() else f"p_{text}"


def _same_file(module: ModuleType, path: str) -> bool:
    file = getattr(module, "__file__", None)
    return bool(file) and os.path.realpath(file) == os.path.realpath(path)


def _import_as(name: str, path: str) -> ModuleType:
    """Import the file under its stem although another module (of an installed package, of an earlier file) has that name."""
    from importlib.util import module_from_spec, spec_from_file_location

    if name in sys.stdlib_module_names:
        raise DefinitionError(
            f"{shown(path)} has the name of a module of Python itself (`{name}`)", hint=f"rename it, for example to {name}_pipeline.py"
        )
    spec = spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    loader = spec.loader
    module = module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        run_import(name, lambda: loader.exec_module(module))
    except Exception as error:
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
        raise _import_failed(error, path) from error
    return module


def _import_failed(error: Exception, path: str) -> Exception:
    """What is wrong with the user's file, with the line that is to blame."""
    from fairway.errors import FairwayError

    if isinstance(error, FairwayError):
        return error
    if isinstance(error, SyntaxError) and error.filename:
        return DefinitionError(
            f"{error.msg}: {(error.text or '').strip()}", hint="mend the syntax", where=f"{shown(error.filename)}:{error.lineno}"
        )
    where, trace = f"{shown(path)}:1", error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file == path or (os.path.dirname(file).startswith(os.path.dirname(path)) and "site-packages" not in file):
            where = f"{shown(file)}:{trace.tb_lineno}"
        trace = trace.tb_next
    hint = "the file is run when the pipeline is loaded; mend the line"
    if isinstance(error, ModuleNotFoundError) and error.name:
        hint = f"install it (pip install {error.name.partition('.')[0]}), or run fairway in the environment that has it"
    return DefinitionError(f"{type(error).__name__}: {error}", hint=hint, where=where)


def _import_module(name: str) -> ModuleType:
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    if os.path.isfile(name + ".py") and "." not in name and name not in sys.modules:
        return _import_file(name + ".py")
    try:
        return run_import(name, lambda: import_module(name))
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            raise NotFoundError(
                f"there is no file or module {name}", hint="give a file (churn.py) or a module (package.module:name)"
            ) from None
        raise _import_failed(error, here) from error
    except Exception as error:
        raise _import_failed(error, here) from error


def _choose(module: ModuleType, name: str, place: str) -> Pipeline:
    found: dict[str, Pipeline] = {}
    for key, value in vars(module).items():
        if isinstance(value, Pipeline):
            found[key] = value
    if name:
        if name in found:
            return found[name]
        other: Any = vars(module).get(name)
        if other is not None:
            raise DefinitionError(
                f"`{name}` in {place} is not a pipeline but a {type(other).__name__}", hint="decorate it with @fw.pipeline"
            )
        listed = ", ".join(found) or "none"
        raise NotFoundError(f"{place} has no pipeline `{name}`", hint=f"its pipelines: {listed}.{suggest(name, list(found))}")
    own = {key: value for key, value in found.items() if value.__module__ == module.__name__} or found
    if len(own) == 1:
        return next(iter(own.values()))
    if not own:
        raise DefinitionError(
            f"{place} has no pipeline", hint="decorate a function with @fw.pipeline", where=f"{place}:1" if place.endswith(".py") else ""
        )
    stem = module.__name__.rpartition(".")[2]
    for main in (stem, "main", "pipeline"):
        if main in own:
            return own[main]
    return _outermost(own, place)


def _outermost(own: dict[str, Pipeline], place: str) -> Pipeline:
    """The one pipeline that is not a part of another."""
    inner: set[str] = set()
    for value in own.values():
        names = value.function.__code__.co_names
        inner.update(key for key in own if key in names and own[key] is not value)
    tops = [key for key in own if key not in inner]
    if len(tops) == 1:
        return own[tops[0]]
    raise DefinitionError(f"{place} has several pipelines: {', '.join(own)}", hint=f"say which: {place}:{next(iter(own))}")
