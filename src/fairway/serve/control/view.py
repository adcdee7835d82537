"""What the keeper knows of an endpoint now, for people and pages: figures of its traffic, replicas, rollout, what was refused."""

from __future__ import annotations

from typing import Any

from fairway.spec.endpoint import Endpoint, Rollout
from fairway.spec.record import Record, field, record

SERIES_S = 1800.0
"""How far back `EndpointView.series` goes."""
FINE_S = 180.0
"""The newest points of it stand for a second each, those before for ten."""


@record
class Figures(Record):
    """What became of requests in some span of time. `rate`: requests a second; `requests`: how many that were; `errors`, `refused`: which
    share of them (0..1) ended in 5xx, in 4xx or 429; the latencies are as the caller has them, None where nothing was answered."""

    requests: int = 0
    rate: float = 0.0
    errors: float = 0.0
    refused: float = 0.0
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None


@record
class Point(Record):
    """The span that ends at `at` (seconds since 1970) and took `span_s`. `replicas`: ready at its end, `wanted`: as many as there were to
    be; `waiting`: requests that were held; `in_flight`: the mean; `rates`: requests a second by revision's number."""

    at: float
    span_s: float = 1.0
    figures: Figures = field(default_factory=Figures)
    replicas: int = 0
    wanted: int = 0
    waiting: int = 0
    in_flight: float = 0.0
    rates: tuple[tuple[int, float], ...] = ()


@record
class ReplicaView(Record):
    """One running inference server. `state`: "starting", "ready", "draining", "failed" (`reason` says why, for people); `where`: its
    process or pod and node; `since`: of this state; `cold_start_s`: from its beginning to ready."""

    id: str
    revision: int
    state: str
    since: float = 0.0
    reason: str = ""
    where: str = ""
    memory_bytes: int = 0
    cold_start_s: float = 0.0


@record
class RevisionView(Record):
    """`state`: "ready", "idle" (it takes traffic and nothing runs: cold), "starting", "failed" (it does not start, or did not when it was
    tried: `why`), "went back" (traffic was taken from it: `why`), "unused" (no traffic goes there). `figures`: of the last minute. The
    rest of what a revision is stands in the endpoint's document."""

    number: int
    weight: float = 0.0
    state: str = "unused"
    why: str = ""
    replicas: int = 0
    wanted: int = 0
    figures: Figures = field(default_factory=Figures)


@record
class RefusedView(Record):
    """A request that was not answered. `key`: the caller's key by name, "" for none; `faults`: as the caller was told, one line each."""

    at: float
    status: int
    message: str
    code: str = ""
    id: str = ""
    key: str = ""
    revision: int = 0
    faults: tuple[str, ...] = ()


@record
class ColdStart(Record):
    """A start that requests waited for, or would have. `phases`: what took how long, in order ("process", "libraries", "model", "warm-up";
    "pod placed", "image" on a cluster), and after `took_s` the "first answer"; `held`: requests that waited; `warm`: the libraries were
    there already."""

    at: float
    revision: int
    took_s: float
    phases: tuple[tuple[str, float], ...] = ()
    held: int = 0
    warm: bool = False
    replica: str = ""


@record
class ShadowExample(Record):
    """A request that two revisions answered differently: JSON texts, cut to what a page shows."""

    at: float
    id: str = ""
    request: str = ""
    answer: str = ""
    shadow: str = ""


@record
class ShadowView(Record):
    """How the answers of a shadow compare with those that were given, since `since`."""

    revision: int
    since: float = 0.0
    equal: int = 0
    differing: int = 0
    errors: int = 0
    figures: Figures = field(default_factory=Figures)
    examples: tuple[ShadowExample, ...] = ()


@record
class RolloutView(Record):
    """A rollout and how it is judged now: what its revision did in this step, and all others beside it. `judgement`: one sentence for
    people; `ends_at`: when the step is over if all goes well (0: it does not go on); `metric`: the quality so far, None without labels."""

    rollout: Rollout
    figures: Figures = field(default_factory=Figures)
    others: Figures = field(default_factory=Figures)
    judgement: str = ""
    ends_at: float = 0.0
    metric: float | None = None


@record
class Accuracy(Record):
    """How good the predictions of a revision were that got a label: `value` of `measure` ("accuracy", "mean absolute error") over the
    predictions made in the span that begins at `at`."""

    at: float
    revision: int
    labels: int
    value: float
    measure: str = "accuracy"


