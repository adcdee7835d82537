"""An endpoint: the name under which a model is served, its revisions, and how traffic, scaling, limits and rollouts are set.

A revision never changes. An endpoint is one document: whoever changes it writes the whole of it, if nobody else did in between.
"""

from __future__ import annotations

from typing import Any

from fairway.spec.record import Record, field, record


@record
class Limits(Record):
    """What one replica takes on. `concurrency`: requests in a model process at once (0: a batch at a time where the model takes rows, else
    one); `queue`: requests that wait; `deadline_s`: the longest that one may take, unless it asks for less; `batch_rows`: most rows of a
    batch (1: no batching)."""

    concurrency: int = 0
    queue: int = 1_000
    deadline_s: float = 30.0
    body_bytes: int = 32 << 20
    batch_rows: int = 256


@record
class Floor(Record):
    """At least `replicas` between `begins` and `ends` ("HH:MM", past midnight if ends < begins) on `days` ("mon".."sun"; none: all), in
    the time zone `zone`."""

    replicas: int
    begins: str = "00:00"
    ends: str = "24:00"
    days: tuple[str, ...] = ()
    zone: str = "UTC"


@record
class Scaling(Record):
    """How many replicas there are. `on`: "concurrency" (requests in flight for each replica) or "latency" (p95, in ms); `target`: what
    each replica is to bear. The mean over `window_s` counts. Growing adds at most `grow_step` at once (0: as many as are needed), shrinking
    takes away at most `shrink_step` and waits until fewer have been enough for `shrink_delay_s`. With `minimum` 0 nothing runs after
    `idle_s` without a request."""

    minimum: int = 1
    maximum: int = 1
    idle_s: float = 60.0
    on: str = "concurrency"
    target: float = 8.0
    window_s: float = 10.0
    grow_step: int = 0
    shrink_step: int = 1
    shrink_delay_s: float = 60.0
    floors: tuple[Floor, ...] = ()


@record
class Capture(Record):
    """What is kept of the traffic. `share`: of the requests, 0..1; `drop` and `hash`: fields never kept, or kept as a keyed digest."""

    share: float = 0.0
    max_bytes: int = 1 << 30
    max_age_s: float = 30 * 86_400.0
    drop: tuple[str, ...] = ()
    hash: tuple[str, ...] = ()


@record
class Key(Record):
    """Who may call an endpoint: the SHA-256 of a key, never the key. `rate`: requests a second (0: no limit), `burst` at once."""

    name: str
    digest: str
    rate: float = 0.0
    burst: int = 0
    created_at: float = 0.0
    created_by: str = ""


@record
class ServeSpec(Record):
    """What a revision runs; nothing of it changes later.

    `source`: as the user named it. `package`: the artifact (plain ArtifactRef of a directory) that holds the model package. `lock`: digest
    of its environment's lock, "" for the surrounding one. `options`: what the inference server is told (`method`, `workers`, `batch`…).
    """

    source: str
    package: dict[str, Any]
    lock: str = ""
    image: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    resources: dict[str, Any] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    schema: str = ""
    framework: str = ""
    lineage: dict[str, Any] = field(default_factory=dict)


@record
class Revision(Record):
    number: int
    spec: ServeSpec
    created_at: float = 0.0
    created_by: str = ""
    note: str = ""


@record
class Rollout(Record):
    """A new revision on its way. `steps`: percent of traffic, one after another, each for `step_s`; it goes back to `previous` by itself
    when, over at least `least` requests of a step, errors exceed `max_error_rate`, the p95 exceeds `max_latency_ms` or `max_slowdown` times
    that of the others, or the metric `metric` falls below `min_metric` or exceeds `max_metric` (None: no bound). `state`: "going",
    "paused", "done", "back"; `why`: one line."""

    revision: int
    previous: tuple[tuple[int, float], ...]
    steps: tuple[float, ...] = (5.0, 25.0, 50.0, 100.0)
    step_s: float = 60.0
    least: int = 20
    max_error_rate: float = 0.02
    max_latency_ms: float = 0.0
    max_slowdown: float = 0.0
    metric: str = ""
    min_metric: float | None = None
    max_metric: float | None = None
    state: str = "going"
    step: int = 0
    step_began_at: float = 0.0
    why: str = ""


@record
class Endpoint(Record):
    """`traffic`: (revision, weight) with weights that add up to 100. `shadow`: a revision that gets a copy of every request and answers
    nobody (0: none). `sticky`: "" or "key" or "header:NAME": callers with the same value meet the same revision. `is_open`: no key is
    needed. `paused`: it takes no requests. `notify`: where alarms about its traffic go (https://…, slack+https://…, smtp://…). `version`
    counts the changes of this document."""

    name: str
    project: str = ""
    revisions: tuple[Revision, ...] = ()
    traffic: tuple[tuple[int, float], ...] = ()
    shadow: int = 0
    sticky: str = ""
    scaling: Scaling = field(default_factory=Scaling)
    capture: Capture = field(default_factory=Capture)
    keys: tuple[Key, ...] = ()
    is_open: bool = False
    paused: bool = False
    rollout: Rollout | None = None
    expose: dict[str, Any] = field(default_factory=dict)
    history: tuple[dict[str, Any], ...] = ()
    created_at: float = 0.0
    created_by: str = ""
    version: int = 0
    notify: tuple[str, ...] = ()


def find_revision(endpoint: Endpoint, number: int) -> Revision | None:
    """The revision of that number."""
    return next((revision for revision in endpoint.revisions if revision.number == number), None)
