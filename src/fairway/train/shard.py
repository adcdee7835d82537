"""`fw.shard`: each rank of a gang its part of a data set, the same parts whenever they are asked for, from any place on.

All ranks walk through one common order of the items, a round at a time: of each round every rank takes its batch. All that is kept is one
number, how many items all ranks together have taken of the epoch; so it goes on from there with any number of ranks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from fairway.errors import DefinitionError
from fairway.step import context, pulse
from fairway.train.blocks import Cut, chunks, left_of, position_of, read_stretch, shares, slice_of
from fairway.train.order import Order, WindowedOrder, round_size, rounds, share
from fairway.train.sources import Numbered, Ranged, Streamed, open_dataset

LASTS = ("keep", "drop", "pad")
_FIELDS = frozenset({"epoch", "position", "steps", "seed", "shuffle", "size"})
_WINDOW = 16_384
"""Of items that come one after the other, so many are shuffled among themselves."""


def shard(
    dataset: Any,
    *,
    batch: int | None = None,
    shuffle: bool | int = True,
    seed: int | None = None,
    epochs: int | None = 1,
    last: str = "keep",
) -> Shard:
    """This rank's batches of `dataset`, in every epoch another order: `for batch in fw.shard((x, y), batch=64, epochs=3)`.

    `dataset`: a list, arrays, tensors or frames, a tuple or dict of several of them, `fw.read(…)`, a fw.Directory (its files), a PyTorch
    dataset, anything that can be iterated. `batch`: items for each rank (None: single items). `shuffle`: for what can only be read from
    the front a number is how many items are shuffled among themselves. `seed`: the task's if None. `epochs`: None goes on for ever.
    `last`: what becomes of items that do not fill a round of all ranks. "keep": each is given to one rank once; the ranks share them
    evenly. "drop": they are left out of this epoch. "pad": some are given twice, so that every batch is full.

    Raises DefinitionError for what cannot be read or said.
    """
    if batch is not None and (isinstance(batch, bool) or not isinstance(batch, int) or batch < 1):
        raise DefinitionError(f"batch must be a whole number from 1, not {batch!r}", hint="write fw.shard(data, batch=64)")
    if epochs is not None and (isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 0):
        raise DefinitionError(f"epochs must be a whole number, or None for no end: {epochs!r}", hint="write epochs=3")
    if last not in LASTS:
        raise DefinitionError(f"unknown last={last!r}", hint=f"write one of {', '.join(map(repr, LASTS))}")
    if not isinstance(shuffle, int) or shuffle < 0:
        raise DefinitionError(f"shuffle is True, False, or a number of items: {shuffle!r}", hint="write shuffle=10_000")
    source = open_dataset(dataset)
    if isinstance(source, Streamed) and not source.again and epochs != 1:
        raise DefinitionError("what can be iterated only once has one epoch", hint="give a list, or an object whose __iter__ begins anew")
    return Shard(source, batch, shuffle, context.context().seed if seed is None else seed, epochs, last)


class Shard:
    """What `fw.shard` gives. Iterating it goes on from where it stands: `epoch`, and `position`, the items that all ranks together have
    taken of it; `steps` counts the rounds since the beginning.

    `state()` is where it stands, a few numbers; `resume(state)` goes there. In a state for `fw.checkpoint.save` it may stand itself.
    """

    def __init__(
        self, source: Numbered | Ranged | Streamed, batch: int | None, shuffle: bool | int, seed: int, epochs: int | None, last: str
    ) -> None:
        now = context.context()
        self.rank, self.world_size = now.rank, now.world_size
        self.epoch = self.position = self.steps = 0
        self._cuts: list[Cut] = []
        self._source, self._batch, self._shuffle, self._seed, self._epochs, self._last = source, batch, shuffle, seed, epochs, last

    def __len__(self) -> int:
        """How many batches of this rank's there are until the end of the last epoch. Raises TypeError where that is not known."""
        if isinstance(self._source, Streamed) or self._epochs is None:
            raise TypeError("how many batches there will be is not known")
        if isinstance(self._source, Ranged):
            left = max(0, self._epochs - self.epoch)
            return len(self._chunks(self._source)[self._cut().rounds :]) + (left - 1) * self._whole(self._source) if left else 0
        sizes = [self._source.size - self.position, *[self._source.size] * min(1, self._epochs - self.epoch - 1)]
        counts = [rounds(size, self._each, self.rank, self.world_size, self._last) for size in sizes]
        return 0 if self.epoch >= self._epochs else counts[0] + sum(counts[1:]) * (self._epochs - self.epoch - 1)

    def __iter__(self) -> Iterator[Any]:
        while self._epochs is None or self.epoch < self._epochs:
            yield from self._one_epoch()

    def by_epoch(self) -> Iterator[tuple[int, Iterator[Any]]]:
        """(number of the epoch, its batches) of each epoch that is left; what is not taken of one is passed over."""
        while self._epochs is None or self.epoch < self._epochs:
            now = self.epoch
            yield now, self._one_epoch()
            if self.epoch == now:
                self._turn()

    def state(self) -> dict[str, Any]:
        """Where it stands: behind the last batch that was given. It holds for any number of ranks."""
        found: dict[str, Any] = {"epoch": self.epoch, "position": self.position, "steps": self.steps, "seed": self._seed}
        return {**found, "shuffle": self._shuffle, "size": self._size, "cuts": [list(cut) for cut in self._cuts]}

    @property
    def _size(self) -> int | None:
        return None if isinstance(self._source, Streamed) else self._source.size

    fairway_state = state  # how `fw.checkpoint.save` keeps it

    def resume(self, state: Mapping[str, Any] | Shard | None) -> Shard:
        """Go on from a state of this or an earlier try, whatever its world size was; from the beginning if it is None. Returns itself.

        Raises DefinitionError if that state was of other data, or is none.
        """
        if state is None:
            return self
        if isinstance(state, Shard):
            state = state.state()
        _check_state(state)
        size = self._size
        if state["size"] != size or state["shuffle"] != self._shuffle:
            raise DefinitionError(
                f"the state is of {state['size']} items with shuffle={state['shuffle']}, this data set has {size} and {self._shuffle}",
                hint="resume with the same data and the same shuffle, or begin anew",
            )
        self.epoch, self.position, self.steps, self._seed = state["epoch"], state["position"], state["steps"], state["seed"]
        self._cuts = [Cut(*cut) for cut in state.get("cuts", ())]
        return self

    def loader(self, **options: Any) -> Iterator[Any]:
        """The same batches by a PyTorch DataLoader, whose `options` these are (num_workers=4, collate_fn=…). Where this stands counts the
        batches that the training has had, not those that workers have read ahead."""
        from torch.utils.data import DataLoader

        source = self._numbered("a DataLoader")
        if source.dataset is None:
            raise DefinitionError(
                "a DataLoader reads a dataset of PyTorch, or a list", hint="iterate the shard itself: its batches are arrays already"
            )
        while self._epochs is None or self.epoch < self._epochs:
            planned = _Planned(self._rounds(source))
            given = iter(DataLoader(source.dataset, batch_sampler=planned, **options))  # type: ignore[arg-type]
            while True:
                with pulse.waiting("input"):
                    batch = next(given, planned)
                if batch is planned:
                    break
                self._note(*planned.taken.popleft())
                yield batch
            self._turn()

    def sampler(self) -> Iterator[int]:
        """The numbers of this rank's items, for a loader of another library; this stands behind the last that was asked for."""
        source = self._numbered("a sampler")
        while self._epochs is None or self.epoch < self._epochs:
            for numbers, ours, taken in self._rounds(source):
                self._note(taken, len(ours))
                yield from (numbers[place] for place in ours)
            self._turn()

    @property
    def _each(self) -> int:
        return self._batch or 1

    def _numbered(self, who: str) -> Numbered:
        if not isinstance(self._source, Numbered):
            raise DefinitionError(f"{who} needs items that can be had by number", hint="iterate the shard itself")
        return self._source

    def _one_epoch(self) -> Iterator[Any]:
        source = self._source
        rounds: Iterator[tuple[tuple[Any] | None, int, int]]
        if isinstance(source, Ranged):
            rounds = self._stretch(source)
        else:
            rounds = self._batches(source) if isinstance(source, Numbered) else self._from_front(source)
        while True:
            with pulse.waiting("input"):
                given = next(rounds, None)
            if given is None:
                break
            batch, taken, ours = given
            self._note(taken, ours)
            if batch is not None:
                yield batch[0]
        self._turn()

    def _note(self, taken: int, ours: int) -> None:
        self.position += taken
        self.steps += 1
        pulse.take(ours, self.steps)

    def _turn(self) -> None:
        self.epoch, self.position, self._cuts = self.epoch + 1, 0, []

    def _cut(self) -> Cut:
        """The division of what is left of the epoch that holds now: a new one where the ranks, or their batches, are others."""
        if not self._cuts or self._cuts[-1][:2] != (self.world_size, self._each):
            self._cuts.append(Cut(self.world_size, self._each, 0))
        return self._cuts[-1]

    def _chunks(self, source: Ranged) -> list[int]:
        self._cut()
        total = sum(stop - start for start, stop in left_of(source.size, self._cuts[:-1], self._last))
        return chunks(shares(total, self.world_size, self._each, self._last), self.rank, self._each, self._last)

    def _whole(self, source: Ranged) -> int:
        return len(chunks(shares(source.size, self.world_size, self._each, self._last), self.rank, self._each, self._last))

    def _stretch(self, source: Ranged) -> Iterator[tuple[tuple[Any] | None, int, int]]:
        """As `_batches`, of items of which each rank reads a stretch of its own."""
        cut = self._cut()
        left = left_of(source.size, self._cuts[:-1], self._last)
        divided = shares(sum(stop - start for start, stop in left), self.world_size, self._each, self._last)
        sizes = chunks(divided, self.rank, self._each, self._last)
        start, own = sum(divided[: self.rank]), divided[self.rank]
        done = sum(sizes[: cut.rounds])
        window = self._window
        order = Order(len(source.sizes), seed=self._seed, epoch=self.epoch, shuffle=bool(self._shuffle))
        pieces = list(order.take(0, len(source.sizes)))

        def begin(at: int) -> Iterator[Any]:
            for first, last in slice_of(left, start + at, start + own):
                yield from read_stretch(source, pieces, (first, last), window, (self._seed, self.epoch, bool(self._shuffle)))

        items = begin(min(done, own))
        most = max(len(chunks(divided, rank, self._each, self._last)) for rank in (0, self.world_size - 1))
        for number in range(cut.rounds, most):
            size = sizes[number] if number < len(sizes) else 0
            mine = list(islice(items, size))
            while len(mine) < size and own:  # padded with its own from the beginning
                mine += islice(begin(0), size - len(mine))
            taken = position_of(divided, number + 1, self._each, self._last) - position_of(divided, number, self._each, self._last)
            self._cuts[-1] = Cut(cut.world_size, cut.batch, number + 1)
            yield ((source.get(mine[0]) if self._batch is None else source.join(mine),) if mine else None), taken, len(mine)

    def _batches(self, source: Numbered) -> Iterator[tuple[tuple[Any] | None, int, int]]:
        """(this rank's batch in a tuple, None if it has none; what the round takes over all ranks; how many of that are in the batch)."""
        for numbers, ours, taken in self._rounds(source):
            mine = [numbers[place] for place in ours]
            if not mine:
                yield None, taken, 0
            else:
                yield (source.get(mine[0]) if self._batch is None else source.take(mine),), taken, len(mine)

    def _rounds(self, source: Numbered) -> Iterator[tuple[Any, Any, int]]:
        """(numbers of a round's items, which places of them are this rank's, how many items the round takes). Without shared padding the
        numbers are this rank's alone."""
        told: dict[str, Any] = {"seed": self._seed, "epoch": self.epoch, "shuffle": bool(self._shuffle)}
        order = WindowedOrder(source.size, source.window, **told) if source.window else Order(source.size, **told)
        at = self.position
        while taken := round_size(max(0, source.size - at), self._each, self.world_size, self._last):
            ours = share(taken, self._each, self.rank, self.world_size, self._last)
            if isinstance(ours, range):
                yield order.take(at + ours.start, at + ours.stop), range(len(ours)), taken
            else:
                yield order.take(at, at + taken), ours, taken
            at += taken

    @property
    def _window(self) -> int:
        return (_WINDOW if self._shuffle is True else self._shuffle) or _WINDOW

    def _from_front(self, source: Streamed) -> Iterator[tuple[tuple[Any] | None, int, int]]:
        """As `_batches`, of items that come from the front; by number where one rank has read them for all of this machine."""
        by_number = source.by_number(self._window, self._epochs)
        yield from self._read(source) if by_number is None else self._batches(by_number)

    def _read(self, source: Streamed) -> Iterator[tuple[tuple[Any] | None, int, int]]:
        """As `_batches`, of items that come from the front, shuffled window by window."""
        window = self._window if self._shuffle else 1
        number, skip = divmod(self.position, window)
        items = source.begin(number * window)
        ahead: deque[Any] = deque()
        ended = False
        enough = self._each * self.world_size + self.world_size
        while True:
            while not ended and len(ahead) < enough:
                held = list(islice(items, max(window, 1)))
                ended = not held
                places = Order(len(held), seed=self._seed + number, epoch=self.epoch, shuffle=bool(self._shuffle)).take(0, len(held))
                number += 1
                ahead.extend(held[place] for place in places[skip:])
                skip = 0
            taken = round_size(len(ahead), self._each, self.world_size, self._last)
            if not taken:
                return
            ours = share(taken, self._each, self.rank, self.world_size, self._last)
            round_items = [ahead.popleft() for _ in range(taken)]
            mine = [round_items[place] for place in ours]
            yield ((source.get(mine[0]) if self._batch is None else source.join(mine),) if mine else None), taken, len(mine)


