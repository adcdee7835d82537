"""What a driver needs of the world, in one record."""

from __future__ import annotations

from fairway.spec.ports import ArtifactStore, Executor, Journal, StreamStore
from fairway.spec.record import Record, record


@record
class Services(Record):
    """The ports of one target. `home` is the local Fairway home ("" if none). `window`: attempts handed to the executor at once, at
    most. `inbox_every_s`: how soon a command from another process is seen while nothing else happens."""

    home: str
    journal: Journal
    artifacts: ArtifactStore
    streams: StreamStore
    executor: Executor
    window: int = 256
    grace_s: float = 10.0
    python: str = ""
    inbox_every_s: float = 0.5
