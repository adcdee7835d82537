"""Alarms about traffic in an endpoint's history and in Prometheus' metrics."""

from __future__ import annotations

import pytest

from fairway.serve.control.changes import HISTORY
from fairway.serve.control.driftnews import metrics_of, note_alarms, shown_target
from fairway.serve.control.view import Alarm, DriftFacet, DriftOf, DriftView, EndpointView
from fairway.spec.endpoint import Endpoint

AT = "2026-11-28T10:00:00+00:00"
NOW = 1_795_860_000.0 + 3600


def alarm(id: str = "drift:x:1", **more: object) -> Alarm:
    return Alarm(**{"id": id, "at": AT, "kind": "drift", "column": "x", "message": f"about {id}", "revision": 1, **more})  # type: ignore[arg-type]


def test_an_alarm_is_noted_once_the_oldest_first() -> None:
    endpoint = Endpoint("risk", traffic=((1, 100.0),))
    drift = DriftView(alarms=(alarm("too-large:x:1", kind="too-large", state="cleared"), alarm("drift:x:1")))
    noted = note_alarms(endpoint, drift, NOW)
    assert [entry["what"] for entry in noted.history] == ["revision 1: about drift:x:1", "revision 1: over: about too-large:x:1"]
    assert noted.history[0]["traffic"] == [[1, 100.0]]
    assert note_alarms(noted, drift, NOW) is noted
    more = note_alarms(noted, DriftView(alarms=(alarm("drift:x:2"), *drift.alarms)), NOW)
    assert len(more.history) == 3


def test_old_alarms_are_no_news_and_the_history_does_not_grow() -> None:
    assert note_alarms(Endpoint("risk"), DriftView(alarms=(alarm(),)), NOW + 30 * 86_400).history == ()
    many = DriftView(alarms=tuple(alarm(f"drift:x:{n}") for n in range(500)))
    assert len(note_alarms(Endpoint("risk"), many, NOW).history) == HISTORY


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://hooks.example.org/T0/secret", "https://hooks.example.org/…"),
        ("slack+https://hooks.slack.com/services/secret", "slack+https://hooks.slack.com/…"),
        ("smtp://ann:secret@mail.example.org:587?to=x@example.org", "smtp://mail.example.org/…"),
        ("${FAIRWAY_NOTIFY_URL}", "${FAIRWAY_NOTIFY_URL}"),
        ("secret", "…"),
        ("command:./hook.sh", "command:./hook.sh"),
        ("https://[secret", "https:///…"),
    ],
)
def test_no_secret_of_an_address_is_shown(text: str, shown: str) -> None:
    assert shown_target(text) == shown


def test_metrics_say_value_threshold_and_alarm_by_column() -> None:
    facets = (
        DriftFacet("x", "x", "number", "psi", 0.5, 0.1, active=True),
        DriftFacet("at:hour", "at", "time", "psi", None, None),
    )
    of = DriftOf(2, has_baseline=True, rows=700, facets=facets, active=(alarm("too-large:y:1", kind="too-large", column="y"),))
    found = {name: samples for name, _, samples in metrics_of([EndpointView(Endpoint("risk"), drift=DriftView((of,)))])}
    about = {"endpoint": "risk", "revision": "2"}
    assert found["fairway_drift_value"] == [({**about, "column": "x", "measure": "psi"}, 0.5)]
    assert found["fairway_drift_threshold"] == [({**about, "column": "x", "measure": "psi"}, 0.1)]
    assert found["fairway_drift_rows"] == [(about, 700.0)]
    assert sorted((one["column"], one["kind"], value) for one, value in found["fairway_drift_alarm"]) == [
        ("at:hour", "drift", 0.0),
        ("x", "drift", 1.0),
        ("y", "too-large", 1.0),
    ]
