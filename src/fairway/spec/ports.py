"""The ports: what the engine needs of the world. A port exists when it has two implementations.

Ports are `async def` where an implementation may wait on a network. A local implementation may complete without ever suspending; then
`run_now` drives the coroutine without an event loop (importing asyncio alone costs more than half of what a whole small run may).
"""

from __future__ import annotations

from collections.abc import Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TypeVar

from fairway.spec.attempt import AttemptSpec
from fairway.spec.endpoint import Endpoint
from fairway.spec.event import Event
from fairway.spec.gang import Gang, Place, Service
from fairway.spec.query import Facets, PipelineStats, RunQuery, RunsFound
from fairway.spec.record import Record, record
from fairway.spec.resources import Resources
from fairway.spec.summary import CacheEntry, RunSummary, RunTally

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path  # importing it costs every run ten milliseconds

T = TypeVar("T")


def run_now(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine whose ports never suspend, without an event loop. RuntimeError if one does."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    raise RuntimeError("a port suspended outside an event loop; use `asyncio.run` with this target")


@record
class Observation(Record):
    """`phase`: "queued", "starting", "running", "ended" (an outcome is in the store, or will never be). `reason`: one line, why it
    waits."""

    phase: str
    reason: str = ""


@record
class Inventory(Record):
    """What a target has. `largest` is the most that one attempt may ask for; with the fact "open", of what it names: an accelerator that
    it does not name has no bound here."""

    total: Resources
    free: Resources
    largest: Resources
    facts: dict[str, Any]


class Executor(Protocol):
    """Starts attempts. Their results come through the artifact store, never through this port.

    `capabilities` are of GPU, CONTAINER (container steps), IMAGE (an image for a step's environment), POOL, VOLUME, GANG.
    """

    name: str

    @property
    def capabilities(self) -> frozenset[str]: ...

    async def inventory(self) -> Inventory: ...
    async def submit(self, attempts: Sequence[AttemptSpec]) -> None:
        """Start them when there is room. The same id twice is one execution."""
        ...

    async def observe(self, ids: Collection[str]) -> Mapping[str, Observation]:
        """What is known; an absent id is unknown here."""
        ...

    async def wait(self, timeout_s: float | None) -> Sequence[str]:
        """Ids whose observation may have changed, as soon as there are any; [] when `timeout_s` is over or `wake` was called."""
        ...

    def wake(self) -> None:
        """Make a `wait` in progress return (safe from a signal handler or another thread)."""
        ...

    async def cancel(self, id: str, grace_s: float) -> None:
        """SIGTERM now, SIGKILL after `grace_s`. An unknown id is success."""
        ...

    async def close(self) -> None:
        """Stop everything that still runs and leave no process behind."""
        ...


@record
class Command(Record):
    """A wish put into a run's inbox by anyone but its driver. `kind`: "cancel", "label"; `body` as the event's fields."""

    id: int
    kind: str
    body: dict[str, Any]


class Journal(Protocol):
    """Append-only events of runs, one writer each (compare-and-swap on the head), with the summaries and the cache index that follow from
    them.

    Events are numbered from 1 in each run; the head is the number of the last, 0 for none.
    """

    async def append(
        self,
        run: str,
        after: int,
        events: Sequence[Event],
        batch: str,
        *,
        summary: RunSummary | None = None,
        cache: Sequence[CacheEntry] = (),
        handled: int = 0,
    ) -> int:
        """Make all of it durable at once and return the new head. `handled`: inbox commands up to this id are removed in the same
        transaction.

        Raises JournalConflict if the head is not `after`, unless the events after `after` are exactly this `batch` (a lost reply): then
        returns the head.
        """
        ...

    async def read(self, run: str, after: int = 0, limit: int = 0) -> Sequence[tuple[int, Event]]: ...
    async def read_text(self, run: str, after: int = 0, limit_bytes: int = 0) -> Sequence[tuple[int, str]]:
        """(number of its first event, JSON array of [name, fields]) of the batches with events above `after`, for readers that need few of
        the fields: at least one if there is any, and no more once they hold `limit_bytes` (0 = all). The first may begin below `after`."""
        ...

    async def head(self, run: str) -> int: ...
    async def watch(self, run: str, after: int, timeout_s: float) -> int:
        """Return the head as soon as it is above `after`, or when `timeout_s` is over."""
        ...

    async def send(self, run: str, kind: str, body: Mapping[str, Any]) -> int:
        """Put a command into the run's inbox; returns its id."""
        ...

    async def inbox(self, run: str, after: int = 0) -> Sequence[Command]: ...
    async def inbox_version(self) -> int:
        """A number that changes when any inbox may have; cheap (no query of a table)."""
        ...

    async def find_cached(self, keys: Sequence[str]) -> Mapping[str, CacheEntry]: ...
    async def forget_cached(self, keys: Iterable[str]) -> None: ...
    async def summaries(
        self, *, pipeline: str = "", status: str = "", tag: str = "", archived: bool = False, limit: int = 50, before: str = ""
    ) -> Sequence[RunSummary]:
        """Newest first (run ids sort by time); archived ones too only if `archived`; `limit` 0 = all; `before` is a run id."""
        ...

    async def search(self, query: RunQuery) -> RunsFound:
        """One page of the runs that the query asks for, and how many there are. ConfigError: not an order, not a cursor."""
        ...

    async def facets(self, projects: Sequence[str] = ()) -> Facets:
        """Which names there are to ask for, of all runs or of those of some projects."""
        ...

    async def pipeline_stats(self, pipeline: str, projects: Sequence[str] = ()) -> PipelineStats:
        """How often the pipeline's runs (of some projects) succeed, and how long they take."""
        ...

    async def find_summary(self, run: str) -> RunSummary | None: ...
    async def find_runs(self, prefix: str) -> Sequence[str]:
        """Run ids that begin or end with `prefix`, or whose name it is; newest first, at most 20."""
        ...

    async def tally(self, projects: Sequence[str] = ()) -> Sequence[RunTally]:
        """Runs (of some projects) counted by pipeline, status and archive mark. Costs no more for long journals than for long runs."""
        ...

    async def digests(self, run: str) -> set[str]:
        """Whatever in the run's events could be the SHA-256 of an artifact or a bundle."""
        ...

    async def cached(self, *, orphaned: bool = False) -> Sequence[CacheEntry]:
        """All entries; `orphaned`: only those whose run was deleted."""
        ...

    async def delete_run(self, run: str) -> None:
        """Remove its events, summary and inbox; its cache entries stay, as orphans. Absent = success."""
        ...

    async def close(self) -> None: ...


@record
class BlobStat(Record):
    key: str
    size_bytes: int
    modified_at: float


class ArtifactStore(Protocol):
    """Immutable blobs by key ("sha256/ab/cdef…", "outcome/RUN/ATTEMPT"). Puts are atomic and idempotent. All calls are synchronous."""

    def put(self, key: str, source: bytes | Path, *, if_absent: bool = True, move: bool = False) -> bool:
        """Store it whole or not at all; False if the key was there (and stays as it was). `move`: the file at `source` may be taken instead
        of copied."""
        ...

    def get(self, key: str) -> bytes:
        """Raises NotFoundError."""
        ...

    def open(self, key: str) -> BinaryIO: ...
    def local_path(self, key: str) -> Path | None:
        """A read-only file with the blob's bytes if the store can offer one without copying."""
        ...

    def stat(self, key: str) -> BlobStat | None: ...
    def list(self, prefix: str) -> Iterator[BlobStat]: ...
    def delete(self, key: str, *, unused_since: float = 0.0) -> bool:
        """True if it is gone (absent = success). `unused_since` (epoch seconds): only if nobody has put it again since then."""
        ...


class StreamStore(Protocol):
    """Append-only bytes for logs, metrics, samples. Streams are named "RUN/ATTEMPT/log", "…/metrics", "…/samples", "…/progress".

    A stream that does not exist reads as an empty one. `list` takes the beginning of a name, `delete` a whole name or a folder ("RUN",
    "RUN/ATTEMPT").
    """

    def append(self, stream: str, data: bytes) -> None: ...
    def read(self, stream: str, offset: int = 0, limit: int = 0) -> bytes: ...
    def size(self, stream: str) -> int: ...
    def list(self, prefix: str) -> Iterator[str]: ...
    def delete(self, prefix: str) -> None: ...


class Serializer(Protocol):
    """One Python type <-> one file format. Found by entry point group "fairway.serializers"."""

    format: str
    suffix: str
    types: tuple[str, ...]
    """Public type names this serializer is the writer for ("pandas.DataFrame"); the first match over a value's MRO wins."""

    def write(self, value: Any, path: Path) -> Mapping[str, Any]:
        """Write one file or one directory at `path`; returns `meta`."""
        ...

    def read(self, path: Path, wanted: str, meta: Mapping[str, Any]) -> Any:
        """`wanted` is the type name the reader asked for, "" if it did not say."""
        ...


class Framework(Protocol):
    """The rendezvous a training framework expects: one row of the table. Found by entry point group "fairway.frameworks". Pure."""

    name: str
    title: str
    """How people write it: "PyTorch"."""

    def environment(self, place: Place, gang: Gang) -> Mapping[str, str]:
        """The variables that one process is told."""
        ...

    def command(self, place: Place, gang: Gang, argv: Sequence[str]) -> Sequence[str]:
        """The command line of one process of a command step, from the step's own; () if this rank starts none."""
        ...


class FrameworkBeside(Framework, Protocol):
    """What a row may have besides: each of these is found by name, so that a simple row need not have it (and no row must have all).

    `style` says who runs the step. "ranks" (and where it is absent): every rank. "client": rank 0 alone; the other places only run
    their services, until rank 0 has ended. "launcher": the leader of rank 0 runs `command(...)` and nothing else does; it starts the ranks
    itself. A Python step is then `python -m fairway.step rank FILE`, one rank in a fresh interpreter.
    """

    style: str
    source: str
    """Where the framework itself says what it reads."""
    options: Mapping[str, str]
    """Keywords of `fw.gang` that are this framework's own, with what each does. Where absent or not named there, none is taken."""

    ahead: Sequence[str]
    """Modules that the framework loads only when it is used: they are loaded in idle time for a gang that has to start again. None of them
    may start a thread."""
    alone: str
    """What the log says after "none of the N ranks " of a gang that has ended well although its ranks have never heard of each
    other. `around` looks for that (`fairway.step.pulse.look_for_company`)."""
    tag: str
    """Of a launcher: a pattern for what it puts before each line of a rank, whose number is the group "rank"."""

    def check(self, gang: Gang) -> str:
        """What is wrong with the gang for this framework, in one sentence; "" if nothing is."""
        ...

    def files(self, place: Place, gang: Gang) -> Mapping[str, str]:
        """Texts by name, which the leader writes into `place.folder` before anything starts."""
        ...

    def services(self, place: Place, gang: Gang) -> Sequence[Service]:
        """What runs beside this place, in the order in which it is started."""
        ...

    def around(self, place: Place, gang: Gang) -> AbstractContextManager[Any]:
        """Entered in the rank's own process around the user's function. Libraries are imported in it, not before."""
        ...

    def serves(self, place: Place, gang: Gang) -> bool:
        """True for a rank that serves others and never ends by itself (a parameter server): its leader ends it when all others have ended,
        and that is no failure."""
        ...

    def place_from_environment(self, environ: Mapping[str, str], places: Sequence[Place]) -> Place:
        """Which of the gang's places (by rank) this process is that the launcher has started."""
        ...


class EndpointStore(Protocol):
    """Keeps the documents of endpoints. One writer at a time wins: the loser of a race reads again."""

    async def endpoints(self) -> Sequence[Endpoint]:
        """All of them, by name."""
        ...

    async def find_endpoint(self, name: str) -> Endpoint | None: ...
    async def put_endpoint(self, endpoint: Endpoint) -> int:
        """Write the document over the version that it names (0: it is new); returns its new version. Raises JournalConflict if another
        was written in between."""
        ...

    async def delete_endpoint(self, name: str) -> None:
        """Absent is success."""
        ...

    async def close(self) -> None: ...
