"""The streams of an attempt on their way from its machine to the server, as they grow."""

from __future__ import annotations

import time
from collections.abc import Mapping

from fairway.spec.layout import STREAMS
from fairway.step.control import Control
from fairway.step.folder import FolderStreamStore

LOG_EVERY_S = 0.15
_EVERY_S = {"log": LOG_EVERY_S, "progress": 0.5, "metrics": 1.0, "samples": 5.0, "stacks": 0.5, "reports": 0.3}
PLAIN = ("log", "progress", "metrics", "samples", "reports")
OF_A_RANK = ("log", "progress", "metrics", "samples", "stacks")
_STEADY_S = 0.25  # for a log that is written all the time
_SHARE = 10  # of the time at most one part in so many is spent on asking: a server that is busy is asked less often
_PIECE_BYTES = 4 << 20


class StreamShipper:
    """The streams of one attempt. Each piece says where it belongs, so that none is kept twice, whatever is sent again.

    `stored`: how much of each stream an earlier process of this attempt has shipped from a disk that is gone.
    """

    def __init__(self, control: Control, home: str, run: str, attempt: str, stored: dict[str, int] | None = None) -> None:
        self._control, self._attempt, self._prefix = control, attempt, f"{run}/{attempt}"
        self._streams = FolderStreamStore(f"{home}/{STREAMS}")
        self._stored = stored or {}
        self._sent: dict[str, int] = {}
        self._before: dict[str, int] = {}
        self._due: dict[str, float] = {}
        self._names: dict[str, str] = {}
        self.follow({kind: kind for kind in PLAIN})

    def follow(self, names: Mapping[str, str]) -> None:
        """Ship these streams and no others: what each is called here, and what on the server."""
        for kind, name in names.items():
            if kind not in self._sent:
                self._sent[kind], self._due[kind] = 0, 0.0
                here = self._streams.size(f"{self._prefix}/{kind}")
                self._before[kind] = 0 if here else self._stored.get(name, 0)
        self._names = dict(names)

    def ship(self, *, all: bool = False) -> None:
        """Send what has grown and is due; with `all`, everything. Raises as the control channel does."""
        now = time.monotonic()
        for kind, name in self._names.items():
            if all or now >= self._due[kind]:
                sent = self._ship(kind, name)
                spent = time.monotonic() - now
                every_s = _EVERY_S[kind.partition(".")[0]]
                self._due[kind] = now + max(every_s, _STEADY_S if sent else 0.0, spent * _SHARE)

    def _ship(self, kind: str, name: str) -> bool:
        """Whether there was anything."""
        before_all = self._sent[kind]
        stream = f"{self._prefix}/{kind}"
        while self._streams.size(stream) > self._sent[kind]:
            piece = self._streams.read(stream, self._sent[kind], _PIECE_BYTES)
            before = self._before[kind]
            there = self._control.append(self._attempt, name, before + self._sent[kind], piece) - before
            self._sent[kind] = max(0, min(there, self._sent[kind] + len(piece)))
        return self._sent[kind] != before_all
