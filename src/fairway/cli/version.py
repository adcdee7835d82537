"""Which Fairway this is."""

from __future__ import annotations


def find_version() -> str:
    """The installed version, "unknown" where it was not installed as a distribution."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("fairway")
    except PackageNotFoundError:
        return "unknown"
