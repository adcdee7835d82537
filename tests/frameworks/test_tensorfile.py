"""Files of tensors are those of the safetensors library, without it."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairway.errors import DefinitionError
from fairway.step.serializers import tensorfile

torch: Any = import_module("torch")
library: Any = import_module("safetensors.torch")


def is_free(name: str) -> bool:
    return name != tensorfile.METADATA


SHAPES = st.lists(st.integers(0, 4), max_size=3).map(tuple)
TENSORS = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(is_free),
    st.tuples(SHAPES, st.sampled_from(sorted(tensorfile.CODES)), st.integers(0, 255)),
    max_size=5,
)


def make(shape: tuple[int, ...], dtype: str, seed: int) -> Any:
    """Any bytes that a tensor of this dtype may consist of."""
    kind = getattr(torch, dtype)
    if kind is torch.bool:
        return torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(seed)).bool()
    size = torch.Size(shape).numel() * kind.itemsize
    return torch.randint(0, 256, (size,), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)).view(kind).reshape(shape)


def raw(tensor: Any) -> tuple[Any, ...]:
    return tensor.dtype, tensor.shape, bytes(tensor.contiguous().reshape(-1).view(torch.uint8).tolist())


def raws(tensors: dict[str, Any]) -> dict[str, Any]:
    return {name: raw(tensor) for name, tensor in tensors.items()}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(TENSORS, st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2))
def test_the_library_reads_what_is_written_here_and_the_other_way_round(
    tmp_path: Path, drawn: dict[str, Any], metadata: dict[str, str]
) -> None:
    tensors = {name: make(*about) for name, about in drawn.items()}
    path = tmp_path / "a.safetensors"
    tensorfile.save_torch(tensors, path, metadata)
    assert raws(library.load_file(path)) == raws(tensors)
    found, said = tensorfile.load_torch(path)
    assert (raws(found), said) == (raws(tensors), metadata)
    library.save_file(tensors, path, metadata or None)  # of nothing at all, {} makes it write what is no JSON
    assert raws(tensorfile.load_torch(path)[0]) == raws(tensors)


def test_tensors_as_they_lie_in_a_training(tmp_path: Path) -> None:
    whole = torch.arange(12.0).reshape(3, 4)
    conjugated = torch.tensor([1 + 2j, 3 - 1j], dtype=torch.complex64).conj()
    tensors = {
        "transposed": whole.T,
        "a part": whole[1, 1:3],
        "expanded": torch.ones(1).expand(3),
        "a parameter": torch.nn.Parameter(torch.ones(2)),
        "of a graph": torch.ones(2, requires_grad=True) * 2,
        "conjugated": conjugated,
    }
    tensorfile.save_torch(tensors, tmp_path / "a", {})
    found, _ = tensorfile.load_torch(tmp_path / "a")
    assert all(torch.equal(found[name], tensor) and not found[name].requires_grad for name, tensor in tensors.items())


def test_a_large_file_is_mapped_and_never_written_to(tmp_path: Path) -> None:
    before = {"a": torch.ones(1 << 18), "b": torch.ones(3, dtype=torch.int8), "none": torch.empty(0)}
    tensorfile.save_torch(before, tmp_path / "a", {})
    written = (tmp_path / "a").read_bytes()
    found, _ = tensorfile.load_torch(tmp_path / "a")
    assert str(tmp_path / "a") in Path("/proc/self/maps").read_text()
    found["a"].zero_()
    (tmp_path / "a").rename(tmp_path / "moved")
    assert raws(tensorfile.load_torch(tmp_path / "moved")[0]) == raws(before)
    assert (tmp_path / "moved").read_bytes() == written and found["a"].sum() == 0


def test_tensors_that_another_program_has_not_aligned_are_read(tmp_path: Path) -> None:
    about = {"a": {"dtype": "I8", "shape": [1], "data_offsets": [0, 1]}, "b": {"dtype": "F64", "shape": [], "data_offsets": [1, 9]}}
    half = torch.tensor(0.5, dtype=torch.float64)
    (tmp_path / "a").write_bytes(tensorfile.render_header(about, {}) + b"\x07" + raw(half)[2])
    assert raws(tensorfile.load_torch(tmp_path / "a")[0]) == raws({"a": torch.tensor([7], dtype=torch.int8), "b": half})


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    tensorfile.save_torch({"a": torch.ones(2), "b": torch.ones(1, dtype=torch.int8)}, tmp_path / "whole", {"k": "v"})
    return (tmp_path / "whole").read_bytes()


def test_a_file_that_was_cut_short_is_none(tmp_path: Path, whole: bytes) -> None:
    for length in range(len(whole)):
        (tmp_path / "cut").write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"no safetensors file|does not lie where the header says"):
            tensorfile.load_torch(tmp_path / "cut")


@pytest.mark.parametrize(
    ("about", "told"),
    [
        ({"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}, "does not lie where the header says"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [0, 8]}, "does not lie where the header says"),
        ({"dtype": "F32", "shape": [-1, -1], "data_offsets": [0, 4]}, "does not lie where the header says"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}, "does not lie where the header says"),
        ({"dtype": "F32", "shape": "no", "data_offsets": [0, 4]}, "does not say what the tensor 'a' is"),
        ({"dtype": "F32", "shape": [1]}, "does not say what the tensor 'a' is"),
        ({"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}, "does not say what the tensor 'a' is"),
        ({"dtype": "F32", "shape": [1], "data_offsets": 4}, "does not say what the tensor 'a' is"),
        ("no", "does not say what the tensor 'a' is"),
    ],
)
def test_a_header_that_lies_is_not_believed(tmp_path: Path, about: Any, told: str) -> None:
    (tmp_path / "a").write_bytes(tensorfile.render_header({"a": about}, {}) + bytes(8))
    with pytest.raises(ValueError, match=told):
        tensorfile.load_torch(tmp_path / "a")


def test_a_dtype_that_is_not_known_is_named(tmp_path: Path) -> None:
    about = {"dtype": "F4", "shape": [1], "data_offsets": [0, 1]}
    (tmp_path / "a").write_bytes(tensorfile.render_header({"a": about}, {}) + b"1")
    with pytest.raises(DefinitionError, match="'a' is of the dtype F4, which is not known here"):
        tensorfile.load_torch(tmp_path / "a")


@pytest.mark.parametrize("text", [b"", b"\xff" * 12, json.dumps([1]).encode()])
def test_other_files_are_refused(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "a").write_bytes(len(text).to_bytes(8, "little")[: 8 if text else 3] + text)
    with pytest.raises(ValueError, match="no safetensors file"):
        tensorfile.load_torch(tmp_path / "a")
