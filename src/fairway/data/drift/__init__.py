"""Drift: how far current data are from a baseline, whether chance explains it, and alarms on streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fairway.data.drift.alarm import Alarm
    from fairway.data.drift.alarming import Budget, Hysteresis
    from fairway.data.drift.baseline import Baseline, load_baseline
    from fairway.data.drift.comparing import compare
    from fairway.data.drift.concept import ConceptMonitor
    from fairway.data.drift.monitor import Monitor
    from fairway.data.drift.report import ColumnDrift, DriftReport, MultivariateDrift

_HOME = {
    "compare": "comparing",
    "DriftReport": "report",
    "ColumnDrift": "report",
    "MultivariateDrift": "report",
    "Baseline": "baseline",
    "load_baseline": "baseline",
    "Monitor": "monitor",
    "Alarm": "alarm",
    "ConceptMonitor": "concept",
    "Budget": "alarming",
    "Hysteresis": "alarming",
}

__all__ = [
    "Alarm", "Baseline", "Budget", "ColumnDrift", "ConceptMonitor", "DriftReport", "Hysteresis", "Monitor", "MultivariateDrift",
    "compare", "load_baseline",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
