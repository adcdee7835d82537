"""ONNX files, run by onnxruntime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fairway.data.schema.datatypes import FROM_NUMPY
from fairway.errors import ConfigError
from fairway.serve.package.named import Slot

if TYPE_CHECKING:
    from fairway.serve.package.package import Package
    from fairway.serve.schema.infer import Array

_DTYPES = {
    "float": "<f4", "double": "<f8", "float16": "<f2", "int8": "|i1", "int16": "<i2", "int32": "<i4", "int64": "<i8",
    "uint8": "|u1", "uint16": "<u2", "uint32": "<u4", "uint64": "<u8", "bool": "|b1", "string": "|O",
}  # fmt: skip


def load_onnx(package: Package) -> OnnxPredictor:
    """A session on the device that the option `device` names, "cpu" if it names none."""
    import onnxruntime

    found = onnxruntime.get_available_providers()
    device = str(package.options.get("device", "cpu")).partition(":")[0]
    wanted = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}.get(device, device)
    if wanted not in found:
        raise ConfigError(f"onnxruntime has no {wanted} here", hint=f"it has: {', '.join(found)}; for a GPU, pip install onnxruntime-gpu")
    options = onnxruntime.SessionOptions()
    if package.options.get("threads"):
        options.intra_op_num_threads = int(package.options["threads"])
    providers = [wanted] if wanted == "CPUExecutionProvider" else [wanted, "CPUExecutionProvider"]
    return OnnxPredictor(onnxruntime.InferenceSession(str(package.path), options, providers=providers), package)


class OnnxPredictor:
    """Takes and gives arrays by name. Batches where all inputs' and outputs' first axis may have any length."""

    takes, bears_fork, is_async, methods = "tensors", False, False, ("predict",)

    def __init__(self, session: Any, package: Package) -> None:
        self._session = session
        self.slots = tuple(Slot(one.name, _dtype(one.type), _shape(one.shape)) for one in session.get_inputs())
        self._outputs = session.get_outputs()
        self.names = tuple(package.columns)
        self.batches = all(_is_free(one.shape) for one in (*session.get_inputs(), *self._outputs) if one.type.startswith("tensor"))

    def predict(self, inputs: Any, method: str, params: dict[str, Any]) -> Any:
        given = {name: array.astype(str).astype(object) if array.dtype == object else array for name, array in inputs.items()}
        made = self._session.run(None, given)
        if len(made) == 1:
            return _plain(made[0])
        return {one.name: _plain(value) for one, value in zip(self._outputs, made, strict=True)}

    def output_names(self, method: str) -> tuple[str, ...]:
        return tuple(one.name for one in self._outputs)

    def described(self) -> tuple[list[Array], list[Array]]:
        """The inputs and the outputs, as the file has them. Probabilities as {class: number} become a matrix as wide as nobody says."""
        inputs = [(slot.name, _datatype(slot.dtype), slot.shape or ()) for slot in self.slots]
        made: list[Array] = []
        for one in self._outputs:
            is_map = one.type.startswith("seq(map(")
            made.append((one.name, "FP32" if is_map else _datatype(_dtype(one.type)), (-1, -1) if is_map else _shape(one.shape) or ()))
        return inputs, made

    def warm_up(self) -> None:
        """Nothing: the example request does it."""


def _dtype(name: str) -> str:
    return _DTYPES.get(name.removeprefix("tensor(").rstrip(")"), "")


def _datatype(dtype: str) -> str:
    """The Open Inference Protocol's word for it."""
    return "BYTES" if dtype == "|O" else FROM_NUMPY.get(dtype, "")


def _shape(shape: list[Any]) -> tuple[int, ...] | None:
    return tuple(size if isinstance(size, int) else -1 for size in shape) if shape else None


def _is_free(shape: list[Any]) -> bool:
    return bool(shape) and not isinstance(shape[0], int)


def _plain(value: Any) -> Any:
    """The probabilities that classifiers converted from scikit-learn give as a list of {class: number}, as one matrix."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        import numpy as np

        return np.array([list(row.values()) for row in value])
    return value
