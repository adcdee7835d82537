"""Values that may come once only: of columns that are unique, and of keys across columns."""

from __future__ import annotations

from threading import Lock

import numpy as np

from fairway.data.batch import Batch
from fairway.data.hashing import mixed

LIMIT_BYTES = 256 << 20
_BYTES = 8


class Repeats:
    """Keeps a hash of 64 bits for each row and key. Two different values have the same hash once in about 2**64 / rows**2 tables."""

    def __init__(self, keys: list[tuple[str, ...]]) -> None:
        self.keys = keys
        self.left_out: set[tuple[str, ...]] = set()
        """Keys that were given up because the rows would not fit into memory."""
        self._parts: dict[tuple[str, ...], list[tuple[int, np.ndarray]]] = {key: [] for key in keys}
        self._held, self._lock = 0, Lock()

    def add(self, batch: Batch) -> None:
        for key in self.keys:
            if key in self.left_out or not all(name in batch.columns for name in key):
                continue
            made = hash_key(batch, key)
            with self._lock:
                self._held += len(made) * _BYTES
                if self._held > LIMIT_BYTES:
                    self.left_out.add(key)
                    self._held -= sum(len(part) for _, part in self._parts[key]) * _BYTES + len(made) * _BYTES
                    self._parts[key] = []
                else:
                    self._parts[key].append((batch.first_row, made))

    def found(self, key: tuple[str, ...], examples: int = 5) -> tuple[int, int, list[int]]:
        """(rows whose key was there before, rows looked at, the first of those rows); rows with a null in the key don't count."""
        parts = sorted(self._parts[key], key=lambda part: part[0])
        if not parts:
            return 0, 0, []
        hashes = np.concatenate([part for _, part in parts])
        present = hashes != 0
        looked = int(np.count_nonzero(present))
        ordered = np.sort(hashes)
        if not ((ordered[1:] == ordered[:-1]) & (ordered[1:] != 0)).any():
            return 0, looked, []
        order = np.argsort(hashes, kind="stable")
        again = np.zeros(len(hashes), bool)
        again[order[1:]] = hashes[order[1:]] == hashes[order[:-1]]
        again &= present
        numbers = np.concatenate([np.arange(first, first + len(part)) for first, part in parts])
        return int(np.count_nonzero(again)), looked, numbers[np.flatnonzero(again)[:examples]].tolist()


def hash_key(batch: Batch, key: tuple[str, ...]) -> np.ndarray:
    """A hash of some columns together for each row; 0 where one of them is null."""
    made = batch.columns[key[0]].hashes()
    for place, name in enumerate(key[1:], 1):
        more = batch.columns[name].hashes()
        made = np.where((made == 0) | (more == 0), np.uint64(0), mixed(made ^ (more * np.uint64(2 * place + 1))))
    return made
