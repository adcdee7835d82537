"""Runs side by side: which values differ, which is best, by how much, and all of it in one sentence. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fairway.spec.record import Record, record
from fairway.web.pages.rowviews import clip_value, spell_value
from fairway.web.pages.words import spell_duration, spell_number

ABSENT: Any = ...
"""Stands for a value that a run does not have."""
SAID = 4
"""So many differences of one kind are told in words; of more it is told how many there are."""
_WORD = re.compile(r"[A-Z]+\d*(?![a-z])|[A-Z]?[a-z]+\d*|\d+")
_LOWER = frozenset(
    {
        *(
            "loss",
            "error",
            "err",
            "errors",
            "mse",
            "rmse",
            "mae",
            "mape",
            "smape",
            "rmsle",
            "nll",
            "bce",
            "brier",
            "ece",
            "perplexity",
            "ppl",
        ),
        *("latency", "time", "duration", "seconds", "secs", "sec", "ms", "wall", "cost", "fpr", "fnr", "regret", "wer", "cer", "fid"),
        *("missing", "invalid", "unknown", "failures", "drift", "bias", "variance"),
    }
)
_LOWER_ENDS = ("loss", "error", "mse", "mae")
_HIGHER = frozenset(
    {
        *("accuracy", "acc", "auc", "auroc", "roc", "ap", "map", "ndcg", "mrr", "f1", "f2", "fbeta", "precision", "recall", "sensitivity"),
        *("specificity", "score", "r2", "iou", "dice", "jaccard", "kappa", "mcc", "gini", "lift", "gain", "reward", "return", "profit"),
        *("revenue", "hits", "hit", "bleu", "rouge", "meteor", "psnr", "ssim", "correct", "throughput", "speed", "speedup", "coverage"),
        *("likelihood", "explained", "agreement", "tpr", "tnr", "ppv", "npv", "best", "quality", "efficiency"),
    }
)
_HIGHER_ENDS = ("accuracy", "auc", "score", "precision", "recall", "f1")
_NEITHER = frozenset(
    {
        *("lr", "rate", "epoch", "epochs", "step", "steps", "iteration", "iterations", "batch", "batches", "seed", "day", "depth"),
        *("rows", "row", "n", "count", "counts", "size", "samples"),
    }
)


def direction(name: str) -> int:
    """Which way a metric of this name is better: -1 lower, 1 higher, 0 where the name does not say."""
    words = [word.lower() for word in _WORD.findall(name)]
    if any(word in _LOWER or word.endswith(_LOWER_ENDS) for word in words):
        return -1
    if words and words[-1] in _NEITHER:
        return 0
    return int(any(word in _HIGHER or word.endswith(_HIGHER_ENDS) for word in words))


@record
class Cell(Record):
    """One run's value: `text` is short, `title` is all of it. `delta` is its difference to the baseline's; `good`: for the better, None
    where that cannot be said."""

    text: str
    title: str = ""
    best: bool = False
    delta: str = ""
    good: bool | None = None
    other: bool = False


@record
class Line(Record):
    """One parameter, metric or fact of all runs. `same`: all have the same value. `better`: as `direction`."""

    kind: str
    name: str
    cells: tuple[Cell, ...]
    same: bool
    better: int = 0


def compare_values(kind: str, name: str, values: Sequence[Any], base: int, better: int = 0, spell: Any = None) -> Line:
    """The values of all runs in one line; ABSENT where there is none. `base` is the place of the baseline."""
    keys = [as_key(value) for value in values]
    numbers = [number_of(value) for value in values]
    known = [number for number in numbers if number is not None]
    best = (min if better < 0 else max)(known) if better and len(set(known)) > 1 else None
    cells: list[Cell] = []
    for place, (value, number) in enumerate(zip(values, numbers, strict=True)):
        text = "" if value is ABSENT else spell(value) if spell else clip_value(value)
        delta, good = _delta(number, numbers[base], better, spell) if place != base else ("", None)
        title = "" if value is ABSENT else spell_value(value)
        cells.append(
            Cell(text, title if title != text else "", best is not None and number == best, delta, good, keys[place] != keys[base])
        )
    return Line(kind, name, tuple(cells), len(set(keys)) <= 1, better)


def _delta(number: float | None, base: float | None, better: int, spell: Any) -> tuple[str, bool | None]:
    if number is None or base is None or number == base:
        return "", None
    by = number - base
    text = f"{'+' if by > 0 else '−'}{(spell or spell_number)(abs(by))}"
    return text, (by > 0) == (better > 0) if better else None


def as_key(value: Any) -> str:
    """Equal for equal values; 1 and 1.0 are."""
    number = number_of(value)
    if number is not None and number == int(number):
        value = int(number)
    return "" if value is ABSENT else json.dumps(value, sort_keys=True, default=str)


def number_of(value: Any) -> float | None:
    """The value if it is a number that can be computed with."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