def _check_state(state: Any) -> None:
    """Raises DefinitionError for what no shard can go on from; people give the whole checkpoint, of which the shard's state is a part."""
    if isinstance(state, Mapping) and state.keys() >= _FIELDS:
        return
    hint = "give it what state() said, or the part of a checkpoint where the shard was saved, as saved['data']"
    what = f"an object of type {type(state).__name__}"
    if isinstance(state, Mapping):
        what = f"a dict of {', '.join(map(repr, state)) or 'nothing'}"
        names = [name for name, value in state.items() if isinstance(value, Mapping) and value.keys() >= _FIELDS]
        if names:
            what = f"a whole checkpoint ({', '.join(map(repr, state))})"
            hint = f"give it the part where a shard was saved: resume(saved[{names[0]!r}])"
    elif hasattr(state, "load"):
        hint = "load it, and give the part where the shard was saved: resume(fw.checkpoint.load()['data'])"
    raise DefinitionError(f"resume() takes where a shard stood, not {what}", hint=hint)


class _Planned:
    """An epoch's batches for a loader that runs ahead. `taken`: of each round that it has asked for how many items it takes, over all
    ranks and of this one's."""

    def __init__(self, rounds: Iterator[tuple[Any, Any, int]]) -> None:
        self._rounds = rounds
        self.taken: deque[tuple[int, int]] = deque()

    def __iter__(self) -> Iterator[list[int]]:
        for numbers, ours, taken in self._rounds:
            if len(ours):
                self.taken.append((taken, len(ours)))
                yield [numbers[place] for place in ours]