@record
class DriftFacet(Record):
    """How a column (or an aspect of it: `key`) of the last window compares with the baseline. `value` of `measure`, None before the first
    window; `active`: it is in alarm. `before` and `now`: shares by bin, `labels` names them."""

    key: str
    column: str
    kind: str = ""
    measure: str = ""
    value: float | None = None
    threshold: float | None = None
    active: bool = False
    note: str = ""
    before: tuple[float, ...] = ()
    now: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()


@record
class Alarm(Record):
    """Something about the traffic of `revision` that was raised or cleared (`state`) at `at` (ISO); `id` is the same for both. `kind`:
    "drift", "concept", or an anomaly's."""

    id: str
    at: str
    kind: str
    column: str = ""
    severity: str = "error"
    message: str = ""
    value: float = 0.0
    threshold: float = 0.0
    state: str = "raised"
    revision: int = 0


@record
class DriftOf(Record):
    """A revision's traffic held to what its model says of the data. `rows`: judged or waiting to be; `filled`: rows of the window of
    `window_rows` that is open; `labels`: predictions whose truth is known; `first`, `last`: times of the rows; `why`: what of the model
    cannot be read."""

    revision: int
    has_baseline: bool = False
    why: str = ""
    rows: int = 0
    requests: int = 0
    labels: int = 0
    windows: int = 0
    window_rows: int = 0
    filled: int = 0
    checked_at: float = 0.0
    first: float = 0.0
    last: float = 0.0
    facets: tuple[DriftFacet, ...] = ()
    active: tuple[Alarm, ...] = ()


@record
class DriftView(Record):
    """Of an endpoint's traffic: the revisions that are watched; `alarms`, the newest first; `waiting`: alarms that nobody has taken yet,
    and the `problem` with that; `error`: why the traffic could not be looked at."""

    revisions: tuple[DriftOf, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    waiting: int = 0
    problem: str = ""
    error: str = ""


@record
class KeyUse(Record):
    """`used_at`: of its last request, 0 for never; `requests`: in the last 30 minutes; `limited`: those of them over its limit."""

    name: str
    used_at: float = 0.0
    requests: int = 0
    limited: int = 0


@record
class EndpointView(Record):
    """One endpoint as it is now.

    `endpoint`: its document. `url`: where it is called, `grpc`: host and port, "" for none. `state`: "ready", "idle" (nothing runs, the
    next request starts it), "starting", "failed", "paused", "empty" (no revision takes traffic); `why`: one line for people where it is
    "failed" or "starting". `figures`: of the last minute, `revisions`: all, the newest first. `series`: the last half hour, oldest first.
    `schema` and `example`: of the revision that most requests go to. `zygote_bytes`: memory of the process that keeps its libraries warm.
    `replicas`, `wanted`: over all revisions. `unexposed`: why it cannot be reached as it asks, in a line. `scaled_by`: what else sets the
    number of replicas, and by what; "" where this server does. Each entry of the document's `history` has "at", "by" and "what" (one line
    for people). `drift`: what its traffic looks like beside the data that its models were trained on.
    """

    endpoint: Endpoint
    url: str = ""
    grpc: str = ""
    state: str = "idle"
    why: str = ""
    replicas: int = 0
    wanted: int = 0
    figures: Figures = field(default_factory=Figures)
    revisions: tuple[RevisionView, ...] = ()
    running: tuple[ReplicaView, ...] = ()
    series: tuple[Point, ...] = ()
    refused: tuple[RefusedView, ...] = ()
    cold_starts: tuple[ColdStart, ...] = ()
    rollout: RolloutView | None = None
    shadow: ShadowView | None = None
    accuracy: tuple[Accuracy, ...] = ()
    keys: tuple[KeyUse, ...] = ()
    schema: dict[str, Any] | None = None
    example: Any = None
    zygote_bytes: int = 0
    unexposed: str = ""
    scaled_by: str = ""
    drift: DriftView = field(default_factory=DriftView)

    @property
    def name(self) -> str:
        """As callers know it."""
        return self.endpoint.name


@record
class Asked(Record):
    """A request that a page or `fairway test` sends for somebody. `revision`: 0 for whichever the traffic is meant for; `path`: below the
    endpoint."""

    body: bytes
    content_type: str = "application/json"
    accept: str = "application/json"
    path: str = "/predict"
    revision: int = 0


@record
class Answered(Record):
    """What came back: `id` and `revision` as the gateway said, `took_ms` as this server saw it."""

    status: int
    body: bytes
    content_type: str = ""
    id: str = ""
    revision: int = 0
    took_ms: float = 0.0
