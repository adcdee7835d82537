"""Files of tensors in the safetensors format: eight bytes of length, a header in JSON, the tensors' bytes.

Written and read here, with PyTorch alone: the format's own library is one more thing to install, and would be missed when a training of
hours has ended. Source: https://huggingface.co/docs/safetensors.
"""

from __future__ import annotations

import ctypes
import json
import math
import mmap
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from fairway.errors import DefinitionError

CODES = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "uint32": "U32", "int32": "I32", "uint64": "U64",
    "int64": "I64", "float16": "F16", "float32": "F32", "float64": "F64", "complex64": "C64", "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
}  # fmt: skip
"""What the format calls a dtype of NumPy, ml_dtypes and PyTorch."""
NAMES = {code: name for name, code in CODES.items()}
METADATA = "__metadata__"
_ALIGNED = 8
_LONGEST_HEADER = 100_000_000
_MAPPED_BYTES = 1 << 20


def render_header(tensors: Mapping[str, Any], metadata: Mapping[str, str], *, aligned: int = _ALIGNED) -> bytes:
    """The front of a file, padded so that its data begins at a multiple of `aligned` bytes.

    `tensors`: {name: {"dtype", "shape", "data_offsets": [begin, end]}}, in bytes from where the data begins.
    """
    text = json.dumps({METADATA: metadata, **tensors}, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % aligned)
    return len(text).to_bytes(8, "little") + text


def parse_header(front: bytes, rest: Callable[[int], Any]) -> dict[str, Any]:
    """The header of a file: `front` are its first eight bytes, `rest(n)` gives the n after them. Raises ValueError for other files."""
    length = int.from_bytes(front, "little")
    if len(front) == 8 and length <= _LONGEST_HEADER:
        with suppress(ValueError):
            header = json.loads(bytes(rest(length)))
            if isinstance(header, dict):
                return header
    raise ValueError("this is no safetensors file")


def check_torch(value: Any, torch: Any) -> None:
    """Raises DefinitionError for tensors that are more than their memory."""
    if hasattr(value, "full_tensor"):
        raise DefinitionError(
            f"a {type(value).__name__} is divided among the ranks and is not kept as it is",
            hint="keep tensor.full_tensor(), which all ranks must call; or keep the whole state by "
            "torch.distributed.checkpoint.save(state, checkpoint_id=fw.checkpoint.dir / str(step)), of which each rank writes its part",
        )
    if hasattr(value, "__tensor_flatten__"):
        raise DefinitionError(f"a {type(value).__name__} is not kept as it is", hint="keep the plain tensors that it is made of")
    if value.layout != torch.strided:
        raise DefinitionError(
            f"a tensor of layout {value.layout} is not kept", hint="keep its indices() and values(), or tensor.to_dense()"
        )
    if value.is_quantized:
        raise DefinitionError("a quantized tensor is not kept", hint="keep tensor.int_repr() with its scale and zero point")
    if value.device.type == "meta":
        raise DefinitionError("a tensor on the device 'meta' has no values", hint="give the module its weights first")


def save_torch(tensors: Mapping[str, Any], path: str | os.PathLike[str], metadata: Mapping[str, str]) -> None:
    """Write PyTorch's tensors, of any device, by name. The same values give the same bytes.

    Raises DefinitionError, naming it, for a tensor that the format does not hold.
    """
    import torch

    if METADATA in tensors:
        raise DefinitionError(f"the format takes no tensor that is called {METADATA}", hint="give it another name")
    plain = {name: _as_bytes_lie(name, tensor, torch) for name, tensor in tensors.items()}
    header: dict[str, Any] = {}
    at = 0
    for name in sorted(plain, key=lambda name: (-plain[name].element_size(), name)):  # the widest first: so all lie aligned
        tensor = plain[name]
        size = tensor.numel() * tensor.element_size()
        header[name] = {"dtype": CODES[_dtype(tensor)], "shape": list(tensor.shape), "data_offsets": [at, at + size]}
        at += size
    with open(path, "wb") as file:
        file.write(render_header(header, metadata))
        for name in header:
            file.write(_memory(plain[name]))


def load_torch(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """(PyTorch's tensors by name in the order of the header, the metadata) of a file, whoever wrote it. Large files are mapped: what is
    written to the tensors stays in memory.

    Raises DefinitionError for a dtype that is not known here, ValueError for what is no such file.
    """
    import torch

    with open(path, "rb") as file:
        header = parse_header(file.read(8), file.read)
        metadata = header.pop(METADATA, None) or {}
        begins = file.tell()
        if os.fstat(file.fileno()).st_size < _MAPPED_BYTES:
            held, begins = bytearray(file.read()), 0
        else:
            held = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    return {name: _make(name, about, held, begins, torch) for name, about in header.items()}, metadata


def _make(name: str, about: Any, held: Any, begins: int, torch: Any) -> Any:
    """A tensor of which a header speaks, in the memory of its file."""
    try:
        code, known = about["dtype"], NAMES.get(about["dtype"], "")
        shape, (begin, end) = tuple(map(int, about["shape"])), map(int, about["data_offsets"])
        lies_within = min(shape, default=0) >= 0 <= begin <= end <= len(held) - begins
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"the header does not say what the tensor {name!r} is") from None
    dtype = getattr(torch, known, None)
    if dtype is None:
        raise DefinitionError(f"the tensor {name!r} is of the dtype {code}, which is not known here", hint="store it in another one")
    if not lies_within or end - begin != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"the tensor {name!r} does not lie where the header says")
    if begin == end:
        return torch.empty(shape, dtype=dtype)
    flat = torch.frombuffer(held, dtype=torch.uint8, count=end - begin, offset=begins + begin)
    return (flat.clone() if flat.data_ptr() % dtype.itemsize else flat).view(dtype).view(shape)


def _as_bytes_lie(name: str, tensor: Any, torch: Any) -> Any:
    """In this machine's memory, one number after the other."""
    try:
        check_torch(tensor, torch)
    except DefinitionError as error:
        raise DefinitionError(f"{name}: {error.message}", hint=error.hint) from None
    if _dtype(tensor) not in CODES:
        raise DefinitionError(f"{name}: a tensor of {tensor.dtype} has no stored format", hint="convert it with tensor.to(…)")
    return tensor.detach().to("cpu").resolve_conj().resolve_neg().contiguous()


def _dtype(tensor: Any) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _memory(tensor: Any) -> memoryview:
    """The bytes of a contiguous tensor in this machine's memory, which the caller keeps alive."""
    size = tensor.numel() * tensor.element_size()
    return memoryview((ctypes.c_char * size).from_address(tensor.data_ptr())).cast("B") if size else memoryview(bytearray())
