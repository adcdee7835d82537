"""Why attempts of a run do not run yet, as their target has said it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def find_waits(attempts: Iterable[Any]) -> dict[tuple[str, str], str]:
    """One line for each (scope, node) that has attempts which wait for something that the target has named: the most frequent reason."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    for attempt in attempts:
        if attempt.outcome is None and attempt.phase != "running" and attempt.reason:
            reasons = found.setdefault((attempt.scope, attempt.node), {})
            reasons[attempt.reason] = reasons.get(attempt.reason, 0) + 1
    return {key: _spell(reasons) for key, reasons in found.items()}


def _spell(reasons: dict[str, int]) -> str:
    reason = max(reasons, key=lambda one: reasons[one])
    others = sum(reasons.values()) - 1
    said = reason if reason.startswith("waits") else f"waits: {reason}"
    return said + (f" (and {others:,} more)" if others else "")
