"""What a search knows already, as Optuna's trials: each block of trials that have ended is read and made once in a process, and is there in
whatever is forked from that. Nothing of it is kept anywhere else: who has none makes it anew from the same blocks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fairway.step import plainjson
from fairway.train.tune.past import Past, make_distributions

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

_MOST_SEARCHES = 8


class Block:
    """Trials in a row, from number `first` of the search on. `well`: one of them ended well and lacked no metric."""

    __slots__ = ("entries", "first", "trials", "well")

    def __init__(self, entries: Sequence[Mapping[str, Any]], trials: Sequence[FrozenTrial]) -> None:
        self.first: int = entries[0]["index"]
        self.entries, self.trials = entries, trials
        self.well = any(entry["status"] == "succeeded" and not entry.get("lacks") for entry in entries)


class Shelf:
    """The blocks of one search by the paths of their files, and the trials known before it."""

    def __init__(self, search: Mapping[str, Any]) -> None:
        self._directions: Sequence[str] = search["directions"]
        self.distributions: dict[str, BaseDistribution] = make_distributions(search["space"])
        self._blocks: dict[str, Block] = {}
        before = self._past()
        before.add_known(search.get("prior", ()))
        self._prior: list[FrozenTrial] = before.trials

    def _past(self, number: int = 0) -> Past:
        return Past(self._directions, self.distributions, number)

    def block(self, path: str) -> Block:
        """The block in that file, whose content never changes."""
        found = self._blocks.get(path)
        if found is None:
            with open(path, "rb") as file:
                entries: list[dict[str, Any]] = plainjson.parse(file.read())
            past = self._past(len(self._prior) + entries[0]["index"])
            for entry in entries:
                past.add(entry)
            found = self._blocks[path] = Block(entries, past.trials)
        return found

    def past(self, rest: Sequence[Mapping[str, Any]], blocks: Sequence[Block]) -> Past:
        """The trials known beforehand, then those of this search: `rest` are entries of those in no block."""
        past = self._past()
        past.trials += self._prior
        past.offset = len(past.trials)
        waiting = sorted(blocks, key=lambda block: block.first, reverse=True)
        for entry in rest:
            while waiting and waiting[-1].first < entry["index"]:
                past.trials += waiting.pop().trials
            past.add(entry)
        for block in reversed(waiting):
            past.trials += block.trials
        return past


_shelves: dict[str, Shelf] = {}


def shelf_of(search: Mapping[str, Any]) -> Shelf:
    """That of this search in this process."""
    key = json.dumps([search["space"], search["directions"], search.get("prior", ())])
    found = _shelves.get(key)
    if found is None:
        if len(_shelves) >= _MOST_SEARCHES:
            _shelves.pop(next(iter(_shelves)))
        found = _shelves[key] = Shelf(search)
    return found
