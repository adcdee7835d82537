"""`fw.shard`: every item exactly once over all ranks, whatever the sizes, worlds and places where it goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fairway as fw
from fairway.data import pieces
from fairway.errors import DefinitionError
from fairway.step import context
from fairway.train.order import Order, round_size, rounds, share
from fairway.train.shard import Shard
from fairway.train.sources import Ranged, Streamed

SIZES, BATCHES, WORLDS = st.integers(0, 120), st.integers(1, 9), st.integers(1, 7)


class Once:
    """Something that can only be iterated; from the front, as often as one likes."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.size))


def be(rank: int, world_size: int, seed: int = 7) -> None:
    """This process is a rank now."""
    now = context.Context()
    now.run, now.task, now.rank, now.world_size, now.seed = "r", "train", rank, world_size, seed
    context.enter(now, None, trust=False)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def nobody() -> Iterator[None]:
    yield
    context.leave()


def sharded(rank: int, world_size: int, *args: Any, **options: Any) -> Any:
    be(rank, world_size)
    return fw.shard(*args, **options)


def dataset(size: int, streamed: bool) -> Any:
    return Once(size) if streamed else list(range(size))


def flat(batches: Any) -> list[int]:
    return [item for batch in batches for item in batch]


@given(SIZES, BATCHES, WORLDS, st.booleans(), st.sampled_from([True, False, 16]))
def test_every_item_is_one_ranks_once_an_epoch(size: int, batch: int, world: int, streamed: bool, shuffle: bool | int) -> None:
    if size == 0 and streamed:
        size = 1
    parts = [flat(sharded(rank, world, dataset(size, streamed), batch=batch, shuffle=shuffle)) for rank in range(world)]
    assert sorted(flat(parts)) == list(range(size))


@given(
    SIZES,
    BATCHES,
    st.lists(st.tuples(WORLDS, st.integers(0, 6)), min_size=1, max_size=4),
    st.booleans(),
    st.sampled_from(["keep", "drop", "pad"]),
)
def test_it_goes_on_in_another_world_without_a_gap_or_a_repeat(
    size: int, batch: int, worlds: list[tuple[int, int]], streamed: bool, last: str
) -> None:
    state, seen = None, []
    for world, steps in [*worlds, (worlds[-1][0], 10_000)]:
        states = []
        for rank in range(world):
            data = sharded(rank, world, dataset(size, streamed), batch=batch, last=last, shuffle=16 if streamed else True).resume(state)
            batches = iter(data)
            while data.steps < (state or {"steps": 0})["steps"] + steps and (got := next(batches, None)) is not None:
                seen += got
            while data.position < max((one["position"] for one in states if one["epoch"] == data.epoch), default=0):
                if next(batches, None) is None:
                    break
            states.append(data.state())
        state = max(states, key=lambda one: (one["epoch"], one["position"]))
        if state["epoch"]:
            break
    counts = [seen.count(item) for item in range(size)]
    if last == "keep":
        assert counts == [1] * size
    elif last == "drop":
        assert max(counts, default=0) <= 1
    else:
        assert min(counts, default=1) >= 1


@given(SIZES, st.integers(2, 9), WORLDS)
def test_no_rank_waits_for_one_that_has_nothing_where_that_can_be_had(size: int, batch: int, world: int) -> None:
    counts = [len(list(sharded(rank, world, list(range(size)), batch=batch))) for rank in range(world)]
    assert len(set(counts)) == 1 or size < world


@given(SIZES, BATCHES, WORLDS, st.sampled_from(["keep", "drop", "pad"]), st.integers(0, 3))
def test_its_length_is_how_many_batches_come(size: int, batch: int, world: int, last: str, epochs: int) -> None:
    for rank in range(world):
        data = sharded(rank, world, list(range(size)), batch=batch, last=last, epochs=epochs)
        assert len(data) == len(list(data))


@given(st.integers(1, 5_000_000), st.integers(0, 2**64), st.integers(0, 3))
@settings(max_examples=40)
def test_a_large_order_is_the_same_with_and_without_numpy(size: int, seed: int, epoch: int) -> None:
    order = Order(size + (1 << 16), seed=seed, epoch=epoch)
    start = size // 2
    many = order.take(start, start + 40)
    assert list(many) == [number for place in range(start, start + 40) for number in order.take(place, place + 1)]


