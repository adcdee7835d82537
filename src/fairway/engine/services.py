"""What a driver needs of the world, in one record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from fairway.spec.graph import Graph
from fairway.spec.ports import ArtifactStore, Executor, Journal, StreamStore
from fairway.spec.record import Record, record


class Place(Protocol):
    """What a target has to say of a submission before anything runs, and what it must be told. `machine`: what it is called in words."""

    @property
    def machine(self) -> str: ...
    def check_graph(self, graph: Graph) -> None:
        """Raises UserError for what would fail there."""
        ...

    def check_secrets(self, wanted: Mapping[str, str]) -> None:
        """`wanted`: name -> where it is asked for. Raises NotFoundError that names all that are not there."""
        ...

    def accept(self, graph: Graph, bundle: str, folder: str, secrets: Sequence[str], facts: Mapping[str, Any]) -> None:
        """Have there what attempts need beside their inputs. `folder`: where the user edits the bundle's files; `facts`: as recorded."""
        ...


@record
class Services(Record):
    """The ports of one target. `home` is the local Fairway home ("" if none). `window`: attempts handed to the executor at once, at
    most. `inbox_every_s`: how soon a command from another process is seen while nothing else happens. `place` None: nothing is asked."""

    home: str
    journal: Journal
    artifacts: ArtifactStore
    streams: StreamStore
    executor: Executor
    window: int = 256
    grace_s: float = 10.0
    python: str = ""
    inbox_every_s: float = 0.5
    place: Place | None = None
