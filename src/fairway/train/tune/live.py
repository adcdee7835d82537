"""What trials that run at the same time tell each other: lines of one stream, to which each adds and which each reads as it grows.

A line is JSON: `n`, the trial's number, and of it `first` (what it said in an earlier try does not count), `step` and `value` (a report),
`attrs` (of its pruner), `end` (how it ended: "succeeded", "pruned", "failed").
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fairway.errors import FairwayError

if TYPE_CHECKING:
    from fairway.spec.ports import StreamStore


class Live:
    """One trial's ear and mouth. `hears` and `says` are streams: one and the same on one machine; in a pod what it says goes to the server,
    and what it hears comes from there."""

    def __init__(self, streams: StreamStore, number: int, hears: str, says: str) -> None:
        self._streams, self._number, self._hears, self._says = streams, number, hears, says
        self._at = 0

    def say(self, said: Mapping[str, Any]) -> None:
        """One line. That others do not hear of it is no reason to fail."""
        line = json.dumps({"n": self._number, **said}, separators=(",", ":"))
        with suppress(FairwayError):
            self._streams.append(self._says, f"{line}\n".encode())

    def hear(self) -> Iterator[dict[str, Any]]:
        """What the others have said since the last time."""
        whole, end, _ = self._streams.read(self._hears, self._at).rpartition(b"\n")
        self._at += len(whole) + len(end)
        for line in whole.split(b"\n") if whole else ():
            try:
                said = json.loads(line)
            except ValueError:  # a line that came in two pieces, between which another's came
                continue
            if said["n"] != self._number:
                yield said
