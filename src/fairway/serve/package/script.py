"""Scripts and classes of the user's own.

A script has `run(data)` and, if something is to be loaded once, `init()`: Azure ML's scripts, as they are. What `run` gets is told by its
parameters (see `arguments`). A class has `predict(self, data)`; its `__init__` may take the folder of the model, and its `load(self)` is
called if there is one.
"""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairway.errors import ConfigError, DefinitionError, NotFoundError, UnsupportedError
from fairway.serve.package import arguments
from fairway.serve.package.predictor import order_methods
from fairway.step.forks import bears_fork

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from fairway.serve.package.package import Package

MODEL_DIR = "AZUREML_MODEL_DIR"
_CLASS_METHODS = ("predict", "predict_proba", "decision_function", "transform", "explain")
_JOINED = ("rows", "matrix", "frame")


def load_script(package: Package) -> ScriptPredictor:
    """Import the script and call its `init()`."""
    show_logging()
    os.environ[MODEL_DIR] = model_folder(package)
    module = import_script(package)
    run = getattr(module, "run", None)
    if not callable(run):
        raise DefinitionError(f"{package.path} has no function run", hint="def run(data): … answers one request")
    _call_first(getattr(module, "init", None))
    wishes = {name: getattr(module, f"fairway_{name}", None) for name in ("batch",)}
    return ScriptPredictor({"run": run}, package, wishes)


def load_class(package: Package) -> ScriptPredictor:
    """Import the file and make the one object whose `predict` answers."""
    show_logging()
    os.environ[MODEL_DIR] = folder = model_folder(package)
    module = import_script(package)
    name = package.entry.partition(":")[2]
    cls = getattr(module, name, None)
    if not isinstance(cls, type):
        known = [one for one, value in vars(module).items() if isinstance(value, type) and hasattr(value, "predict")]
        raise DefinitionError(f"{package.path} has no class {name!r}", hint=f"its classes with predict: {', '.join(known) or 'none'}")
    required = [
        one
        for one in inspect.signature(cls).parameters.values()
        if one.default is one.empty and one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
    ]
    if len(required) > 1:
        raise DefinitionError(
            f"{name}() needs {', '.join(one.name for one in required)}", hint="__init__ may take one argument: the folder of the model"
        )
    made: Any = cls(folder) if required else cls()
    _call_first(getattr(made, "load", None))
    methods = {one: getattr(made, one) for one in _CLASS_METHODS if callable(getattr(made, one, None))}
    if "predict" not in methods:
        raise DefinitionError(f"{name} has no method predict", hint="def predict(self, data): … answers one request")
    return ScriptPredictor(methods, package, {one: getattr(made, f"fairway_{one}", None) for one in ("batch",)})


class ScriptPredictor:
    """Calls the user's own function with what its parameters ask for."""

    def __init__(self, functions: dict[str, Callable[..., Any]], package: Package, wishes: dict[str, Any]) -> None:
        self.methods = order_methods(tuple(functions), str(package.options.get("method", "")), package.name)
        self._calls = {name: arguments.Arguments(function, package.kind) for name, function in functions.items()}
        self.function = functions[self.methods[0]]
        first = self._calls[self.methods[0]]
        self.takes = first.takes
        self.is_async = any(call.is_async for call in self._calls.values())
        self.bears_fork = bears_fork()
        chosen = package.options.get("batch")
        self.batches = bool(wishes.get("batch") if chosen is None else chosen)
        self.names = ()
        self.columns = package.columns
        if self.batches and self.takes not in _JOINED:
            raise ConfigError(
                f"{package.name} cannot take several requests at once: its {self.methods[0]} takes one request's {first.told}",
                hint="annotate the parameter as list[dict], numpy.ndarray or pandas.DataFrame; or leave batching off",
            )

    def predict(self, inputs: Any, method: str, params: dict[str, Any]) -> Any:
        call = self._calls[method or self.methods[0]]
        if self.is_async:
            return call.call_async(inputs, params)
        return call.call(inputs, params)

    def output_names(self, method: str) -> tuple[str, ...]:
        return ()

    def warm_up(self) -> None:
        """Nothing: `init` did it."""


def show_logging() -> None:
    """What the script logs goes to stderr from INFO on, as in Azure ML. The root logger gets no handler, so that a script's own
    `basicConfig` still counts."""
    root = logging.getLogger()
    if root.handlers or root.level != logging.WARNING:
        return
    root.setLevel(logging.INFO)
    shown = logging.StreamHandler()
    shown.setFormatter(logging.Formatter("%(levelname)s:%(name)s:%(message)s"))
    logging.lastResort = shown


def model_folder(package: Package) -> str:
    """Where the script finds its model: the option `model`, else what the environment says already, else the package's own folder."""
    chosen = package.options.get("model")
    if chosen:
        path = Path(str(chosen)) if Path(str(chosen)).is_absolute() else Path(package.folder, str(chosen))
        if not path.exists():
            path = Path(str(chosen)).absolute()
        return str(path)
    return os.environ.get(MODEL_DIR) or package.folder


def import_script(package: Package, file: str = "") -> ModuleType:
    """The script (or another `file` of the package) as a module of its own name, its folder first on the import path. Raises what it
    raises."""
    path = Path(package.folder, file) if file else package.path
    if not path.is_file():
        raise NotFoundError(f"there is no file {path}", hint="name it relative to the package's folder")
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    name = path.stem if path.stem.isidentifier() and path.stem not in sys.modules else f"served_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: its dataclasses and pickles look it up
    words, sys.argv = sys.argv, sys.argv[:1]
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("azureml"):
            raise UnsupportedError(
                f"{path.name} imports {error.name}, which is not installed here",
                hint="pip install azureml-contrib-services; or return (bytes, content type, status), and take `body: bytes`, without it",
            ) from error
        raise
    except SystemExit as end:
        raise DefinitionError(
            f"{path.name} ended with sys.exit({end.code!r}) while it was imported",
            hint='put what only a script does under `if __name__ == "__main__":`',
        ) from None
    finally:
        sys.argv = words
    return module


def _call_first(function: Any) -> None:
    """`init()` or `load()`, awaited if it is asynchronous."""
    if function is None:
        return
    made = function()
    if inspect.isawaitable(made):

        async def wait() -> None:
            await made

        asyncio.run(wait())
