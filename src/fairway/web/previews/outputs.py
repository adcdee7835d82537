"""What runs put out, read from the ends of their journals."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock

from fairway.spec.artifact import ArtifactRef
from fairway.spec.event import RunEnded
from fairway.spec.ports import Journal, run_now
from fairway.spec.summary import RunSummary

Outputs = Sequence[tuple[str, ArtifactRef]]
KEPT = 1000
_TAIL = 64


class OutputReader:
    """Keeps the outputs of the runs that were asked for last: those of a run that has ended stay as they are until it ends again. For
    threads: it reads the journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._kept: OrderedDict[tuple[str, float], Outputs] = OrderedDict()
        self._lock = Lock()

    def read(self, row: RunSummary) -> Outputs:
        """(name, reference) of each of the run's outputs; none while it goes on."""
        if row.status == "running":
            return ()
        key = (row.run, row.ended_at)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        found = self._read(row.run)
        if row.ended_at:
            with self._lock:
                self._kept[key] = found
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
        return found

    def _read(self, run: str) -> Outputs:
        """What is labelled after a run's end stands behind it."""
        head = run_now(self._journal.head(run))
        for back in (1, _TAIL):
            for _, event in reversed(run_now(self._journal.read(run, max(0, head - back)))):
                if isinstance(event, RunEnded):
                    return tuple(event.outputs.items())
        return ()
