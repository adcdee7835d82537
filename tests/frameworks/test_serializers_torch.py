"""PyTorch: tensors, state dicts, modules."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
torch = import_module("torch")

from serializer_rig import Rig  # noqa: E402
from torch import nn  # noqa: E402
from torch_nets import Forgetful, Net  # noqa: E402

from fairway.errors import DefinitionError  # noqa: E402
from fairway.step.types import Model  # noqa: E402


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.bool])
def test_tensors(rig: Rig, dtype: torch.dtype) -> None:
    value = torch.tensor([[1, 0, 2], [0, 1, 1]]).to(dtype)
    for tensor in (value, value.T, value[:, 1], torch.tensor(1).to(dtype), torch.empty(0, 3, dtype=dtype)):
        back = rig.keep(tensor)
        assert back.dtype == dtype and torch.equal(back, tensor)


def test_a_state_dict_is_one_safe_file_in_its_own_order(rig: Rig) -> None:
    net = Net(8)
    ref = rig.save(net.state_dict())
    back = rig.load(ref)
    assert ref.format == "safetensors" and list(back) == list(net.state_dict()) and type(back).__name__ == "OrderedDict"
    other = Net(8)
    other.load_state_dict(back)
    assert rig.save(other.state_dict()).digest == ref.digest
    nested = rig.keep({"epoch": 3, "weights": net.state_dict()})
    assert nested["epoch"] == 3 and torch.equal(nested["weights"]["body.0.weight"], net.body[0].weight)


def test_tied_weights(rig: Rig) -> None:
    layer = nn.Linear(2, 2)
    back = rig.keep({"a": layer.weight, "b": layer.weight, "part": layer.weight[0]})
    assert torch.equal(back["a"], back["b"]) and torch.equal(back["part"], layer.weight[0])


def test_a_module_is_built_anew_from_its_arguments(rig: Rig) -> None:
    net = Net(8, dropout=0.5).eval()
    back = rig.keep(net)
    x = torch.rand(5, 3)
    assert type(back) is Net and back.dropout == 0.5 and not back.training and torch.equal(back(x), net(x))
    stock = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1, bias=False), nn.Flatten(), nn.Dropout(0.3))
    assert str(rig.keep(stock)) == str(stock)


def test_what_cannot_be_built_anew_needs_trust(rig: Rig) -> None:
    with pytest.raises(DefinitionError, match="does not keep its argument 'width'") as caught:
        rig.save(Forgetful(3))
    assert "state_dict()" in caught.value.hint and "trust=True" in caught.value.hint
    changed = Net(8)
    changed.body.append(nn.Linear(1, 1))
    with pytest.raises(DefinitionError, match="other parameters"):
        rig.save(changed)
    ref = rig.save(Forgetful(3), trust=True)
    assert ref.format == "pickle" and "torch" in ref.meta["versions"]
    with pytest.raises(DefinitionError, match="pickled"):
        rig.load(ref)
    assert type(rig.load(ref, trust=True)) is Forgetful


def test_pytorch_alone_is_enough(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)  # importing it fails
    net = Net(4).eval()
    x = torch.rand(5, 3)
    assert torch.equal(rig.keep(Model(net)).predict(x), net(x))
    assert torch.equal(rig.keep({"a": x})["a"], x)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (torch.eye(2).to_sparse(), "tensor: a tensor of layout torch.sparse_coo is not kept"),
        (torch.ones(2, dtype=torch.complex128), "tensor: a tensor of torch.complex128 has no stored format"),
        ({"a": torch.ones(2), "b": torch.ones(2, device="meta")}, "b: a tensor on the device 'meta' has no values"),
        ({"__metadata__": torch.ones(2)}, "the format takes no tensor that is called __metadata__"),
    ],
)
def test_what_is_more_than_its_memory_is_refused(rig: Rig, value: object, told: str) -> None:
    with pytest.raises(DefinitionError, match=told) as caught:
        rig.save(value)
    assert caught.value.hint


def test_a_model_of_a_module(rig: Rig) -> None:
    net = Net(4).eval()
    x = torch.rand(5, 3)
    model = rig.keep(Model(net, example=x, metrics={"loss": 0.5}))
    assert model.framework == "torch" and list(model.signature["inputs"]) == ["x0", "x1", "x2"]
    assert torch.equal(model.predict(x), net(x))
