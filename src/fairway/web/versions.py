"""Versions of a pipeline: runs with the same graph and code are of one. Told from the first event of each run, which never changes."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

import msgspec

from fairway.errors import ConflictError
from fairway.spec.event import RunStarted
from fairway.spec.ports import Journal
from fairway.spec.query import RecentRun
from fairway.spec.record import Record, record

KEPT = 20_000
_LABEL = 8


class _Started(msgspec.Struct):
    """What a version is told from; the rest of the event is not read."""

    graph: msgspec.Raw
    bundle: str = ""
    source: str = ""


_FIRST = msgspec.json.Decoder(list[tuple[str, msgspec.Raw]])
_STARTED = msgspec.json.Decoder(_Started)


@record
class Version(Record):
    """`label`: a short name for it. `runs`: newest first. `source`: the file it was started from, "" if unknown."""

    label: str
    bundle: str
    source: str
    runs: tuple[RecentRun, ...]

    @property
    def first_at(self) -> float:
        """When it was first run, of the runs that were looked at."""
        return self.runs[-1].started_at


class VersionReader:
    """Tells versions of runs, and remembers them: some 100 bytes a run, of `KEPT` runs at most."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._known: OrderedDict[str, tuple[str, str, str]] = OrderedDict()

    async def group(self, runs: Sequence[RecentRun]) -> list[Version]:
        """The versions of these runs, that of the newest run first."""
        found: dict[str, list[RecentRun]] = {}
        about: dict[str, tuple[str, str, str]] = {}
        for run in runs:
            known = await self._tell(run.run)
            if known is not None:
                about[known[0]] = known
                found.setdefault(known[0], []).append(run)
        return [Version(label, about[label][1], about[label][2], tuple(some)) for label, some in found.items()]

    async def _tell(self, run: str) -> tuple[str, str, str] | None:
        """(label, bundle, source), None if the run has been deleted meanwhile."""
        if run in self._known:
            self._known.move_to_end(run)
            return self._known[run]
        batches = await self._journal.read_text(run, 0, 1)
        if not batches:
            return None
        _, fields = _FIRST.decode(batches[0][1])[0]
        started = _STARTED.decode(fields)
        label = hashlib.blake2b(bytes(started.graph) + started.bundle.encode()).hexdigest()[:_LABEL]
        self._known[run] = label, started.bundle, started.source
        if len(self._known) > KEPT:
            self._known.popitem(last=False)
        return self._known[run]


async def read_started(journal: Journal, run: str) -> RunStarted:
    """The start of a run. Raises ConflictError if its journal does not begin with one."""
    for _, event in await journal.read(run, 0, 1):
        if isinstance(event, RunStarted):
            return event
    raise ConflictError(f"the journal of {run} does not begin with its start", hint="start the pipeline anew: fairway run FILE")
