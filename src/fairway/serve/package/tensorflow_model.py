"""TensorFlow: SavedModels by their serving signature, and Keras models (`.keras`, `.h5`) on whichever backend they use.

TensorFlow starts threads when it is imported, so each worker loads the model for itself.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from fairway.errors import ConfigError, DefinitionError
from fairway.serve.package.named import Slot

if TYPE_CHECKING:
    from fairway.serve.package.package import Package

_QUIET = {"TF_CPP_MIN_LOG_LEVEL": "2", "GRPC_VERBOSITY": "ERROR"}


def load_saved_model(package: Package) -> GraphPredictor:
    """The signature that the option `signature` names, "serving_default" if it names none."""
    tensorflow = _import_tensorflow(package)
    model = tensorflow.saved_model.load(str(package.path))
    name = str(package.options.get("signature") or "serving_default")
    known = [one for one in model.signatures if not one.startswith("__")]
    if name not in known:
        raise ConfigError(
            f"{package.name} has no signature {name!r}",
            hint=f"it has: {', '.join(known) or 'none'}; model.export(folder) of Keras writes one",
        )
    return GraphPredictor(tensorflow, model, model.signatures[name], package)


def load_keras(package: Package) -> KerasPredictor:
    """A Keras model, uncompiled. Lambda layers, which are code in the file, only with trust."""
    if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
        _import_tensorflow(package)
    import keras

    try:
        made = keras.saving.load_model(str(package.path), compile=False, safe_mode=not package.trust)
    except ValueError as error:
        if "safe_mode" not in str(error) and "unsafe" not in str(error).lower():
            raise
        raise DefinitionError(
            f"{package.path.name} holds code (a Lambda layer): reading it runs whatever its writer put there",
            hint="if you trust who wrote it, add --trust; or make the layer a registered class",
        ) from None
    return KerasPredictor(made, package)


class GraphPredictor:
    """A signature: arrays by name in, arrays by name out (the one array, where there is one output)."""

    takes, bears_fork, is_async, methods, names = "tensors", False, False, ("predict",), ()

    def __init__(self, tensorflow: Any, model: Any, signature: Any, package: Package) -> None:
        self._tensorflow, self._signature = tensorflow, signature
        self._model = model  # the signature refers to the model's variables only weakly
        specs: dict[str, Any] = signature.structured_input_signature[1]
        self.slots = tuple(Slot(name, _dtype(spec.dtype), _shape(spec.shape)) for name, spec in specs.items())
        self._outputs = tuple(sorted(signature.structured_outputs))
        shapes = [spec.shape for spec in (*specs.values(), *signature.structured_outputs.values())]
        self.batches = all(shape.rank is not None and shape.rank > 0 and shape[0] is None for shape in shapes)

    def predict(self, inputs: Any, method: str, params: dict[str, Any]) -> Any:
        made = self._signature(**{name: self._tensorflow.constant(array) for name, array in inputs.items()})
        if len(made) == 1:
            return _plain(next(iter(made.values())))
        return {name: _plain(value) for name, value in made.items()}

    def output_names(self, method: str) -> tuple[str, ...]:
        return self._outputs

    def warm_up(self) -> None:
        """Nothing: the example request does it."""


class KerasPredictor:
    """A Keras model; on TensorFlow it is compiled once for rows of any number."""

    takes, batches, bears_fork, is_async, methods, names = "tensors", True, False, False, ("predict",), ()

    def __init__(self, model: Any, package: Package) -> None:
        import keras

        self._model = model
        self._by_name = isinstance(getattr(model, "_inputs_struct", None), dict)
        given: list[Any] = list(model.inputs or [])
        self.slots = tuple(_slot(one) for one in given)
        outputs: Any = getattr(model, "output_names", None) or [f"output_{at}" for at in range(len(model.outputs or ()))]
        named = getattr(model, "_outputs_struct", None)
        self._outputs = tuple(named) if isinstance(named, dict) else tuple(outputs)
        self._call: Any = self._plain_call
        if keras.backend.backend() == "tensorflow" and self.slots:
            import tensorflow

            specs = [tensorflow.TensorSpec([None, *one.shape[1:]], one.dtype, name=one.name) for one in given]
            self._call = tensorflow.function(self._plain_call, input_signature=specs)

    def _plain_call(self, *arrays: Any) -> Any:
        if self._by_name:
            return self._model(dict(zip((slot.name for slot in self.slots), arrays, strict=True)), training=False)
        first, *more = arrays
        return self._model([first, *more] if more else first, training=False)

    def predict(self, inputs: Any, method: str, params: dict[str, Any]) -> Any:
        import keras

        made = self._call(*inputs.values())
        if isinstance(made, dict):
            return {name: keras.ops.convert_to_numpy(value) for name, value in made.items()}
        if isinstance(made, list | tuple):
            return {name: keras.ops.convert_to_numpy(value) for name, value in zip(self._outputs, made, strict=True)}
        return keras.ops.convert_to_numpy(made)

    def output_names(self, method: str) -> tuple[str, ...]:
        return self._outputs

    def warm_up(self) -> None:
        """Nothing: the example request does it."""


def _import_tensorflow(package: Package) -> Any:
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    import tensorflow

    device = str(package.options.get("device", "cpu"))
    if device == "cpu":
        tensorflow.config.set_visible_devices([], "GPU")
    threads = int(package.options.get("threads") or 0)
    if threads:
        tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
    return tensorflow


def _slot(tensor: Any) -> Slot:
    shape: Any = tensor.shape
    return Slot(tensor.name, _numpy_dtype(str(tensor.dtype)), tuple(-1 if size is None else int(size) for size in shape))


def _dtype(dtype: Any) -> str:
    return _numpy_dtype(dtype.name)


def _numpy_dtype(name: str) -> str:
    return "|O" if name == "string" else "" if name == "bfloat16" else name


def _shape(shape: Any) -> tuple[int, ...] | None:
    return None if shape.rank is None else tuple(-1 if size is None else int(size) for size in shape)


def _plain(value: Any) -> Any:
    made = value.numpy()
    if getattr(getattr(made, "dtype", None), "kind", "") == "O":  # TensorFlow's strings are bytes
        import numpy as np

        texts = np.array([piece.decode("utf-8", "replace") for piece in made.ravel()], object)
        return texts.reshape(made.shape)
    return made
