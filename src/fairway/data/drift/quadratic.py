"""A discriminant with squares and products of columns, by penalised logistic regression: small, and it sees correlations."""

from __future__ import annotations

import numpy as np

_PRODUCTS = 24
_CODES = 8
_STEPS = 2
_PENALTY = 20.0
_MOST = 300


class Discriminant:
    """Of one table: floats, NaN where null; `categories`: which columns are codes (of which the most frequent, the lowest, are told apart).
    What numbers are scaled by knows the rows of both sides, but not which is which."""

    def __init__(self, table: np.ndarray, categories: np.ndarray) -> None:
        linear: list[tuple[int, np.ndarray]] = []
        codes: list[tuple[int, np.ndarray]] = []
        more: list[tuple[int, np.ndarray]] = []
        for place, (column, is_code) in enumerate(zip(table.T, categories, strict=True)):
            if is_code:
                codes += [(place, (column == code).astype(np.float64)) for code in range(_CODES)]
                continue
            empty = np.isnan(column)
            if not empty.all():
                linear.append((place, _scores(column, empty)))
                more.append((place, empty.astype(np.float64)))
        linear += codes
        alone = [*linear, *more]
        varying = min(len(linear), _PRODUCTS)
        self._owners = np.array([place for place, _ in alone])
        self._raw = np.column_stack([values for _, values in alone]) if alone else np.zeros((len(table), 0))
        self._pairs = np.array([(one, other) for one in range(varying) for other in range(one, varying)], np.int64).reshape(-1, 2)
        made = np.concatenate([self._raw, self._raw[:, self._pairs[:, 0]] * self._raw[:, self._pairs[:, 1]]], axis=1)
        self._centre, self._scale = made.mean(0), np.maximum(made.std(0), 1e-6)
        self.features = (made - self._centre) / self._scale

    def fit(self, learn: np.ndarray, labels: np.ndarray) -> Fitted:
        """Learns from the rows of a mask; of very many features those that tell most there by themselves."""
        inside, truth = self.features[learn], labels[learn]
        alone = np.abs(inside.T @ (truth - truth.mean()))
        used = np.sort(np.argsort(-alone, kind="stable")[:_MOST])
        return Fitted(self, used, _logistic(np.column_stack([np.ones(len(inside)), inside[:, used]]), truth))

    def shuffled(self, rows: np.ndarray, used: np.ndarray, column: int, order: np.ndarray) -> np.ndarray | None:
        """Some features of some rows, as if one column's values stood in another order; None where none of them has to do with it."""
        count = len(self._owners)
        own = self._owners[used[used < count]] == column
        pairs = self._pairs[used[used >= count] - count]
        in_pair = (self._owners[pairs] == column).any(-1)
        if not own.any() and not in_pair.any():
            return None
        made = self.features[np.ix_(rows, used)]
        places = np.flatnonzero(own)
        made[:, places] = made[order][:, places]
        for place, (one, other) in zip(np.flatnonzero(in_pair) + len(own), pairs[in_pair], strict=True):
            sides = [self._raw[rows, part][order] if self._owners[part] == column else self._raw[rows, part] for part in (one, other)]
            made[:, place] = (sides[0] * sides[1] - self._centre[used[place]]) / self._scale[used[place]]
        return made


class Fitted:
    """What scores rows: higher where label 1 is likelier."""

    def __init__(self, of: Discriminant, used: np.ndarray, weights: np.ndarray) -> None:
        self._of, self._used, self._weights = of, used, weights

    def score(self, rows: np.ndarray) -> np.ndarray:
        """Of rows by their numbers."""
        return self._of.features[np.ix_(rows, self._used)] @ self._weights[1:] + self._weights[0]

    def shuffled(self, rows: np.ndarray, column: int, order: np.ndarray) -> np.ndarray | None:
        """The same with one column's values in another order; None where that changes nothing."""
        made = self._of.shuffled(rows, self._used, column, order)
        return None if made is None else made @ self._weights[1:] + self._weights[0]


def _scores(column: np.ndarray, empty: np.ndarray) -> np.ndarray:
    """Each number by the log-odds of its rank; 0 where there is none."""
    values = np.sort(column[~empty])
    middle = (np.searchsorted(values, column, "left") + np.searchsorted(values, column, "right")) / 2
    share = np.clip(middle / len(values), 0.5 / len(values), 1 - 0.5 / len(values))
    return np.where(empty, 0.0, np.log(share / (1 - share)))


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
