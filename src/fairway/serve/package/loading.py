"""From a package to a predictor: one function for each kind of model, its library imported when it is called."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from fairway.errors import UnsupportedError
from fairway.serve.package.recognising import imports_of
from fairway.step.forks import UNSAFE_TO_FORK

if TYPE_CHECKING:
    from fairway.serve.package.package import Package
    from fairway.serve.package.predictor import Predictor

_HERE = "fairway.serve.package."
LOADERS = {
    "sklearn": "estimator:load_estimator",
    "xgboost": "trees:load_trees",
    "lightgbm": "trees:load_trees",
    "torch": "torch_model:load_module",
    "torchscript": "torch_model:load_script",
    "torch-export": "torch_model:load_exported",
    "tensorflow": "tensorflow_model:load_saved_model",
    "keras": "tensorflow_model:load_keras",
    "onnx": "onnx_model:load_onnx",
    "mlflow": "mlflow_model:load_mlflow",
    "r": "r_model:load_r",
    "script": "script:load_script",
    "class": "script:load_class",
}
"""Kind of package -> "module:function" of this room."""
_DISTRIBUTIONS = {"sklearn": "scikit-learn", "skops": "skops", "tf": "tensorflow", "mlflow": "mlflow-skinny"}


ALONE = frozenset({"tensorflow", "keras", "torch-export", "onnx", "mlflow", "r"})
"""Kinds whose libraries start threads, or hold locks or processes, once a model is loaded."""


SCRIPTS_ALONE = frozenset(
    (
        *("tensorflow", "keras", "torch", "onnxruntime", "xgboost", "lightgbm", "catboost", "mlflow", "transformers", "faiss"),
        *UNSAFE_TO_FORK,
    )
)
"""Libraries for whose sake a script that imports them is loaded by each worker: nobody knows what its `init` does with them."""


def loads_alone(package: Package) -> bool:
    """Must each worker load the model for itself, rather than be forked from a process that did? The option `fork` overrules what is
    known of libraries."""
    chosen = package.options.get("fork")
    if chosen is not None:
        return not chosen
    if package.kind in ("script", "class"):
        return bool(imports_of(package.path) & SCRIPTS_ALONE)
    return package.kind in ALONE or str(package.options.get("device", "cpu")) != "cpu"


def load(package: Package) -> Predictor:
    """The model of a package, ready to predict. Raises UnsupportedError for a missing library, DefinitionError for what must be trusted
    and is not, NotFoundError, and whatever the library or the user's script raises."""
    if package.card.get("transform"):
        from fairway.serve.package.featured import load_featured

        return load_featured(package, load)
    module, _, name = LOADERS[package.kind].partition(":")
    make = cast("Callable[[Package], Any]", getattr(import_module(_HERE + module), name))
    if package.kind in ("script", "class"):
        return make(package)  # a library that their code misses is said with the user's own line
    try:
        return make(package)
    except ModuleNotFoundError as error:
        library = (error.name or str(error)).partition(".")[0]
        raise UnsupportedError(
            f"to serve {package.name} ({package.kind}) takes {library}, which is not installed here",
            hint=f"pip install {_DISTRIBUTIONS.get(library, library)}",
        ) from error
