"""PyTorch: a trained net saved in each of its ways, loaded for serving."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fairway as fw
from fairway.errors import DefinitionError
from fairway.serve.package import load, open_package
from fairway.serve.refusal import Refused
from tests.serve.package import rig

NET = """
import torch
class Net(torch.nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.width = width
        self.body = torch.nn.Sequential(torch.nn.Linear(2, width), torch.nn.Tanh(), torch.nn.Linear(width, 1))
    def forward(self, x):
        return self.body(x)
"""
X = np.random.default_rng(0).normal(size=(64, 2))


@pytest.fixture(scope="module")
def trained() -> torch.nn.Sequential:
    """A net that has learned to add."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    x = torch.from_numpy(X).float()
    optimizer = torch.optim.Adam(net.parameters(), 0.05)
    for _ in range(200):
        optimizer.zero_grad()
        loss = ((net(x) - x.sum(1, keepdim=True)) ** 2).mean()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05
    return net


def wanted(net: torch.nn.Module, x: Any = X[:5]) -> Any:
    with torch.inference_mode():
        return net(torch.from_numpy(np.asarray(x)).float()).numpy()


def check(predictor: Any, net: torch.nn.Module) -> None:
    """Rows of several calls, of doubles and of floats, joined."""
    parts = rig.answer(predictor, rig.matrix(X[:2]), rig.tensors(rig.tensor("x", X[2:5])))
    assert np.allclose(np.concatenate(parts), wanted(net), atol=1e-6)


def test_a_module_that_a_step_returned(trained: Any, tmp_path: Path) -> None:
    fw.Model(trained).save(tmp_path / "m")
    package = open_package(str(tmp_path / "m"))
    predictor = load(package)
    assert (package.kind, predictor.takes, predictor.batches, predictor.bears_fork) == ("torch", "tensors", True, True)
    check(predictor, trained)
    assert torch.get_num_threads() >= 1


def test_torchscript(trained: Any, tmp_path: Path) -> None:
    torch.jit.trace(trained, torch.zeros(3, 2)).save(tmp_path / "net.pt")
    package = open_package(str(tmp_path / "net.pt"))
    assert package.kind == "torchscript"
    check(load(package), trained)


def test_an_exported_program_says_which_shapes_it_takes(trained: Any, tmp_path: Path) -> None:
    batch = torch.export.Dim("batch")
    torch.export.save(torch.export.export(trained, (torch.zeros(3, 2),), dynamic_shapes=({0: batch},)), tmp_path / "net.pt2")
    package = open_package(str(tmp_path / "net.pt2"))
    predictor = load(package)
    assert package.kind == "torch-export" and predictor.batches
    check(predictor, trained)
    with pytest.raises(Refused, match=r"has the shape \[1, 3\]"):
        rig.answer(predictor, rig.of_json([[1, 2, 3]]))
    torch.export.save(torch.export.export(trained, (torch.zeros(3, 2),)), tmp_path / "fixed.pt2")
    assert not load(open_package(str(tmp_path / "fixed.pt2"))).batches


def test_weights_with_the_class_that_they_are_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "net_of_ours.py").write_text(NET)
    space: dict[str, Any] = {}
    exec(NET, space)
    net = space["Net"](width=6)
    torch.save({"state_dict": net.state_dict(), "epoch": 3}, tmp_path / "weights.pt")
    options = {"class": "net_of_ours.py:Net", "args": {"width": 6}}
    package = open_package(str(tmp_path / "weights.pt"), options=options)
    assert package.kind == "torch"
    check(load(package), net)
    with pytest.raises(DefinitionError, match="weights alone") as refused:
        load(open_package(str(tmp_path / "weights.pt")))
    assert "class" in refused.value.hint
    with pytest.raises(DefinitionError, match="the weights do not fit"):
        load(open_package(str(tmp_path / "weights.pt"), options={"class": "net_of_ours.py:Net"}))


def test_a_whole_module_is_a_pickle_and_needs_trust(trained: Any, tmp_path: Path) -> None:
    torch.save(trained, tmp_path / "whole.pth")
    with pytest.raises(DefinitionError, match="more than weights") as refused:
        load(open_package(str(tmp_path / "whole.pth")))
    assert "--trust" in refused.value.hint
    check(load(open_package(str(tmp_path / "whole.pth"), options={"trust": True})), trained)


def test_several_outputs_have_names_and_whole_numbers_stay_whole_for_an_embedding(tmp_path: Path) -> None:
    class Words(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = torch.nn.Embedding(5, 3)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            found = self.table(x)
            return found.mean(1), x.float().sum(1)

    torch.jit.script(Words()).save(tmp_path / "words.pt")
    predictor = load(open_package(str(tmp_path / "words.pt")))
    from fairway.serve.package.inputs import to_inputs
    from fairway.serve.package.results import to_results

    calls = [rig.of_json({"inputs": [[1, 2], [3, 4]]})]
    (result,) = to_results(predictor.predict(to_inputs(calls, predictor), "", {}), calls)
    assert [(tensor.name, tensor.shape) for tensor in result.tensors] == [("output_0", (2, 3)), ("output_1", (2,))]
    assert np.frombuffer(result.tensors[1].data, "<f4").tolist() == [3.0, 7.0]
