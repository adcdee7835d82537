"""What is saved comes back as it was, as of the moment of the save."""

from __future__ import annotations

import collections
import datetime
import json
import struct
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fairway.errors import DefinitionError
from fairway.train.checkpoints import Checkpoints
from fairway.train.checkpoints import arena as arena_module
from fairway.train.checkpoints import capture as capture_module
from tests.train.checkpoints.conftest import Ranks

Be = Callable[..., Checkpoints]

ARRAYS = [
    np.arange(6, dtype=">i4").reshape(2, 3).T,
    np.array(3.5, dtype=np.float16),
    np.empty((0, 4)),
    np.arange(100.0)[10:20:3],
    np.array([1 + 2j], dtype=np.complex128),
    np.array([1 + 2j], dtype=np.complex64),
    np.array(["a", "bcd"]),
    np.array(["2026-01-01", "NaT"], dtype="M8[D]"),
    np.zeros(2, dtype=[("a", "i4"), ("b", "f8", (2,))]),
    np.array([True, False]),
    np.array([1, 65535], dtype=np.uint16),
    np.array([1, 2], dtype=np.longdouble),
    np.asfortranarray(np.arange(12).reshape(3, 4)),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda one: f"{one.dtype}-{one.shape}")
def test_an_array_comes_back_as_it_was(be: Be, array: Any) -> None:
    kept = be()
    kept.save(1, {"x": array})
    found = kept.load()["x"]
    assert found.dtype == array.dtype and found.shape == array.shape
    np.testing.assert_array_equal(found, array)
    if found.size and not found.dtype.names:
        found[...] = found  # its own memory


TREES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(max_size=3000),
        hnp.arrays(hnp.scalar_dtypes(), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.tuples(inner, inner),
        st.dictionaries(st.one_of(st.text(max_size=4), st.integers(), st.tuples(st.integers(), st.booleans())), inner, max_size=4),
    ),
    max_leaves=12,
)  # fmt: skip


@given(state=TREES)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_tree_comes_back_as_it_was(ranks: Ranks, state: Any) -> None:
    kept = ranks.be()
    kept.keep(last=1)
    kept.save(1, state)
    assert_same(kept.load(), state)


def assert_same(found: Any, made: Any) -> None:
    assert type(found) is type(made)
    if isinstance(made, np.ndarray):
        assert found.dtype == made.dtype and found.shape == made.shape and found.tobytes() == made.tobytes()
    elif isinstance(made, dict):
        assert list(found) == list(made)
        for key in made:
            assert_same(found[key], made[key])
    elif isinstance(made, list | tuple):
        assert len(found) == len(made)
        for one, other in zip(found, made, strict=True):
            assert_same(one, other)
    else:
        assert found == made or repr(found) == repr(made) == "nan"


def test_other_values_are_kept_as_a_step_would(be: Be) -> None:
    import pandas as pd

    state = {
        "frame": pd.DataFrame({"a": [1, 2]}),
        "when": datetime.date(2026, 1, 2),
        "rng": np.random.default_rng(3).bit_generator.state,
        "ordered": collections.OrderedDict(b=1, a=2),
        "legacy": np.random.RandomState(3).get_state(),
    }
    kept = be()
    kept.save(1, state)
    found = be(n=2).load()
    assert found["frame"].equals(state["frame"])
    assert (found["when"], found["rng"], found["ordered"]) == (state["when"], state["rng"], state["ordered"])
    assert np.array_equal(found["legacy"][1], state["legacy"][1])


def test_one_memory_under_two_names_is_written_once_and_is_one_again(be: Be) -> None:
    kept, tied = be(), np.arange(1000)
    kept.save(1, {"a": tied, "b": [tied, tied[:]], "c": tied[1:]})
    found = kept.load()
    assert found["a"] is found["b"][0] is found["b"][1] and found["c"].tolist() == tied[1:].tolist()


