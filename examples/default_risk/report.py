"""What to show of a classifier: charts and tables from labels `y` (0 or 1) and predicted probabilities `p`.

Charts are SVG text, written here in thirty lines, so that the example draws without a plotting library. In your own
pipeline return a matplotlib, Plotly or Altair figure as `fw.Figure` instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.inspection import permutation_importance
from sklearn.metrics import roc_auc_score, roc_curve

import fairway as fw

Points = Sequence[tuple[float, float]]
AGE_BANDS = {"under 30": (0, 30), "30 to 44": (30, 45), "45 to 59": (45, 60), "60 and over": (60, 200)}
NAMES = {
    "SEX": {1: "men", 2: "women"},
    "EDUCATION": {1: "graduate school", 2: "university", 3: "high school", 4: "others"},
}


class Report(NamedTuple):
    """What there is to say of a classifier on rows it has not seen."""

    auc: float
    roc: fw.Figure
    calibration: fw.Figure
    confusion: fw.Table
    importance: fw.Table
    slices: fw.Table


def roc_points(y: np.ndarray, p: np.ndarray) -> Points:
    """(false positive rate, true positive rate), thinned to a hundred points."""
    fpr, tpr, _ = roc_curve(y, p)
    grid = np.linspace(0, 1, 101)
    return list(zip(grid.tolist(), np.interp(grid, fpr, tpr).tolist(), strict=True))


def calibration_points(y: np.ndarray, p: np.ndarray, bins: int = 10) -> Points:
    """(mean predicted probability, share that defaulted) of `bins` groups of equal size."""
    groups = np.array_split(np.argsort(p), bins)
    return [(float(p[g].mean()), float(y[g].mean())) for g in groups]


def confusion(y: np.ndarray, p: np.ndarray, share: float) -> pd.DataFrame:
    """Counts when the riskiest `share` of customers is flagged."""
    flagged = p >= np.quantile(p, 1 - share)
    rows = {"paid": y == 0, "defaulted": y == 1}
    return pd.DataFrame(
        [
            {"customers who": name, "not flagged": int((who & ~flagged).sum()), "flagged": int((who & flagged).sum())}
            for name, who in rows.items()
        ]
    )


def importance(model: Any, x: pd.DataFrame, y: pd.Series, rows: int = 1500) -> pd.DataFrame:
    """How much AUC falls when one column is shuffled: a feature's worth to this model, on `rows` rows that it has not seen."""
    sample = x.sample(min(rows, len(x)), random_state=0)
    found = permutation_importance(model, sample, y[sample.index], scoring="roc_auc", n_repeats=2, random_state=0)
    table = pd.DataFrame({"feature": x.columns, "AUC lost": found.importances_mean.round(4)})
    return table.sort_values("AUC lost", ascending=False, ignore_index=True)


def by_slice(customers: pd.DataFrame, y: np.ndarray, p: np.ndarray) -> pd.DataFrame:
    """The same measures for each sex, education and age band; AUC is empty where a slice has too few of either kind."""
    slices = [(column, names.get(code, f"unknown code {code}"), (customers[column] == code).to_numpy())
              for column, names in NAMES.items() for code in sorted(customers[column].unique())]  # fmt: skip
    slices += [("AGE", name, customers["AGE"].between(low, high, inclusive="left").to_numpy()) for name, (low, high) in AGE_BANDS.items()]
    return pd.DataFrame([_slice(column, name, y[who], p[who]) for column, name, who in slices if who.any()])


def _slice(column: str, name: str, y: np.ndarray, p: np.ndarray) -> dict[str, Any]:
    enough = min(y.sum(), (1 - y).sum()) >= 5
    return {
        "slice": column, "value": name, "customers": len(y), "defaulted": round(float(y.mean()), 3),
        "predicted": round(float(p.mean()), 3), "AUC": round(float(roc_auc_score(y, p)), 3) if enough else None,
    }  # fmt: skip


def chart(title: str, x_label: str, y_label: str, points: Points) -> str:
    """An SVG of a line in the unit square over its dashed diagonal."""
    size, left, top = 320, 56, 40

    def place(point: tuple[float, float]) -> str:
        return f"{left + size * point[0]:.1f},{top + size * (1 - point[1]):.1f}"

    def text(x: float, y: float, words: str, more: str = "") -> str:
        return f'<text x="{x}" y="{y}" {more}>{words}</text>'

    parts = [text(left, 22, title, 'font-size="15" font-weight="600"')]
    parts.append(f'<rect x="{left}" y="{top}" width="{size}" height="{size}" fill="none" stroke="#94a3b8"/>')
    parts.append(f'<polyline points="{place((0, 0))} {place((1, 1))}" stroke="#94a3b8" stroke-dasharray="4 4"/>')
    for tick in (0, 0.25, 0.5, 0.75, 1):
        parts.append(text(left + size * tick, top + size + 16, f"{tick:g}", 'text-anchor="middle"'))
        parts.append(text(left - 6, top + size * (1 - tick) + 4, f"{tick:g}", 'text-anchor="end"'))
    parts.append(f'<polyline points="{" ".join(map(place, points))}" stroke="#2563eb" stroke-width="2"/>')
    middle = top + size / 2
    parts.append(text(left + size / 2, top + size + 36, x_label, 'text-anchor="middle"'))
    parts.append(text(14, middle, y_label, f'text-anchor="middle" transform="rotate(-90 14 {middle})"'))
    style = "polyline{fill:none} text{font:12px system-ui,sans-serif;fill:#475569}"
    box = f'viewBox="0 0 {left + size + 24} {top + size + 48}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box} role="img" aria-label="{title}"><style>{style}</style>{"".join(parts)}</svg>'


def model_page(title: str, metrics: Mapping[str, float], *tables: Any) -> str:
    """HTML of a heading, the measures, and tables."""
    measures = ", ".join(f"{name} {value:.3f}" for name, value in metrics.items())
    return f"<h1>{title}</h1><p>{measures}</p>" + "".join(table._repr_html_() for table in tables)
