"""Under which keys of the artifact store that is kept which is known of an endpoint's traffic."""

from __future__ import annotations


def state_key(endpoint: str) -> str:
    """What monitors know, and which files they have seen."""
    return f"watch/{endpoint}"


def report_key(endpoint: str, revision: int) -> str:
    """The page about the rows that came last."""
    return f"watch/{endpoint}.{revision}.html"
