"""Anomalies: what in some data is not as its schema says."""

from __future__ import annotations

from fairway.data.anomalies.kinds import KINDS, AnomalyKind
from fairway.data.anomalies.model import Anomaly, Example, Validation

__all__ = ["KINDS", "Anomaly", "AnomalyKind", "Example", "Validation"]
