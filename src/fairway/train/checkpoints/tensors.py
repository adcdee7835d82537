"""Tensors of any library as bytes and back: what each of them says of its memory, and how it is made of bytes again.

A tensor is described by its library, a dtype in the words of the safetensors format ("BF16"; "" for one that the format has no word for,
whose bytes are kept as such), its shape, and what else brings it back as it was.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from fairway.errors import DefinitionError, UnsupportedError
from fairway.step.serializers.tensorfile import CODES, NAMES, check_torch
from fairway.train.checkpoints.arena import Copy

_FLAT_BYTES = ("bytes", "bytearray")


class Tensor:
    """One tensor on its way into a file. `copy(address)` says what to copy there, or does it (then it says nothing)."""

    def __init__(self, library: str, code: str, shape: tuple[int, ...], size_bytes: int, item_bytes: int, more: dict[str, Any]) -> None:
        self.library, self.code, self.shape, self.size_bytes, self.item_bytes = library, code, shape, size_bytes, item_bytes
        self.more = more
        self.identity: Any = None
        self.device: Any = None  # a CUDA device
        self.version: Callable[[], int] = int  # another number once it has been changed, where its library counts that
        self.copy: Callable[[int, memoryview], list[Copy]] = lambda address, view: []

    @property
    def alignment(self) -> int:
        """The power of two at whose multiples it should lie."""
        return self.item_bytes & -self.item_bytes if self.item_bytes else 1

    def describe(self) -> dict[str, Any]:
        """What `rebuild` needs beside its bytes."""
        return {"library": self.library, "dtype": self.code, "shape": list(self.shape), **self.more}


def find_tensor(value: Any) -> Tensor | None:
    """How to keep `value` if it is a tensor (or long bytes) of a library that is known here. Raises DefinitionError for tensors that cannot
    be kept as they are."""
    kind = type(value)
    if kind in (bytes, bytearray):
        return _of_bytes(value)
    for module, read in _LIBRARIES.items():
        loaded = sys.modules.get(module)
        if loaded is not None and (found := read(value, loaded)) is not None:
            return found
    return None


def rebuild(about: dict[str, Any], memory: Any, start: int, size_bytes: int) -> Any:
    """The tensor of which `describe` spoke, from bytes that are the caller's own; NumPy's and PyTorch's go on using them."""
    library = about["library"]
    if library in _FLAT_BYTES:
        whole = bytes(memoryview(memory)[start : start + size_bytes])
        return whole if library == "bytes" else bytearray(whole)
    try:
        if library == "torch":
            return _make_torch(about, memory, start, size_bytes)
        array = _make_numpy(about, memory, start, size_bytes)
        if library == "numpy":
            return array
        return _make_jax(about, array) if library == "jax" else _make_tensorflow(about, array)
    except ImportError as error:
        raise UnsupportedError(
            f"the checkpoint holds a tensor of {library}, and {error.name or library} is not installed here",
            hint=f"install {error.name or library}, or keep NumPy arrays instead",
        ) from error


def _of_bytes(value: bytes | bytearray) -> Tensor:
    made = Tensor(type(value).__name__, "U8", (len(value),), len(value), 1, {})
    held = bytes(value)

    def copy(address: int, view: memoryview) -> list[Copy]:
        view[:] = held
        return []

    made.copy = copy
    return made


def _of_numpy(value: Any, np: Any) -> Tensor | None:
    if not isinstance(value, np.ndarray):
        return None
    if isinstance(value, np.ma.MaskedArray):
        raise DefinitionError("a masked array would lose its mask", hint="keep {'data': a.data, 'mask': a.mask}")
    if value.dtype.hasobject:
        raise DefinitionError("an array of Python objects has no stored format", hint="keep an array of numbers or text, or a list")
    return _of_array("numpy", np.asarray(value), np, {})


def _of_array(library: str, array: Any, np: Any, more: dict[str, Any]) -> Tensor:
    dtype = array.dtype
    code = CODES.get(dtype.name, "") if dtype.isnative else ""
    if not code:
        ours = type(dtype).__module__.startswith("numpy") and dtype.type.__module__ == "numpy"
        more = {**more, "descr": np.lib.format.dtype_to_descr(dtype)} if ours else {**more, "name": dtype.name}
    made = Tensor(library, code, array.shape, array.nbytes, dtype.itemsize, more)
    made.identity = (array.__array_interface__["data"][0], array.strides, array.shape, str(dtype)) if array.nbytes else None

    def copy(address: int, view: memoryview) -> list[Copy]:
        if not array.nbytes:
            return []
        if array.flags.c_contiguous:
            return [(address, array.__array_interface__["data"][0], array.nbytes)]
        np.copyto(np.frombuffer(view, dtype="u1").view(dtype).reshape(array.shape), array)
        return []

    made.copy = copy
    return made


