"""Endpoints."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from fairway.serve.control.view import EndpointView, Figures, Point, ReplicaView, RevisionView
from fairway.spec.endpoint import Capture, Endpoint, Rollout, Scaling, ServeSpec
from fairway.web.records import Word, struct_of
from fairway.web.schema.words import Body, Query, Text

Number = Annotated[int, Meta(ge=0, le=2**31)]
Weight = Annotated[float, Meta(ge=0, le=100)]
Weights = Annotated[tuple[tuple[Number, Weight], ...], Meta(max_length=50)]
View = struct_of(EndpointView)
Document = struct_of(Endpoint)
Spec = struct_of(ServeSpec)
ScalingData = struct_of(Scaling)
CaptureData = struct_of(Capture)
RolloutData = struct_of(Rollout)


class EndpointsPage(msgspec.Struct, kw_only=True):
    """All that may be seen, by name."""

    items: list[View]  # type: ignore[valid-type]


class SettingsBody(Body):
    """What is left out stays as it is. `shadow`: a revision's number, 0 for none. `notify`: where alarms about its traffic go."""

    scaling: ScalingData | None = None  # type: ignore[valid-type]
    capture: CaptureData | None = None  # type: ignore[valid-type]
    is_open: bool | None = None
    paused: bool | None = None
    sticky: Word | None = None
    shadow: Number | None = None
    expose: dict[str, Any] | None = None
    notify: Annotated[tuple[Word, ...], Meta(max_length=16)] | None = None


class DeployBody(Body):
    """`moves`: all traffic goes to the revision, as soon as it is ready; else none does, unless it is the first. `with_key`: a new endpoint
    that is not open gets a first key, which the answer shows. `only`: "new" refuses an endpoint that is there, "known" one that is not."""

    name: Annotated[str, Meta(max_length=64)]
    spec: Spec  # type: ignore[valid-type]
    project: Word = ""
    note: Text = ""
    moves: bool = True
    with_key: bool | None = None
    only: Literal["", "new", "known"] = ""
    settings: SettingsBody = msgspec.field(default_factory=SettingsBody)


class DeployedAnswer(msgspec.Struct, kw_only=True):
    """`revision`: its number; `key`: shown this once, "" where none was made."""

    endpoint: Document  # type: ignore[valid-type]
    revision: int
    url: str
    key: str
    is_new: bool


class TrafficBody(Body):
    """`traffic`: [revision, percent] that add up to 100, none to leave it. `shadow` and `sticky`: left out, they stay."""

    traffic: Weights = ()
    shadow: Number | None = None
    sticky: Word | None = None


class RolloutBody(Body):
    """`action` "start" takes the other fields; "promote" gives all traffic to the revision at once (0: that of the rollout)."""

    action: Literal["start", "pause", "go-on", "promote"] = "start"
    revision: Number = 0
    steps: Annotated[tuple[Weight, ...], Meta(max_length=100)] | None = None
    step_s: Annotated[float, Meta(gt=0)] | None = None
    least: Number | None = None
    max_error_rate: Annotated[float, Meta(ge=0, le=1)] | None = None
    max_latency_ms: Annotated[float, Meta(ge=0)] | None = None
    max_slowdown: Annotated[float, Meta(ge=0)] | None = None
    metric: Word | None = None
    min_metric: float | None = None
    max_metric: float | None = None


class RollbackBody(Body):
    """`revision` 0: what served before."""

    revision: Number = 0


class KeyBody(Body):
    """`rate`: requests a second, 0 for no limit; `burst`: at once."""

    name: Annotated[str, Meta(max_length=63)]
    rate: Annotated[float, Meta(ge=0)] = 0.0
    burst: Number = 0


class KeyMade(msgspec.Struct, kw_only=True):
    """The key itself; it is shown this once."""

    key: str


class Stats(msgspec.Struct, kw_only=True):
    """`stand` counts up with every change of the view."""

    name: str
    state: str
    why: str
    figures: struct_of(Figures)  # type: ignore[valid-type]
    revisions: tuple[struct_of(RevisionView), ...]  # type: ignore[valid-type]
    running: tuple[struct_of(ReplicaView), ...]  # type: ignore[valid-type]
    series: tuple[struct_of(Point), ...]  # type: ignore[valid-type]
    stand: int


class EndpointLogQuery(Query):
    """Of one revision or replica, or of all."""

    revision: Number = 0
    replica: Word = ""
    lines: Annotated[int, Meta(ge=1, le=10_000)] = 500


class EndpointLog(msgspec.Struct, kw_only=True):
    """Lines, oldest first, each with its replica before it and then the time, in UTC: "REPLICA  2026-11-28T20:15:03.123Z TEXT"."""

    lines: list[str]


class AskBody(Body):
    """A request for the endpoint. `body`: its text; `revision`: 0 for whichever the traffic is meant for."""

    body: Text = ""
    content_type: Word = "application/json"
    accept: Word = "application/json"
    path: Word = "/predict"
    revision: Number = 0


class AskAnswer(msgspec.Struct, kw_only=True):
    """What came back. `body`: as text; `id`: of the request."""

    status: int
    body: str
    content_type: str
    id: str
    revision: int
    took_ms: float
