"""Which parameters of a search matter, by how differently the best trials choose them (PED-ANOVA, over histograms). Pure.

For each parameter its values among the best quarter of the trials are compared with those among all: the Pearson divergence of the two
histograms is the share of the metric's variance that choosing this parameter well explains (Watanabe et al., 2023). It is right however
unevenly the sampler has looked, and takes a pass over the trials. From each divergence what chance alone would give is taken off, so a
parameter that does not matter comes near 0; the rest is shared out to 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fairway.spec.study import Study

BEST_SHARE = 0.25
FEWEST = 8
"""With fewer complete trials nothing can be told."""
BINS = 8


def importances(study: Study, metric: int = 0) -> dict[str, float]:
    """The share of each parameter, the largest first; {} while there are too few complete trials, or all are alike."""
    trials = [trial for trial in study.trials if trial.state == "complete" and len(trial.values) > metric]
    if len(trials) < FEWEST:
        return {}
    sign = -1.0 if study.directions[metric] == "max" else 1.0
    ranked = sorted(trials, key=lambda trial: sign * trial.values[metric])
    top = max(4, math.ceil(BEST_SHARE * len(ranked)))
    if ranked[0].values[metric] == ranked[-1].values[metric]:
        return {}
    found: dict[str, float] = {}
    for name in study.params:
        values = [trial.params.get(name) for trial in ranked]
        places = place(values)
        found[name] = divergence(places[:top], places)
    total = sum(found.values())
    shares = {name: (value / total if total else 0.0) for name, value in found.items()}
    return dict(sorted(shares.items(), key=lambda one: -one[1])) if total else {}


def divergence(best: Sequence[int], every: Sequence[int]) -> float:
    """Pearson's divergence of the best ones' histogram from that of all, less what chance would make of it; at least 0."""
    bins = sorted(set(every))
    found = 0.0
    for one in bins:
        share, top = every.count(one) / len(every), best.count(one) / len(best)
        found += (top - share) ** 2 / share
    by_chance = (len(bins) - 1) * (1 / len(best) - 1 / len(every))
    return max(0.0, found - by_chance)


def place(values: Sequence[Any]) -> list[int]:
    """The bin of each value: numbers in bins that hold about as many each, other values (and few different numbers) one bin for each."""
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    distinct = list(dict.fromkeys(map(repr, values)))
    if len(numbers) < len(values) or len(distinct) <= BINS:
        known = {text: n for n, text in enumerate(sorted(distinct))}
        return [known[repr(value)] for value in values]
    ordered = sorted(numbers)
    count = min(BINS, max(2, len(values) // 4))
    edges = [ordered[len(ordered) * n // count] for n in range(1, count)]
    return [sum(value >= edge for edge in edges) for value in numbers]
