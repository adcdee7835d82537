"""MLflow model directories, through their `python_function` flavour.

Nearly all of these hold pickles or code, and those that do not can only be told by running MLflow: they are loaded with `trust` alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fairway.errors import DefinitionError
from fairway.serve.package.named import Slot

if TYPE_CHECKING:
    from fairway.serve.package.package import Package

_TYPES = {
    "boolean": "bool",
    "integer": "int32",
    "long": "int64",
    "float": "float32",
    "double": "float64",
    "string": "string",
    "datetime": "datetime64[ns]",
    "binary": "object",
}


def load_mlflow(package: Package) -> MlflowPredictor:
    """The model as MLflow loads it. Raises DefinitionError without trust."""
    if not package.trust:
        raise DefinitionError(
            f"{package.name} is an MLflow model: loading it runs whatever code its writer put there (pickles, modules, loaders)",
            hint="if you trust who wrote it, add --trust",
        )
    from mlflow import pyfunc

    return MlflowPredictor(pyfunc.load_model(str(package.path)), package)


class MlflowPredictor:
    """A frame where the signature has columns or there is none, arrays by name where it has tensors."""

    bears_fork, is_async, methods = False, False, ("predict",)

    def __init__(self, model: Any, package: Package) -> None:
        self._model = model
        signature = model.metadata.signature
        inputs = signature.inputs if signature is not None else None
        self.columns: dict[str, dict[str, Any]] = package.columns
        self.slots: tuple[Slot, ...] = ()
        self.names: tuple[str, ...] = tuple(self.columns)
        self._has_params = signature is not None and signature.params is not None
        self._is_one_array = False
        self.takes = "frame"
        if inputs is not None and inputs.is_tensor_spec():
            self.takes = "tensors"
            self._is_one_array = not inputs.has_input_names()
            self.slots = tuple(Slot(one.name or "inputs", one.type.str, tuple(int(n) for n in one.shape)) for one in inputs.inputs)
        elif inputs is not None and inputs.has_input_names():
            self.columns = {
                one.name: {"type": _TYPES.get(getattr(one.type, "name", ""), "any"), "missing": not one.required} for one in inputs.inputs
            }
            self.names = tuple(one.name for one in inputs.inputs if one.required)
        self.batches = package.options.get("batch") is not False and all(
            slot.shape is None or slot.shape[:1] == (-1,) for slot in self.slots
        )

    def predict(self, inputs: Any, method: str, params: dict[str, Any]) -> Any:
        if self._is_one_array:
            inputs = next(iter(inputs.values()))
        return self._model.predict(inputs, params=params) if self._has_params and params else self._model.predict(inputs)

    def output_names(self, method: str) -> tuple[str, ...]:
        return ()

    def warm_up(self) -> None:
        """Nothing: the example request does it."""