def _of_torch(value: Any, torch: Any) -> Tensor | None:
    if not isinstance(value, torch.Tensor):
        return None
    check_torch(value, torch)
    plain = value.detach().resolve_conj().resolve_neg()
    name = str(plain.dtype).removeprefix("torch.")
    code = CODES.get(name, "")
    more: dict[str, Any] = {} if code else {"name": name}
    if isinstance(value, torch.nn.Parameter):
        more["parameter"] = True
    if value.requires_grad:
        more["requires_grad"] = True
    made = Tensor("torch", code, tuple(plain.shape), plain.numel() * plain.element_size(), plain.element_size(), more)
    made.device = plain.device if plain.is_cuda else None
    if not value.is_inference():
        made.version = lambda: value._version
    if made.size_bytes:
        made.identity = (str(plain.device), plain.data_ptr(), plain.stride(), tuple(plain.shape), name, type(value).__name__)

    def copy(address: int, view: memoryview) -> list[Copy]:
        if not made.size_bytes:
            return []
        if plain.device.type == "cpu" and plain.is_contiguous():
            return [(address, plain.data_ptr(), made.size_bytes)]
        target = torch.frombuffer(view, dtype=torch.uint8).view(plain.dtype).view(plain.shape)
        target.copy_(plain, non_blocking=plain.is_cuda)
        return []

    made.copy = copy
    return made


def _of_jax(value: Any, jax: Any) -> Tensor | None:
    if not hasattr(jax, "Array") or not isinstance(value, jax.Array):
        return None
    import numpy as np

    if not value.is_fully_addressable:
        raise DefinitionError(
            "an array that is spread over several processes is not kept as it is",
            hint="keep its own part, [shard.data for shard in array.addressable_shards], with sharded=True",
        )
    more: dict[str, Any] = {}
    if jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
        more["key"] = str(jax.random.key_impl(value))
        value = jax.random.key_data(value)
    return _of_array("jax", np.asarray(value), np, more)


def _of_tensorflow(value: Any, tf: Any) -> Tensor | None:
    if not hasattr(tf, "Variable"):
        return None
    variable = isinstance(value, tf.Variable)
    if not variable and not (tf.is_tensor(value) and hasattr(value, "numpy")):
        return None
    import numpy as np

    array = np.asarray(value.numpy())
    if array.dtype.hasobject:
        raise DefinitionError("a tensor of strings is not kept", hint="keep tensor.numpy().tolist()")
    return _of_array("tensorflow", array, np, {"variable": value.name, "trainable": value.trainable} if variable else {})


def _of_keras(value: Any, keras: Any) -> Tensor | None:
    known = getattr(keras, "Variable", None)
    return find_tensor(value.value) if known is not None and isinstance(value, known) else None


_LIBRARIES: dict[str, Callable[[Any, Any], Tensor | None]] = {
    "torch": _of_torch,
    "numpy": _of_numpy,
    "jax": _of_jax,
    "tensorflow": _of_tensorflow,
    "keras": _of_keras,
}


def _make_numpy(about: dict[str, Any], memory: Any, start: int, size_bytes: int) -> Any:
    import numpy as np

    if about["dtype"]:
        dtype = _numpy_dtype(NAMES[about["dtype"]])
    else:
        dtype = np.lib.format.descr_to_dtype(_as_tuples(about["descr"])) if "descr" in about else _numpy_dtype(about["name"])
    if not size_bytes:
        return np.empty(about["shape"], dtype)
    return np.frombuffer(memory, dtype="u1", count=size_bytes, offset=start).view(dtype).reshape(about["shape"])


def _numpy_dtype(name: str) -> Any:
    import numpy as np

    try:
        return np.dtype(name)
    except TypeError:
        import ml_dtypes  # pyright: ignore[reportMissingImports]

        return np.dtype(getattr(ml_dtypes, name))


def _as_tuples(descr: Any) -> Any:
    """A structured dtype's description after JSON has made lists of its tuples."""
    if isinstance(descr, str):
        return descr
    return [(field[0], _as_tuples(field[1]), *(tuple(part) for part in field[2:])) for field in descr]


def _make_torch(about: dict[str, Any], memory: Any, start: int, size_bytes: int) -> Any:
    import torch

    dtype = getattr(torch, NAMES[about["dtype"]] if about["dtype"] else about["name"])
    if size_bytes:
        made = torch.frombuffer(memory, dtype=torch.uint8, count=size_bytes, offset=start).view(dtype).view(tuple(about["shape"]))
    else:
        made = torch.empty(tuple(about["shape"]), dtype=dtype)
    if about.get("parameter"):
        return torch.nn.Parameter(made, requires_grad=bool(about.get("requires_grad")))
    return made.requires_grad_() if about.get("requires_grad") else made


def _make_jax(about: dict[str, Any], array: Any) -> Any:
    import jax.numpy as jnp  # pyright: ignore[reportMissingImports]

    made = jnp.array(array)
    if "key" in about:
        import jax  # pyright: ignore[reportMissingImports]

        return jax.random.wrap_key_data(made, impl=about["key"])
    return made


def _make_tensorflow(about: dict[str, Any], array: Any) -> Any:
    import tensorflow as tf  # pyright: ignore[reportMissingImports]

    if "variable" in about:
        return tf.Variable(array, trainable=about["trainable"], name=about["variable"].partition(":")[0])
    return tf.constant(array)
