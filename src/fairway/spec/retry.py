"""When a failed task is tried again, and after how long: pure."""

from __future__ import annotations

import hashlib

from fairway.spec.outcome import ErrorInfo
from fairway.spec.resources import Retry

NEVER = frozenset({"cancelled", "abandoned", "definition"})
LOSSES = frozenset({"lost", "port"})
"""Kinds of errors that are the surroundings' and not the step's: what has lost its machine, or a port to another program. They count on
their own."""
RESIZED, REQUEUED = "FW-RESIZED", "FW-REQUEUED"
"""The codes of the errors with which an attempt is ended to go on with more replicas, or because its queue gives its room to others."""
UNCOUNTED = frozenset({RESIZED, REQUEUED})
"""Nothing went wrong, so they count for nothing."""


def may_retry(policy: Retry, error: ErrorInfo, tried: int, lost: int) -> bool:
    """`tried`: attempts so far, `lost` of them to the infrastructure, which count on their own."""
    if not error.retryable or error.kind in NEVER:
        return False
    if error.kind in LOSSES:
        return lost <= policy.lost_attempts
    if tried - lost >= policy.attempts:
        return False
    return not policy.kinds or error.kind in policy.kinds or any(kind in policy.kinds for kind in error.mro)


def wait_s(policy: Retry, attempt: str, tried: int) -> float:
    """Seconds before the next try. The jitter is drawn from the attempt's id, so that every driver decides alike."""
    if policy.backoff_s <= 0:
        return 0.0
    longest = min(policy.cap_s, policy.backoff_s * policy.factor ** min(tried - 1, 64))
    fraction = int.from_bytes(hashlib.sha256(attempt.encode()).digest()[:4], "big") / 2**32
    return longest * (1 - policy.jitter * fraction)
