"""Anomalies: what in some data is not as its schema says. Names are loaded when they are first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fairway.data.anomalies.kinds import KINDS, AnomalyKind
    from fairway.data.anomalies.model import Anomaly, Example, Validation
    from fairway.data.anomalies.rowchecks import RowChecks
    from fairway.data.anomalies.streamtimes import CadenceWatch
    from fairway.data.anomalies.validating import validate, validate_batch

_HOME = {
    "KINDS": "kinds", "AnomalyKind": "kinds", "Anomaly": "model", "Example": "model", "Validation": "model", "RowChecks": "rowchecks",
    "validate": "validating", "validate_batch": "validating", "CadenceWatch": "streamtimes",
}  # fmt: skip

__all__ = ["KINDS", "Anomaly", "AnomalyKind", "CadenceWatch", "Example", "RowChecks", "Validation", "validate", "validate_batch"]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{home}"), name)
