"""What a monitor found, as pages show it: each facet with its small histogram of before and now, and a page of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fairway.data.batch import Batch
from fairway.data.drift import Monitor
from fairway.serve.feedback.datamodel import DataModel

_FACETS = 200


def compare(model: DataModel, batch: Batch, title: str) -> tuple[list[dict[str, Any]], str]:
    """The facets of these rows beside the baseline's, and all of it as a page of HTML."""
    from fairway.data.drift import compare
    from fairway.data.report import render
    from fairway.data.statistics import measure

    assert model.baseline is not None
    report = compare(replace(model.baseline, uri="training data"), batch, schema=model.schema, multivariate=False)
    facets = [
        {
            "key": one.key, "column": one.column, "kind": one.kind, "measure": one.deciding, "value": one.value,
            "threshold": one.threshold, "note": one.note, "before": list(one.bins.reference), "now": list(one.bins.current),
            "labels": list(one.bins.labels),
        }
        for one in report.columns
    ]  # fmt: skip
    return facets, render(drift=report, statistics=measure([batch]), title=title)


def merge(monitor: Monitor | None, looked: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the monitor's last window measured, beside the pictures; what is in alarm first, then what is nearest to its threshold."""
    if monitor is None:
        return []
    pictures = {one["key"]: one for one in looked}
    made: list[dict[str, Any]] = []
    for key, one in monitor.summary()["facets"].items():
        picture = pictures.get(key, {})
        about: dict[str, Any] = {"key": key, "column": one["column"], "kind": one["kind"], "active": one["active"]}
        ratios = {name: value / max(one["thresholds"][name], 1e-12) for name, value in one["measures"].items() if name in one["thresholds"]}
        name = max(ratios, key=lambda each: ratios[each], default="")
        about |= {"measure": name, "value": one["measures"].get(name), "threshold": one["thresholds"].get(name)}
        about |= {"note": picture.get("note", "")}
        about |= {part: picture.get(part, []) for part in ("before", "now", "labels")}
        made.append(about)
    made.sort(key=lambda one: (not one["active"], -((one["value"] or 0.0) / max(one["threshold"] or 1.0, 1e-12))))
    return made[:_FACETS]
