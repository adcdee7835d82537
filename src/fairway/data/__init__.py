"""Data: sources, statistics, schema, anomalies, drift, reports."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from fairway.data.table import Table, read

_HOME = {"Table": "table", "read": "table"}
__all__ = ["Table", "read"]


def __getattr__(name: str) -> Any:
    """The room's public names, loaded when they are first used."""
    from importlib import import_module

    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'fairway.data' has no attribute {name!r}")
    return getattr(import_module(f"fairway.data.{home}"), name)