def test_a_state_may_be_changed_as_soon_as_save_returns(be: Be, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arena_module, "_ALONE_BYTES", 1)  # by several threads
    kept, weights = be(), np.full(3_000_000, 1.0)
    for step in range(4):
        state = {"weights": weights, "steps": [step]}
        kept.save(step, state)
        weights += 1.0
        state["steps"].append("changed")
    found = {one.step: one.load() for one in kept.all()}
    assert {step: (value["weights"].min(), value["weights"].max(), value["steps"]) for step, value in found.items()} == {
        step: (step + 1.0, step + 1.0, [step]) for step in (1, 2, 3)
    }


def test_beside_the_training_a_state_is_copied_until_that_is_waited_for(be: Be, monkeypatch: pytest.MonkeyPatch) -> None:
    may, real = threading.Event(), capture_module.copy_one_by_one
    monkeypatch.setattr(capture_module, "copy_one_by_one", lambda copies: (may.wait(), real(copies)))
    kept, weights, mean = be(), np.full(300_000, 1.0), np.full(100, 1.0)
    kept.save(1, {"weights": weights, "rest": weights[::2], "mean": mean}, beside=True)
    weights[0] = 7.0  # too early: NumPy does not tell
    mean += 1.0  # so small that it was copied at once
    threading.Timer(0.05, may.set).start()
    kept.copied()
    assert may.is_set()
    weights[:] = 9.0
    found = kept.load()
    assert (found["weights"][0], found["weights"][1:].max(), found["rest"].max(), found["mean"].max()) == (7.0, 1.0, 1.0, 1.0)


def test_its_files_are_what_others_read_as_safetensors(ranks: Ranks) -> None:
    kept = ranks.be()
    kept.save(1, {"model": {"fc": {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.array([True])}}})
    (path,) = ranks.home.rglob("*.safetensors")
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    one = header["model.fc.weight"]
    assert (one["dtype"], one["shape"]) == ("F32", [2, 3]) and header["model.fc.bias"]["dtype"] == "BOOL"
    start, end = one["data_offsets"]
    assert np.frombuffer(data[8 + length + start : 8 + length + end], "<f4").tolist() == [0, 1, 2, 3, 4, 5]
    assert max(each["data_offsets"][1] for name, each in header.items() if name != "__metadata__") == len(data) - 8 - length


class Optimizer:
    def state_dict(self) -> dict[str, int]:
        return {}


@pytest.mark.parametrize(
    ("state", "says", "hint"),
    [
        ({"optimizer": {"x": [1, object()]}}, r"^state\['optimizer'\]\['x'\]\[1\]: ", "numbers, text"),
        ({"optimizer": Optimizer()}, r"^state\['optimizer'\]: ", "load_state_dict"),
        ([np.ma.array([1, 2], mask=[True, False])], r"^state\[0\]: a masked array", "mask"),
        ({"f": lambda: 0}, r"^state\['f'\]: ", ""),
    ],
)
def test_what_cannot_be_kept_is_named_by_its_place(be: Be, ranks: Ranks, state: Any, says: str, hint: str) -> None:
    kept = be()
    kept.save(1, "good")
    with pytest.raises(DefinitionError, match=says) as refused:
        kept.save(2, state)
    assert hint in refused.value.hint
    assert kept.load() == "good" and len(ranks.folders()) == 1


def test_a_state_that_contains_itself_is_refused(be: Be) -> None:
    state: list[Any] = []
    state.append(state)
    with pytest.raises(DefinitionError, match="contains itself"):
        be().save(1, state)


@pytest.mark.parametrize("step", [-1, 1.5, "3", True])
def test_a_step_is_a_whole_number(be: Be, step: Any) -> None:
    with pytest.raises(DefinitionError, match="the step must be a whole number"):
        be().save(step, 1)


def test_nothing_is_pickled_and_nothing_warns(be: Be) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept = be()
        kept.save(np.int64(3), {"x": np.arange(3)}, metrics={"auc": np.float32(0.5)})
        assert kept.latest().metrics == {"auc": 0.5}  # type: ignore[union-attr]
