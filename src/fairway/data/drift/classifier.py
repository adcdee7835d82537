"""A domain classifier: can current rows be told from the reference's? It sees what no column shows by itself, as a correlation that flips.

Rows are cut into two halves; a model that learnt one scores the other. Held-out scores know nothing of their labels unless the tables
differ, so exchanging the labels of the held-out rows gives the AUC that chance reaches (its normal limit is used, with ties).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np

from fairway.data.batch import Batch, Values
from fairway.data.drift.chance import normal_quantile
from fairway.data.drift.quadratic import Discriminant, Fitted
from fairway.data.drift.report import MultivariateDrift
from fairway.errors import UnsupportedError

ROWS = 4_000
_FEWEST = 100
_FLOOR = 0.53
_CODES = 30


def told_apart(before: Batch, after: Batch, names: list[str], alpha: float, *, boosting: bool = False) -> MultivariateDrift | None:
    """By a quadratic discriminant of ours, which every machine has and which costs no import of two seconds; or by scikit-learn's gradient
    boosting, which sees relations of three columns and more. None where there are too few rows or less than two columns. UnsupportedError
    where scikit-learn is not installed."""
    names = [name for name in names if name in before.columns and name in after.columns]
    size = min(before.rows, after.rows, ROWS)
    if size < _FEWEST or len(names) < 2:
        return None
    generator = np.random.default_rng(3)
    picked = [generator.permutation(one.rows)[:size] for one in (before, after)]
    columns = [_coded(before.columns[name], after.columns[name], picked) for name in names]
    table = np.column_stack([column for column, _ in columns])
    categories = np.array([is_category for _, is_category in columns])
    labels = np.repeat([0, 1], size)
    halves = generator.permutation(np.tile([0, 1], size))  # as good as even
    if boosting and find_spec("sklearn") is None:
        raise UnsupportedError("gradient boosting needs scikit-learn", hint="pip install scikit-learn")
    one = None if boosting else Discriminant(table, categories)
    models: list[Fitted | _Boosted] = []
    aucs, chances, cuts = [], [], []
    for half in (0, 1):
        learn, test = halves == half, np.flatnonzero(halves != half)
        model = _Boosted(table, learn, labels) if one is None else one.fit(learn, labels)
        auc, error = area(model.score(test), labels[test])
        models.append(model)
        aucs.append(auc)
        chances.append(0.5 * math.erfc((auc - 0.5) / error / math.sqrt(2)))
        cuts.append(0.5 + normal_quantile(alpha / 2) * error)
    best = int(np.argmin(chances))
    threshold = max(cuts[best], _FLOOR)
    drifted = aucs[best] > threshold
    moved = _importance(models, labels, halves, names) if drifted else ()
    method = "gradient boosting" if boosting else "quadratic discriminant"
    return MultivariateDrift(aucs[best], threshold, min(1.0, 2 * chances[best]), drifted, moved, size, method)


def area(scores: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """(AUC, its standard error when labels are exchanged): Mann and Whitney's, with ties."""
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[places]
    ones, total = int(labels.sum()), len(labels)
    zeros = total - ones
    auc = float((ranks[labels == 1].sum() - ones * (ones + 1) / 2) / (ones * zeros))
    ties = float((counts.astype(np.float64) ** 3 - counts).sum()) / (total * (total - 1))
    return auc, math.sqrt(max(total + 1 - ties, 1e-9) / (12 * ones * zeros))


def _coded(before: Values, after: Values, picked: list[np.ndarray]) -> tuple[np.ndarray, bool]:
    """Both sides' rows as one column of floats (NaN: null), and whether they are codes of categories."""
    if before.offsets is None and after.offsets is None:
        parts = [one.data[rows].astype(np.float64) for one, rows in zip((before, after), picked, strict=True)]
        for part, one, rows in zip(parts, (before, after), picked, strict=True):
            part[~np.isfinite(part)] = np.nan
            if one.valid is not None:
                part[~one.valid[rows]] = np.nan
        return np.concatenate(parts), before.kind == "boolean"
    hashes = np.concatenate([before.hashes()[picked[0]], after.hashes()[picked[1]]])
    known, places, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    rank = np.empty(len(known))
    rank[np.argsort(-counts, kind="stable")] = np.arange(len(known))
    return np.minimum(rank, _CODES)[places], True


class _Boosted:
    """Gradient boosting, fitted to the rows of a mask."""

    def __init__(self, table: np.ndarray, learn: np.ndarray, labels: np.ndarray) -> None:
        from sklearn.ensemble import HistGradientBoostingClassifier
        from threadpoolctl import threadpool_limits

        self._table = table
        self._model = HistGradientBoostingClassifier(
            max_iter=60, max_leaf_nodes=12, min_samples_leaf=25, l2_regularization=1.0, max_bins=64, random_state=0
        )
        with threadpool_limits(1):  # several threads wait for each other longer than this takes, on a machine that has other work
            self._model.fit(table[learn], labels[learn])

    def score(self, rows: np.ndarray) -> np.ndarray:
        return self._scored(self._table[rows])

    def shuffled(self, rows: np.ndarray, column: int, order: np.ndarray) -> np.ndarray | None:
        made = self._table[rows]
        made[:, column] = made[order, column]
        return self._scored(made)

    def _scored(self, table: np.ndarray) -> np.ndarray:
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):
            return self._model.decision_function(table)


def _importance(
    models: Sequence[Fitted | _Boosted], labels: np.ndarray, halves: np.ndarray, names: list[str]
) -> tuple[tuple[str, float], ...]:
    """How much AUC each column carries, by shuffling it among the held-out rows; those that carry some, the most first."""
    generator = np.random.default_rng(4)
    lost = np.zeros(len(names))
    for half, model in enumerate(models):
        test = np.flatnonzero(halves != half)
        truth = labels[test]
        full = area(model.score(test), truth)[0]
        for place in range(len(names)):
            scores = model.shuffled(test, place, generator.permutation(len(test)))
            if scores is not None:
                lost[place] += (full - area(scores, truth)[0]) / len(models)
    order = np.argsort(-lost, kind="stable")
    enough = max(0.005, 0.1 * float(lost.max()))
    return tuple((names[place], round(float(lost[place]), 4)) for place in order if lost[place] >= enough)
