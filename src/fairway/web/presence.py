"""Whether blobs are there, for somebody who will rely on it."""

from __future__ import annotations

from collections.abc import Iterable

from fairway.errors import NotFoundError
from fairway.spec.ports import ArtifactStore


def claim(store: ArtifactStore, keys: Iterable[str]) -> set[str]:
    """Which of the blobs are there. Their age starts anew, so that nobody collects what somebody was just told to be there."""
    there: set[str] = set()
    for key in keys:
        if store.stat(key) is None:  # of a bucket, to ask is to claim
            continue
        path = store.local_path(key)
        if path is not None:
            try:
                store.put(key, path)
            except NotFoundError:  # collected at this very moment
                continue
        there.add(key)
    return there