@pytest.mark.parametrize("size", [1, 2, 10, 1000, 70_000, 300_000])
def test_an_order_is_a_permutation_and_another_in_each_epoch(size: int) -> None:
    first, second = (list(Order(size, seed=3, epoch=epoch).take(0, size)) for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(size))
    assert (first != second) == (size > 2 or first != second)
    if size >= 1000:  # neighbours are not neighbours any more, and the halves are mixed
        assert sum(abs(a - b) == 1 for a, b in pairwise(first)) < size * 0.01
        assert abs(sum(number < size / 2 for number in first[: size // 2]) / (size // 2) - 0.5) < 0.05


def test_pads_and_drops_where_it_is_told_to() -> None:
    padded = [list(sharded(rank, 3, list(range(10)), batch=2, shuffle=False, last="pad")) for rank in range(3)]
    assert padded == [[[0, 1], [6, 7]], [[2, 3], [8, 9]], [[4, 5], [6, 7]]]
    dropped = [list(sharded(rank, 3, list(range(10)), batch=2, shuffle=False, last="drop")) for rank in range(3)]
    assert dropped == [[[0, 1]], [[2, 3]], [[4, 5]]]
    assert round_size(10, 2, 3, "keep") == 6 and list(share(4, 2, 1, 3, "keep")) == [2] and rounds(10, 2, 0, 3, "drop") == 1


def test_each_kind_of_data_comes_as_it_is(tmp_path: Path) -> None:
    import pandas as pd
    import pyarrow as pa

    def first(data: Any, **options: Any) -> Any:
        return next(iter(sharded(0, 1, data, batch=2, shuffle=False, **options)))

    x, y = np.arange(10).reshape(5, 2), np.arange(5)
    assert first(x).tolist() == [[0, 1], [2, 3]]
    both = first((x, y))
    assert both[0].shape == (2, 2) and both[1].tolist() == [0, 1]
    assert first({"x": x, "y": y})["y"].tolist() == [0, 1]
    assert first((["a", "b", "c"], np.arange(3)))[0] == ["a", "b"], "texts and their labels"
    columns = {"a": [1, 2, 3], "b": ["x", "y", "z"]}
    assert first(columns) == {"a": [1, 2], "b": ["x", "y"]}
    assert first(pd.DataFrame(columns)).to_dict("list") == {"a": [1, 2], "b": ["x", "y"]}
    assert first(pa.table(columns)).to_pydict() == {"a": [1, 2], "b": ["x", "y"]}
    table = first(fw.read(columns))
    assert table["a"].dtype == np.int64 and table["a"].tolist() == [1, 2] and table["b"] == ["x", "y"]
    gaps = first(fw.read({"a": [1, None], "b": [True, False]}))
    assert gaps["a"].dtype == np.float64 and np.isnan(gaps["a"][1]) and gaps["b"].tolist() == [True, False]
    assert next(iter(sharded(0, 1, fw.read(columns), shuffle=False))) == {"a": 1, "b": "x"}
    for name in ("b.txt", "a.txt", "c.txt"):
        (tmp_path / name).write_text(name)
    assert [os.path.basename(one) for one in first(fw.Directory(tmp_path))] == ["a.txt", "b.txt"]
    assert first("abc") == ["a", "b"]
    assert list(sharded(0, 2, ["a", "b", "c"], shuffle=False)) == ["a", "c"]


def test_a_table_larger_than_its_window_is_read_once_by_all_ranks(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("n\n" + "\n".join(map(str, range(30_000))))
    seen: list[int] = []
    for rank in range(3):
        for batch in sharded(rank, 3, fw.read(path), batch=64, shuffle=1000):
            seen += batch["n"].tolist()
    assert sorted(seen) == list(range(30_000)) and seen[:2000] != sorted(seen[:2000])


def test_the_order_is_the_tasks_and_every_rank_has_the_same() -> None:
    def order(of_task: int, **options: Any) -> list[int]:
        be(0, 1, of_task)
        return flat(fw.shard(list(range(50)), batch=5, **options))

    assert order(1) == order(1) != order(2)
    assert order(1, seed=9) == order(2, seed=9)


def test_epochs_go_on_one_by_one() -> None:
    be(0, 1)
    data = fw.shard(list(range(6)), batch=4, epochs=3)
    found = [(number, [len(batch) for batch in batches]) for number, batches in data.by_epoch()]
    assert found == [(0, [4, 2]), (1, [4, 2]), (2, [4, 2])]
    data = fw.shard(list(range(6)), batch=4, epochs=3)
    assert [next(batches) is not None for _, batches in data.by_epoch()] == [True] * 3, "one that is left early is over"


def test_it_stands_in_a_checkpoint_as_where_it_is() -> None:
    be(0, 1)
    context.leave()
    data = fw.shard(list(range(100)), batch=10, epochs=2)
    batches = iter(data)
    for _ in range(13):
        next(batches)
    fw.checkpoint.save(13, {"data": data, "loss": 0.5})
    saved = fw.checkpoint.load()
    again = fw.shard(list(range(100)), batch=10, epochs=2).resume(saved["data"])
    assert (again.epoch, again.position, again.steps) == (1, 30, 13)
    assert list(again) == list(batches)


@pytest.mark.parametrize(
    ("data", "options", "says"),
    [
        (iter([1, 2]), {"epochs": 2}, "iterated only once"),
        ({"a": 1}, {}, "cannot read a builtins.dict"),
        ([1], {"batch": 0}, "batch must be"),
        ([1], {"last": "x"}, "unknown last='x'"),
        ([1], {"epochs": -1}, "epochs must be"),
        ((np.arange(3), np.arange(4)), {}, "different lengths: 0: 3, 1: 4"),
        ((["a", "b"], ["c"]), {}, "different lengths: 0: 2, 1: 1"),
    ],
)
def test_what_it_cannot_do_is_said(data: Any, options: dict[str, Any], says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        fw.shard(data, **options)


def test_a_state_of_other_data_is_refused() -> None:
    state = fw.shard(list(range(5))).state()
    with pytest.raises(DefinitionError, match="the state is of 5 items"):
        fw.shard(list(range(6))).resume(state)


@pytest.mark.parametrize(
    ("state", "says", "hint"),
    [
        ({"data": fw.shard([1]).state(), "net": {}}, "not a whole checkpoint ('data', 'net')", "resume(saved['data'])"),
        ({"net": {}}, "not a dict of 'net'", "saved['data']"),
        ("here", "type str", "what state() said"),
        (4, "type int", "what state() said"),
    ],
)
def test_what_is_no_state_is_refused_by_name(state: Any, says: str, hint: str) -> None:
    data = fw.shard(list(range(6)))
    with pytest.raises(DefinitionError) as refused:
        data.resume(state)
    assert says in refused.value.message and hint in refused.value.hint
    assert data.steps == 0


def test_another_shard_is_a_state() -> None:
    before = fw.shard(list(range(6)), batch=2)
    next(iter(before))
    assert fw.shard(list(range(6)), batch=2).resume(before).position == before.position == 2


SIZED = st.lists(st.integers(1, 40), min_size=1, max_size=5)


def ranged(sizes: list[int], read: list[tuple[int, int, int]] | None = None) -> Ranged:
    """Numbers in pieces; `read` notes what is read of them."""

    def items(piece: int, start: int, stop: int) -> Iterator[int]:
        if read is not None:
            read.append((piece, start, stop))
        first = sum(sizes[:piece])
        return iter(range(first + start, first + stop))

    return Ranged(sizes, items, list, lambda item: item)


def stretches(sizes: list[int], rank: int, world: int, batch: int, last: str = "keep", **options: Any) -> Shard:
    be(rank, world)
    return Shard(ranged(sizes, **options), batch, 8, 7, 1, last)


@given(SIZED, st.lists(st.tuples(WORLDS, BATCHES, st.integers(0, 4)), min_size=1, max_size=4), st.sampled_from(["keep", "drop", "pad"]))
def test_stretches_are_divided_anew_without_a_gap_or_a_repeat(sizes: list[int], worlds: list[tuple[int, int, int]], last: str) -> None:
    state, seen, size = None, [], sum(sizes)
    for world, batch, steps in [*worlds, (*worlds[-1][:2], 10_000)]:
        states = []
        for rank in range(world):
            data = stretches(sizes, rank, world, batch, last).resume(state)
            batches, known = iter(data), len(data)
            end = data.steps + steps
            got = []
            while data.steps < end and (each := next(batches, None)) is not None:
                got.append(each)
            assert len(got) == known or (steps < 10_000 and len(got) <= min(known, steps))
            seen += flat(got)
            states.append(data.state())
        state = next((one for one in states if not one["epoch"]), states[0])
        if state["epoch"]:
            break
    counts = [seen.count(item) for item in range(size)]
    assert max(counts) <= 1 if last == "drop" else min(counts) >= 1 if last == "pad" else counts == [1] * size


def test_each_rank_reads_its_stretch_and_little_more() -> None:
    sizes, orders = [1000] * 12, []
    for rank in range(4):
        read: list[tuple[int, int, int]] = []
        orders.append(flat(stretches(sizes, rank, 4, 50, read=read)))
        assert 3000 <= sum(stop - start for _, start, stop in read) <= 3000 + 2 * 8
    assert sorted(flat(orders)) == list(range(12_000)) and orders[0] != sorted(orders[0])


def test_ranks_read_their_row_groups_of_parquet_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for number in range(2):
        rows = range(number * 4000, (number + 1) * 4000)
        pq.write_table(pa.table({"n": list(rows), "t": [f"r{row}" for row in rows]}), tmp_path / f"{number}.parquet", row_group_size=1000)
    read: list[int] = []
    real = pieces.read_piece
    monkeypatch.setattr(
        pieces, "read_piece", lambda table, piece, start, stop: (read.append(stop - start), real(table, piece, start, stop))[1]
    )
    seen: list[int] = []
    for rank in range(4):
        read.clear()
        for batch in sharded(rank, 4, fw.read(tmp_path), batch=64, shuffle=100):
            assert batch["t"] == [f"r{row}" for row in batch["n"]]
            seen += batch["n"].tolist()
        assert sum(read) == 2000
    assert sorted(seen) == list(range(8000))
    assert sharded(0, 1, fw.read(tmp_path).where("n < 5"), batch=10)._source.__class__ is Streamed, "what is left of it nobody knows before"
