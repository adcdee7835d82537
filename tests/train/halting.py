"""A table that comes to a halt: `python halting.py BATCHES PATH` reads it into PATH, and waits for ever after so many batches."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator

from fairway.data.batch import Batch
from fairway.data.sources.rejects import Rejects
from fairway.train.shardrows import share_rows

BATCHES, EACH = 10, 5_000


class Halting:
    """Numbers; `batches` -1: it does not halt."""

    uri = "numbers"

    def __init__(self, batches: int = -1) -> None:
        self.rejects, self._halt = Rejects(), batches

    def batches(self, *, rows: int) -> Iterator[Batch]:
        del rows
        for number in range(BATCHES + 1):
            if number == self._halt:
                print("halted", flush=True)
                signal.pause()
            if number < BATCHES:
                yield Batch.of({"n": list(range(number * EACH, (number + 1) * EACH))})


if __name__ == "__main__":
    share_rows(Halting(int(sys.argv[1])), sys.argv[2], 64)  # type: ignore[arg-type]