def compare_maps(kind: str, maps: Sequence[Mapping[str, Any]], base: int, flipped: Iterable[str] = (), spell: Any = None) -> list[Line]:
    """A line for each name that any of the maps has, in the order in which they come. Metrics have a best value."""
    turned = frozenset(flipped)
    lines: list[Line] = []
    for name in dict.fromkeys(name for one in maps for name in one):
        better = 0
        if kind == "metric":
            better = direction(name)
            better = (-better or 1) if name in turned else better
        lines.append(compare_values(kind, name, [one.get(name, ABSENT) for one in maps], base, better, spell))
    return lines


@record
class Phrase(Record):
    """A piece of the sentence that says what differs: "`name` `text`", told on the tab `tab`."""

    tab: str
    name: str
    text: str
    good: bool | None = None


def phrase_two(lines: Sequence[Line]) -> list[Phrase]:
    """What differs between two runs, line by line: "depth 4 → 8"."""
    found: list[Phrase] = []
    for line in lines:
        if not line.same:
            one, other = line.cells[0], line.cells[-1]
            good = one.good if one.delta else other.good
            if one.delta:  # the baseline is the second
                good = None if good is None else not good
            found.append(Phrase("", line.name, _spell_change(line.kind, one.text, other.text), good))
    return found


def _spell_change(kind: str, before: str, after: str) -> str:
    if kind == "package" and not (before and after):
        return f"{after} added" if after else f"{before} removed"
    return f"{before or 'none'} → {after or 'none'}"


def phrase_many(line: Line, runs: Sequence[str], values: Sequence[Any]) -> Phrase | None:
    """How one value spreads over many runs: "auc 0.76 – 0.98, best in x7kq3"; None if it does not."""
    if line.same:
        return None
    numbers = [number for value in values if (number := number_of(value)) is not None]
    if len(numbers) > 1 and len(set(numbers)) > 1:
        spell = spell_duration if line.kind == "duration" else spell_number
        text = f"{spell(min(numbers))} – {spell(max(numbers))}"
        best = [run for run, cell in zip(runs, line.cells, strict=True) if cell.best]
        return Phrase("", line.name, f"{text}, best in {best[0]}" if len(best) == 1 else text)
    texts = list(dict.fromkeys(cell.text or "none" for cell in line.cells))
    more = f" and {len(texts) - SAID} more" if len(texts) > SAID else ""
    return Phrase("", line.name, ", ".join(texts[:SAID]) + more)


def phrase_steps(codes: Sequence[Mapping[str, str]]) -> list[Phrase]:
    """Steps whose code is not the same in all runs that have them, and steps that only some have. `codes`: step -> digest, by run."""
    found: list[Phrase] = []
    changed = [
        name for name in dict.fromkeys(name for one in codes for name in one) if len({one[name] for one in codes if name in one}) > 1
    ]
    if changed:
        text = "changed" if len(codes) == 2 else f"in {max(len({one[name] for one in codes if name in one}) for name in changed)} versions"
        found.append(Phrase("code", f"code of {_listed(changed)}", text))
    partly = [name for name in dict.fromkeys(name for one in codes for name in one) if not all(name in one for one in codes)]
    if len(codes) == 2:
        added, removed = [name for name in partly if name in codes[1]], [name for name in partly if name in codes[0]]
        found += [
            Phrase("code", f"{'steps' if len(names) > 1 else 'step'} {_listed(names)}", said)
            for names, said in ((added, "added"), (removed, "removed"))
            if names
        ]
    elif partly:
        found.append(Phrase("code", f"{'steps' if len(partly) > 1 else 'step'} {_listed(partly)}", "only in some"))
    return found


def phrase_names(names: Sequence[str], what: str, tab: str) -> list[Phrase]:
    """Things that differ in a way that words cannot say: "outputs roc, model differ"."""
    if not names:
        return []
    several = len(names) > 1
    return [Phrase(tab, f"{what}{'s' if several else ''} {_listed(names)}", "differ" if several else "differs")]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SAID} more" if len(names) > SAID else ""
    return ", ".join(names[:SAID]) + more


def shorten(phrases: Sequence[Phrase], tab: str, what: str, said: int = SAID) -> list[Phrase]:
    """The first of them, and how many there are beyond."""
    shown = phrases if len(phrases) <= said + 1 else phrases[:said]
    some = [Phrase(tab, one.name, one.text, one.good) for one in shown]
    if len(phrases) > len(shown):
        some.append(Phrase(tab, f"{len(phrases) - len(shown)} more {what}", ""))
    return some
