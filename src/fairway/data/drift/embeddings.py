"""What an embedding (a list of as many floats in every row) is reduced to, and how far two clouds of them are apart."""

from __future__ import annotations

import numpy as np

from fairway.data.batch import Values

PROJECTIONS = 6


def matrix(values: Values, width: int) -> np.ndarray:
    """(rows × width), NaN where a row is null or of another length."""
    assert values.offsets is not None and values.child is not None
    offsets = values.offsets.astype(np.int64)
    fits = np.diff(offsets) == width
    if values.valid is not None:
        fits &= values.valid
    made = np.full((len(values), width), np.nan)
    places = offsets[:-1][fits, None] + np.arange(width)
    made[fits] = values.child.data[places]
    return made


def width_of(values: Values) -> int:
    """How many numbers every row of the column has, if they are as many and at least four; else 0."""
    if values.kind != "list" or values.child is None or values.child.kind not in ("float", "integer") or values.offsets is None:
        return 0
    lengths = np.diff(values.offsets)
    if values.valid is not None:
        lengths = lengths[values.valid]
    return int(lengths[0]) if len(lengths) and lengths[0] >= 4 and (lengths == lengths[0]).all() else 0


def norms(points: np.ndarray) -> np.ndarray:
    """The length of each."""
    return np.sqrt((points**2).sum(1))


def projected(points: np.ndarray, which: int) -> np.ndarray:
    """Along one of `PROJECTIONS` random directions, the same for every column of this width."""
    direction = np.random.default_rng([points.shape[1], which]).standard_normal(points.shape[1])
    return points @ (direction / np.linalg.norm(direction))


def towards(points: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Cosine of each point with `centre`."""
    return points @ centre / np.maximum(norms(points) * np.linalg.norm(centre), 1e-300)


def centre_cosine(points: np.ndarray, others: np.ndarray) -> float:
    """Cosine of the two clouds' centres; 1 for the same direction."""
    one, other = np.nanmean(points, 0), np.nanmean(others, 0)
    size = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / size if size else 1.0


def discrepancy(points: np.ndarray, others: np.ndarray, rounds: int = 200) -> tuple[float, float]:
    """(maximum mean discrepancy, the chance of a larger one when labels are exchanged): Gaussian kernel of the median distance, at most
    500 rows of each (Gretton et al. 2012)."""
    one, other = (cloud[~np.isnan(cloud).any(1)][:500] for cloud in (points, others))
    count = len(one)
    both = np.vstack([one, other])
    if not count or len(both) == count:
        return 0.0, 1.0
    squares = (both**2).sum(1)
    distances = np.maximum(squares[:, None] + squares - 2 * both @ both.T, 0)
    middle = float(np.median(distances[distances > 0])) if (distances > 0).any() else 1.0
    kernel = np.exp(-distances / middle)
    generator = np.random.default_rng(11)
    signs = np.full((rounds + 1, len(both)), -1.0 / (len(both) - count))
    signs[0, :count] = 1.0 / count
    for turn in range(1, rounds + 1):
        signs[turn, generator.permutation(len(both))[:count]] = 1.0 / count
    made = np.einsum("rn,rn->r", signs @ kernel, signs)
    return float(max(made[0], 0.0)), float((1 + np.count_nonzero(made[1:] >= made[0])) / (rounds + 1))
