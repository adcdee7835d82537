"""What alarms about traffic become beside the page: entries of an endpoint's history, metrics. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from urllib.parse import urlsplit

from fairway.serve.control.changes import HISTORY
from fairway.serve.control.view import Alarm, DriftView, EndpointView
from fairway.spec.endpoint import Endpoint
from fairway.spec.record import replace

_FRESH_S = 7 * 86_400.0

_SAY_OVER = ("drift", "concept")
"""Kinds whose message tells when it is over."""

Sample = tuple[dict[str, str], float]


def note_alarms(endpoint: Endpoint, drift: DriftView, now: float) -> Endpoint:
    """With the alarms of the last days in its history that are not there yet. The same again: the very same document."""
    known = {str(entry.get("alarm", "")) for entry in endpoint.history}
    added: list[dict[str, object]] = []
    for one in reversed(drift.alarms):
        key = f"{one.revision} {one.id} {one.state} {one.at}"
        at = seconds_of(one)
        if key not in known and now - at < _FRESH_S:
            added.append({"at": at, "by": "", "what": tell(one), "alarm": key, "traffic": [list(share) for share in endpoint.traffic]})
    return replace(endpoint, history=(*endpoint.history, *added)[-HISTORY:]) if added else endpoint


def tell(alarm: Alarm) -> str:
    """One line for people."""
    over = alarm.state == "cleared" and alarm.kind not in _SAY_OVER
    return f"revision {alarm.revision}: {'over: ' if over else ''}{alarm.message}"


def seconds_of(alarm: Alarm) -> float:
    """When, in seconds since 1970."""
    try:
        return datetime.fromisoformat(alarm.at).timestamp()
    except ValueError:
        return 0.0


def shown_target(text: str) -> str:
    """Where alarms go, without what may be a secret."""
    if text.startswith(("command:", "cmd:")):
        return text
    scheme, mark, rest = text.partition("://")
    if not mark:
        return text if text.startswith("${") else "…"
    try:
        host = urlsplit(f"x://{rest}").hostname or ""
    except ValueError:
        host = ""
    return f"{scheme}://{host}/…"


def metrics_of(views: Iterable[EndpointView]) -> Iterator[tuple[str, str, list[Sample]]]:
    """(name, what it says, samples) for Prometheus: of each column what was measured, its threshold, whether it is in alarm."""
    values: list[Sample] = []
    thresholds: list[Sample] = []
    alarms: list[Sample] = []
    rows: list[Sample] = []
    for view in views:
        for one in view.drift.revisions:
            about = {"endpoint": view.name, "revision": str(one.revision)}
            rows.append((about, float(one.rows)))
            for facet in one.facets:
                labels = {**about, "column": facet.key, "measure": facet.measure}
                if facet.value is not None and facet.threshold is not None:
                    values.append((labels, facet.value))
                    thresholds.append((labels, facet.threshold))
            raised: dict[tuple[str, str], float] = {(facet.key, "drift"): 0.0 for facet in one.facets}
            raised |= {(alarm.column, alarm.kind): 1.0 for alarm in one.active}
            raised |= {(facet.key, "drift"): 1.0 for facet in one.facets if facet.active}
            alarms += [({**about, "column": column, "kind": kind}, value) for (column, kind), value in raised.items()]
    yield "fairway_drift_value", "How far a column's last window is from the baseline.", values
    yield "fairway_drift_threshold", "From where on that is drift.", thresholds
    yield "fairway_drift_alarm", "1: an alarm about the column has been raised and not cleared.", alarms
    yield "fairway_drift_rows", "Captured rows that were held to the baseline.", rows
