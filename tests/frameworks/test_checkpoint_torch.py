"""`fw.checkpoint` and `fw.shard` with the libraries whose tensors they keep: PyTorch, JAX, TensorFlow, Polars, scikit-learn, XGBoost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fairway as fw
from fairway.errors import DefinitionError
from fairway.train.checkpoints import Checkpoints, capture
from tests.train.checkpoints.conftest import be, ranks  # noqa: F401

torch = pytest.importorskip("torch")
Be = Callable[..., Checkpoints]

TENSORS = {
    "bfloat16": lambda: torch.randn(3, 5).bfloat16(),
    "float8": lambda: torch.randn(4, 3).to(torch.float8_e4m3fn),
    "float8_e5m2": lambda: torch.randn(4, 3).to(torch.float8_e5m2).T,
    "float8 of another kind": lambda: torch.randn(4).to(torch.float8_e4m3fnuz),
    "complex128": lambda: torch.randn(2, 3, dtype=torch.complex128).conj(),
    "0-d": lambda: torch.tensor(3.5),
    "empty": lambda: torch.empty(0, 3, dtype=torch.int16),
    "view": lambda: torch.arange(100.0)[10:20:2],
    "transposed": lambda: torch.arange(12).view(3, 4).T,
    "expanded": lambda: torch.arange(3.0).expand(4, 3),
    "bool": lambda: torch.tensor([True, False]),
    "uint16": lambda: torch.tensor([1, 65535], dtype=torch.uint16),
    "channels last": lambda: torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "grad": lambda: torch.ones(2, requires_grad=True),
    "parameter": lambda: torch.nn.Parameter(torch.ones(2)),
    "frozen": lambda: torch.nn.Parameter(torch.ones(2), requires_grad=False),
    "large": lambda: torch.randn(3_000_000),
}


@pytest.mark.parametrize("name", TENSORS)
def test_a_tensor_comes_back_as_it_was(be: Be, name: str) -> None:  # noqa: F811
    made = TENSORS[name]()
    kept = be()
    kept.save(1, {"x": made})
    found = kept.load()["x"]
    assert (type(found), found.dtype, found.shape, found.requires_grad) == (type(made), made.dtype, made.shape, made.requires_grad)
    one, other = found.detach().resolve_conj().contiguous(), made.detach().resolve_conj().contiguous()
    assert one.reshape(-1).view(torch.uint8).equal(other.reshape(-1).view(torch.uint8)) if made.numel() else True
    if made.numel():
        found.detach().zero_()  # its own memory


def train(model: Any, optimizer: Any, schedule: Any, steps: range) -> float:
    loss = torch.zeros(())
    for step in steps:
        torch.manual_seed(step)
        optimizer.zero_grad()
        loss = (model(torch.randn(16, 8)) ** 2).mean()
        loss.backward()
        optimizer.step()
        schedule.step()
    return loss.item()


def make() -> tuple[Any, Any, Any]:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    return model, optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 3)


def test_a_training_goes_on_as_if_nothing_had_been(be: Be) -> None:  # noqa: F811
    straight = make()
    wanted = train(*straight, range(10))
    first = make()
    train(*first, range(6))
    be().save(6, [one.state_dict() for one in first])
    train(*first, range(6, 8))  # the state is as of its save
    again = make()
    for one, state in zip(again, be(n=2).load(), strict=True):
        one.load_state_dict(state)
    assert train(*again, range(6, 10)) == wanted


def as_it_is(optimizer: Any) -> Callable[[], Any]:
    return optimizer.step


def compiled(optimizer: Any) -> Callable[[], Any]:
    return torch.compile(optimizer.step, backend="eager")


def compiled_around(optimizer: Any) -> Callable[[], Any]:
    def step() -> None:
        optimizer.step()

    return torch.compile(step, backend="eager")


@pytest.mark.parametrize("has_begun", [False, True])  # what is compiled does not know of the wait then
@pytest.mark.parametrize("step_of", [as_it_is, compiled, compiled_around])
def test_an_optimizer_waits_for_what_is_copied_beside_it(
    be: Be,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    step_of: Callable[[Any], Callable[[], Any]],
    has_begun: bool,
) -> None:
    model = torch.nn.Linear(600, 600)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    step = step_of(optimizer)
    if has_begun:
        model(torch.ones(600)).sum().backward()
        step()
    may, real = threading.Event(), capture.copy_one_by_one
    monkeypatch.setattr(capture, "copy_one_by_one", lambda copies: (may.wait(), real(copies)))
    kept, before = be(), model.weight.detach().clone()
    kept.save(1, model.state_dict(), beside=True)
    model(torch.ones(600)).sum().backward()
    threading.Timer(0.05, may.set).start()
    step()
    assert may.is_set() and not torch.equal(model.weight, before)
    assert torch.equal(kept.load()["weight"], before)
    may.clear()
    kept.save(2, model.state_dict(), beside=True)
    with torch.no_grad():
        model.weight.mul_(2.0)
    may.set()
    with pytest.raises(DefinitionError, match="weight was changed while it was copied"):
        kept.wait()
    assert torch.equal(kept.load()["weight"], before), "it is none"


def test_its_files_are_read_by_safetensors_and_tied_weights_stay_tied(be: Be) -> None:  # noqa: F811
    safetensors = pytest.importorskip("safetensors.torch")
    embedding, kept = torch.nn.Embedding(50, 8), be()
    head = torch.nn.Linear(8, 50, bias=False)
    head.weight = embedding.weight
    kept.save(1, {"model": {"embedding": embedding.state_dict(), "head": head.state_dict()}})
    found = kept.load()["model"]
    assert found["embedding"]["weight"].data_ptr() == found["head"]["weight"].data_ptr()
    (path,) = kept.dir.rglob("*.safetensors")
    assert next(iter(safetensors.load_file(path).values())).equal(embedding.weight)


@pytest.mark.parametrize(
    ("make_state", "says"),
    [
        (lambda: {"o": {"x": [make()[1]]}}, r"^state\['o'\]\['x'\]\[0\]: .*AdamW"),
        (lambda: torch.eye(3).to_sparse(), "^state: a tensor of layout torch.sparse_coo"),
        (lambda: {"w": torch.empty(3, device="meta")}, r"^state\['w'\]: a tensor on the device 'meta'"),
    ],
)
def test_what_is_more_than_its_memory_is_refused(be: Be, make_state: Any, says: str) -> None:  # noqa: F811
    with pytest.raises(DefinitionError, match=says):
        be().save(1, make_state())


def test_a_tensor_that_is_divided_among_ranks_says_what_to_keep_instead(be: Be) -> None:  # noqa: F811
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        net = fully_shard(torch.nn.Linear(4, 1), mesh=init_device_mesh("cpu", (1,)))
        with pytest.raises(DefinitionError, match=r"state\['net'\]\['weight'\]: a DTensor is divided among the ranks") as caught:
            be().save(1, {"net": net.state_dict()})
        assert "full_tensor()" in caught.value.hint
        assert "torch.distributed.checkpoint.save(state, checkpoint_id=fw.checkpoint.dir" in caught.value.hint
        kept = be()
        kept.save(1, {name: each.full_tensor() for name, each in net.state_dict().items()})
        assert torch.equal(kept.load()["weight"], net.weight.full_tensor())
    finally:
        dist.destroy_process_group()


def test_jax(be: Be) -> None:  # noqa: F811
    jax = pytest.importorskip("jax")
    import jax.numpy as jnp

    state = {
        "w": jnp.arange(6, dtype=jnp.bfloat16).reshape(2, 3),
        "key": jax.random.key(3),
        "f8": jnp.ones(3, dtype=jnp.float8_e4m3fn),
        "i4": jnp.ones(3, dtype=jnp.int4),
    }
    kept = be()
    kept.save(1, state)
    found = kept.load()
    assert all(isinstance(found[name], jax.Array) and found[name].dtype == state[name].dtype for name in state)
    assert (found["w"] == state["w"]).all() and (found["i4"] == state["i4"]).all()
    assert float(jax.random.uniform(found["key"])) == float(jax.random.uniform(state["key"]))


def test_tensorflow_and_keras(be: Be) -> None:  # noqa: F811
    tf = pytest.importorskip("tensorflow")
    state = {
        "v": tf.Variable([1.0, 2.0], trainable=False, name="v"),
        "t": tf.constant([[1, 2]], dtype=tf.int64),
        "b": tf.ones(3, tf.bfloat16),
    }
    kept = be()
    kept.save(1, state)
    found = kept.load()
    assert isinstance(found["v"], tf.Variable) and not found["v"].trainable and found["v"].numpy().tolist() == [1.0, 2.0]
    assert found["t"].dtype == tf.int64 and found["t"].numpy().tolist() == [[1, 2]] and found["b"].dtype == tf.bfloat16
    with pytest.raises(DefinitionError, match="a tensor of strings"):
        kept.save(2, tf.constant(["a"]))


def test_models_of_other_libraries_are_kept_as_steps_keep_them(be: Be) -> None:  # noqa: F811
    xgboost = pytest.importorskip("xgboost")
    from sklearn.linear_model import LogisticRegression

    x, y = np.random.default_rng(0).normal(size=(50, 3)), np.arange(50) % 2
    booster = xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(x, y), 3)
    model = LogisticRegression().fit(x, y)
    be().save(1, {"booster": booster, "model": model})
    found = be(n=2).load()
    assert np.array_equal(found["booster"].predict(xgboost.DMatrix(x)), booster.predict(xgboost.DMatrix(x)))
    assert np.array_equal(found["model"].predict(x), model.predict(x))


class Squares(torch.utils.data.Dataset):  # type: ignore[misc]
    def __len__(self) -> int:
        return 23

    def __getitem__(self, number: int) -> tuple[int, int]:
        return number, number * number


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_reads_ahead_and_a_shard_still_knows_where_it_stands(workers: int) -> None:
    data = fw.shard(Squares(), batch=4, epochs=2, seed=1)
    loaded = iter(data.loader(num_workers=workers))
    seen = [next(loaded) for _ in range(4)]
    assert data.position == 16 and all((squares == numbers**2).all() for numbers, squares in seen)
    rest = fw.shard(Squares(), batch=4, epochs=2, seed=1).resume(data.state())
    assert [batch[0].tolist() for batch in rest.loader()] == [batch[0].tolist() for batch in loaded]
    assert sorted(fw.shard(Squares(), epochs=1, seed=1).sampler()) == list(range(23))


def test_tensors_and_frames_come_in_batches_of_their_kind() -> None:
    pl = pytest.importorskip("polars")
    x, y = torch.arange(10).view(5, 2), torch.arange(5)
    batch = next(iter(fw.shard({"x": x, "y": y}, batch=2, shuffle=False)))
    assert batch["x"].tolist() == [[0, 1], [2, 3]] and batch["y"].tolist() == [0, 1]
    frame = next(iter(fw.shard(pl.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "z"]}), batch=2, shuffle=False)))
    assert frame.to_dict(as_series=False) == {"a": [1, 2], "b": ["x", "y"]}
