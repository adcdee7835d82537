"""Whether rows follow each other: the baseline's consecutive windows are compared with what independent rows would do."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from fairway.data.batch import Batch
from fairway.data.drift.chance import Dependence
from fairway.data.drift.coding import Coder
from fairway.data.drift.frames import Frame

_FACTORS = 8
_FEWEST = 8
_MOST = 2_000


def consecutive(batches: Iterable[Batch], coders: list[Coder], window_rows: int) -> list[np.ndarray]:
    """For each coder (windows × bins) counts of windows of consecutive rows; the rows after the last whole window are left out."""
    kept: list[list[np.ndarray]] = [[] for _ in coders]
    open_: list[np.ndarray] = [np.zeros(coder.bins) for coder in coders]
    seen = 0
    for batch in batches:
        places = (np.arange(batch.rows) + seen % window_rows) // window_rows
        whole = (seen % window_rows + batch.rows) // window_rows
        caches: dict[str, dict[str, Any]] = {}
        for number, coder in enumerate(coders):
            counted = coder.counted(batch, places, whole + 1, caches)
            counted[0] += open_[number]
            open_[number] = counted[whole]
            if whole and len(kept[number]) < _MOST:
                kept[number].append(counted[:whole])
        seen += batch.rows
    return [np.concatenate(parts) if parts else np.zeros((0, coder.bins)) for parts, coder in zip(kept, coders, strict=True)]


def learnt(frame: Frame, windows: np.ndarray) -> Dependence | None:
    """None where the windows differ no more than independent rows explain, or are too few to tell."""
    count = len(windows)
    if count < _FEWEST:
        return None
    rows = float(windows.sum(-1).mean())
    shares = windows / np.maximum(windows.sum(-1, keepdims=True), 1e-300)
    expected = shares.mean(0)
    grouped, even = np.add.reduceat(shares, frame.starts, axis=-1), np.add.reduceat(expected, frame.starts)
    used = even > 0
    freedom = int(used.sum()) - 1
    if freedom < 1:
        return None
    squares = (rows * (grouped[:, used] - even[used]) ** 2 / even[used]).sum(-1)
    excess = float(squares.sum() / (freedom * (count - 1)))
    if excess < 1 + 4 * math.sqrt(2 / (freedom * (count - 1))):
        return None
    deviations = (shares - expected) * math.sqrt(rows)
    beyond = deviations.T @ deviations / (count - 1) - (np.diag(expected) - np.outer(expected, expected))
    sizes, directions = np.linalg.eigh(beyond)
    chosen = [place for place in np.argsort(-sizes)[:_FACTORS] if sizes[place] > 0]
    factors = np.array([math.sqrt(sizes[place]) * directions[:, place] for place in chosen])
    return Dependence(factors, count - 1, excess) if len(factors) else None
