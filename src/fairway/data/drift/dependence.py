"""Whether rows follow each other: the baseline's consecutive windows are compared with what independent rows would do."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from fairway.data.batch import Batch
from fairway.data.drift.chance import Dependence, Ladder, fitted
from fairway.data.drift.frames import Frame

PIECES = 8
_FACTORS = 12
_FEWEST = 8
_MOST = 16_000


class Counting(Protocol):
    """A `Coder`, or what counts as one does."""

    @property
    def bins(self) -> int: ...
    def counted(self, batch: Batch, places: np.ndarray, windows: int, caches: dict[str, dict[str, Any]]) -> np.ndarray: ...


def consecutive(batches: Iterable[Batch], coders: Sequence[Counting], window_rows: int) -> list[np.ndarray]:
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


def learnt(frame: Frame, pieces: np.ndarray, *, observing: bool = True) -> Dependence | None:
    """From the counts of pieces of windows (`PIECES` make one): None where they differ no more than independent rows explain, or are too
    few to tell. The longest blocks tell how much they differ, the shortest that tell the same are what is drawn from. `observing`: the
    measures of the windows themselves are kept too, which takes counts as they are."""
    sizes = [size for size in (1, 2, 4, 8) if len(pieces) // size >= _FEWEST]
    if not sizes:
        return None
    blocks = {size: pieces[: len(pieces) // size * size].reshape(-1, size, pieces.shape[1]).sum(1) for size in sizes}
    excesses = {size: _excess(frame, made) for size, made in blocks.items()}
    if not any(beyond for _, beyond in excesses.values()):
        return None
    largest = max(excess for excess, _ in excesses.values())
    chosen = next(size for size in sizes if excesses[size][0] >= 0.85 * largest)
    factors = _factors(frame, blocks[chosen])
    if not len(factors):
        return None
    observed = _observed(frame, blocks[PIECES]) if observing and PIECES in blocks else {}
    return Dependence(factors, len(blocks[chosen]) - 1, excesses[chosen][0], float(pieces.sum(-1).mean() * PIECES), observed)


def _excess(frame: Frame, blocks: np.ndarray) -> tuple[float, bool]:
    """(how many times as much as independent rows' the blocks' counts differ, whether chance does not explain it)."""
    rows, shares, even = _shared(frame, blocks)
    used = even > 0
    freedom = (int(used.sum()) - 1) * (len(blocks) - 1)
    if freedom < 1:
        return 1.0, False
    excess = float((rows * (shares[:, used] - even[used]) ** 2 / even[used]).sum() / freedom)
    return excess, excess > 1 + 4 * math.sqrt(2 / freedom)


def _shared(frame: Frame, blocks: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """(rows of a block, shares of the groups in each, in all)."""
    shares = np.add.reduceat(frame.shares(blocks), frame.starts, axis=-1)
    return float(blocks.sum(-1).mean()), shares, shares.mean(0)


def _factors(frame: Frame, blocks: np.ndarray) -> np.ndarray:
    """Principal parts of the blocks' covariance beyond that of independent rows, as large together as all of it."""
    rows = float(blocks.sum(-1).mean())
    shares = frame.shares(blocks)
    expected = shares.mean(0)
    deviations = (shares - expected) * math.sqrt(rows)
    beyond = deviations.T @ deviations / (len(blocks) - 1) - (np.diag(expected) - np.outer(expected, expected))
    sizes, directions = np.linalg.eigh(beyond)
    chosen = [place for place in np.argsort(-sizes)[:_FACTORS] if sizes[place] > 0]
    factors = np.array([math.sqrt(sizes[place]) * directions[:, place] for place in chosen])
    if not len(factors):
        return factors
    weight = np.where(expected > 0, 1 / np.maximum(expected, 1e-12), 0.0)
    whole, held = float(np.diag(beyond) @ weight), float(((factors**2) @ weight).sum())
    return factors * math.sqrt(max(1.0, min(whole / held, 4.0)))


def _observed(frame: Frame, windows: np.ndarray) -> dict[str, Ladder]:
    """What each deciding measure is between the baseline and its own windows, with a gamma tail beyond what they show: where a window is
    shorter than its rows remember, its shares are far from normal."""
    shares = frame.shares(windows)
    whole = frame.shares(frame.counts)
    rows = float(windows.sum(-1).mean())
    return {name: fitted(np.asarray(frame.distances(whole, shares, rows, name))) for name in frame.deciding}
