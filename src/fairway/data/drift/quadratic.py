"""A discriminant with squares and products of columns, by penalised logistic regression: small, and it sees correlations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_PRODUCTS = 24
_CODES = 8
_STEPS = 2
_PENALTY = 20.0


def fit_quadratic(table: np.ndarray, labels: np.ndarray, categories: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """A function that scores rows: higher where label 1 is likelier. `table`: floats, NaN where null; `categories`: which columns are codes
    (of which the most frequent, the lowest, are told apart)."""
    known = [None if is_code else np.sort(column[~np.isnan(column)]) for column, is_code in zip(table.T, categories, strict=True)]

    def features(rows: np.ndarray) -> np.ndarray:
        return _features(rows, known)

    made = features(table)
    centre, scale = made.mean(0), np.maximum(made.std(0), 1e-6)
    inside = np.column_stack([np.ones(len(made)), (made - centre) / scale])
    weights = _logistic(inside, labels)
    return lambda rows: (features(rows) - centre) / scale @ weights[1:] + weights[0]


def _features(rows: np.ndarray, known: list[np.ndarray | None]) -> np.ndarray:
    linear: list[np.ndarray] = []
    codes: list[np.ndarray] = []
    more: list[np.ndarray] = []
    for column, values in zip(rows.T, known, strict=True):
        empty = np.isnan(column)
        if values is None:
            codes += [(column == code).astype(np.float64) for code in range(_CODES)]
            continue
        if not len(values):
            continue
        middle = (np.searchsorted(values, column, "left") + np.searchsorted(values, column, "right")) / 2
        share = np.clip(middle / len(values), 0.5 / len(values), 1 - 0.5 / len(values))
        score = np.where(empty, 0.0, np.log(share / (1 - share)))
        linear.append(score)
        more.append(empty.astype(np.float64))
    linear += codes
    varying = linear[:_PRODUCTS]
    products = [varying[one] * varying[other] for one in range(len(varying)) for other in range(one, len(varying))]
    return np.column_stack([*linear, *more, *products])


def _logistic(inside: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Newton's steps of ridge regression on the log-odds, as many as order the rows; the intercept is free."""
    weights = np.zeros(inside.shape[1])
    penalty = np.full(inside.shape[1], _PENALTY)
    penalty[0] = 1e-6
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(inside @ weights, -30, 30)))
        spread = np.maximum(chance * (1 - chance), 1e-6)
        slope = inside.T @ (labels - chance) - penalty * weights
        curve = (inside * spread[:, None]).T @ inside + np.diag(penalty)
        step = np.linalg.solve(curve, slope)
        weights += step
        if np.abs(step).max() < 1e-4:
            break
    return weights
