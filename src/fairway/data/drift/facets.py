"""Facets: what a column is compared by. A number or a category is its own; times, texts, lists, embeddings and images have several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from fairway.data.batch import Batch, Values
from fairway.data.drift import embeddings, images, text
from fairway.data.drift.readings import Counts, ExactNumbers, Numbers, StatedNumbers, counts_of_tops, counts_of_values
from fairway.data.drift.samples import drawn

ColumnKind = Literal["number", "boolean", "category", "time", "text", "list", "embedding", "image"]
_DAY = 86_400_000_000
_CLOCKS = {"timestamp": ("hour", "weekday"), "date": ("weekday",), "time": ("hour",)}
_NUMBERS = ("float", "integer", "decimal", "duration", "boolean")


@dataclass(frozen=True)
class Facet:
    """One aspect of one column; `name` "" is the value itself."""

    column: str
    name: str
    kind: ColumnKind
    shape: Literal["number", "category"]
    state: dict[str, Any] = field(default_factory=dict[str, Any], hash=False)
    """what its reduction was fitted to (an embedding's width and centre)"""

    @property
    def key(self) -> str:
        return f"{self.column}:{self.name}" if self.name else self.column


class Rows(Protocol):
    """What facets are read from: statistics, or rows at hand."""

    rows: int

    def names(self) -> list[str]: ...
    def kind(self, column: str) -> str: ...
    def numbers(self, column: str) -> Numbers: ...
    def counts(self, column: str) -> Counts: ...
    def distinct(self, column: str) -> float: ...
    def sample(self, column: str) -> Values | None: ...
    def span_days(self, column: str) -> float: ...


class RowsAtHand:
    """A batch, exactly."""

    def __init__(self, batch: Batch) -> None:
        self.batch, self.rows = batch, batch.rows

    def names(self) -> list[str]:
        return list(self.batch.columns)

    def kind(self, column: str) -> str:
        return self.batch.columns[column].kind

    def numbers(self, column: str) -> Numbers:
        values = self.batch.columns[column]
        if values.kind == "boolean":
            return _TwoValues(len(values), values.nulls, float(np.count_nonzero(values.present())))
        return ExactNumbers(values.present().astype(np.float64), values.nulls)

    def counts(self, column: str) -> Counts:
        return counts_of_values(self.batch.columns[column])

    def distinct(self, column: str) -> float:
        values = self.batch.columns[column]
        return float(len(np.unique(values.hashes() if values.valid is None else values.hashes()[values.valid])))

    def sample(self, column: str) -> Values | None:
        return self.batch.columns[column]

    def span_days(self, column: str) -> float:
        present = self.batch.columns[column].present()
        unit = 1 if self.kind(column) == "date" else _DAY
        return (int(present.max()) - int(present.min())) / unit if len(present) else 0.0


class RowsMeasured:
    """Statistics; what they do not hold comes from their sample."""

    def __init__(self, statistics: Any) -> None:
        self.statistics, self.rows = statistics, int(statistics.rows)
        sample = drawn(statistics)
        self.drawn = RowsAtHand(sample) if sample.columns else None

    def names(self) -> list[str]:
        return list(self.statistics.columns)

    def kind(self, column: str) -> str:
        return self.statistics.columns[column].kind

    def numbers(self, column: str) -> Numbers:
        if self.kind(column) == "boolean":
            return _booleans(self.statistics.columns[column])
        return StatedNumbers(self.statistics.columns[column])

    def counts(self, column: str) -> Counts:
        of = self.statistics.columns[column]
        return counts_of_tops(of.most_frequent(200), int(of.rows), int(of.nulls), bool(of.top_is_complete))

    def distinct(self, column: str) -> float:
        return float(self.statistics.columns[column].distinct)

    def sample(self, column: str) -> Values | None:
        return self.drawn.batch.columns.get(column) if self.drawn else None

    def span_days(self, column: str) -> float:
        return self.drawn.span_days(column) if self.drawn and column in self.drawn.batch.columns else 0.0


class _TwoValues:
    """A boolean column as numbers."""

    def __init__(self, rows: int, nulls: int, trues: float) -> None:
        self.rows, self.nulls, self.nans, self.error = rows, nulls, 0, 0.0
        present = max(rows - nulls, 1)
        self.mean = trues / present
        self.std = float(np.sqrt(self.mean * (1 - self.mean)))
        self.minimum, self.maximum = 0.0, 1.0

    def quantile(self, q: np.ndarray) -> np.ndarray:
        return (q > 1 - self.mean).astype(np.float64)

    def cdf(self, x: np.ndarray) -> np.ndarray:
        return np.where(x >= 1, 1.0, np.where(x >= 0, 1 - self.mean, 0.0))

    def atoms(self) -> np.ndarray | None:
        return np.array([0.0, 1.0])


def _booleans(column: Any) -> Numbers:
    trues = sum(float(one.count) for one in column.top if one.value in (True, 1, "true", "True"))
    return _TwoValues(int(column.rows), int(column.nulls), trues)


def facets_of(rows: Rows, column: str) -> list[Facet]:
    """By what a baseline's column is compared; none for a column of nulls and for a key (whole numbers in a row, each once)."""
    kind = rows.kind(column)
    if kind in _NUMBERS:
        if kind == "integer" and _is_key(rows, column):
            return []
        return [Facet(column, "", "boolean" if kind == "boolean" else "number", "number")]
    if kind in _CLOCKS:
        return [Facet(column, name, "time", "number") for name in _CLOCKS[kind]]
    sample = rows.sample(column)
    if kind == "string":
        distinct, present = rows.distinct(column), max(rows.rows - rows.counts(column).nulls, 1)
        if distinct <= max(50, min(1000, present / 10)) or sample is None:
            return [Facet(column, "", "category", "category")]
        return [Facet(column, name, "text", "category" if name == "shape" else "number") for name in TEXT]
    return _of_structure(column, sample) if sample is not None and len(sample) else []


def _of_structure(column: str, sample: Values) -> list[Facet]:
    width = embeddings.width_of(sample)
    if width:
        centre = np.nan_to_num(np.nanmean(embeddings.matrix(sample, width), 0))
        state = {"width": width, "centre": [float(f"{x:.5g}") for x in centre]}
        return [Facet(column, name, "embedding", "number", state) for name in EMBEDDING]
    if sample.kind == "list":
        return [Facet(column, "length", "list", "number")]
    if images.looks_like_images(sample):
        return [Facet(column, name, "image", "number") for name in (*images.SIZES, *(images.LIGHTS if images.can_decode() else ()))]
    return [Facet(column, "length", "text", "number")] if sample.kind == "binary" else []


TEXT = ("length", "words", "letters", "digits", "beyond", "shape", "trigram")
EMBEDDING = ("norm", "centre", *(f"direction {n}" for n in range(embeddings.PROJECTIONS)))
NAMES: Mapping[str, tuple[str, ...]] = {
    "number": ("",), "boolean": ("",), "category": ("",), "time": ("hour", "weekday"), "text": TEXT, "list": ("length",),
    "embedding": EMBEDDING, "image": (*images.SIZES, *images.LIGHTS),
}  # fmt: skip
"""By kind of facet, what it may be of a column."""


def _is_key(rows: Rows, column: str) -> bool:
    numbers = rows.numbers(column)
    present = numbers.rows - numbers.nulls
    return present > 50 and rows.distinct(column) >= 0.99 * present and numbers.maximum - numbers.minimum <= 4 * present


def read_facet(rows: Rows, facet: Facet) -> Numbers | Counts:
    """The facet of all rows (of their sample, where it is not kept in statistics)."""
    if not facet.name:
        return rows.numbers(facet.column) if facet.shape == "number" else rows.counts(facet.column)
    sample = rows.sample(facet.column)
    if sample is None:
        return ExactNumbers(np.zeros(0))
    if facet.shape == "category":
        return counts_of_values(text.shapes(text.Texts(sample)))
    return ExactNumbers(reduced({}, facet, sample), sample.nulls)


def reduced(cache: dict[str, Any], facet: Facet, values: Values) -> np.ndarray:
    """The facet's number of each row that has a value. `cache`: what several facets of this column share."""
    made = _numbers_of(cache, facet, values)
    return made if values.valid is None or len(made) != len(values) else made[values.valid]


def _numbers_of(cache: dict[str, Any], facet: Facet, values: Values) -> np.ndarray:
    name = facet.name
    if not name:
        return values.data
    if facet.kind == "time":
        return _clock(name, values)
    if facet.kind == "embedding":
        return _embedded(cache, facet, values)
    if facet.kind == "image":
        if "image" not in cache:
            cache["image"] = images.measured(values)
        found: Mapping[str, np.ndarray] = cache["image"]
        return found[name] if name in found else np.full(len(values), np.nan)
    if name == "length":
        return values.lengths().astype(np.float64)
    texts = shared_texts(cache, values)
    if name == "words":
        return text.words(texts)
    return text.trigrams(texts) if name == "trigram" else text.shares(texts, name)


def shared_texts(cache: dict[str, Any], values: Values) -> text.Texts:
    """What the facets of a column of texts share."""
    if "texts" not in cache:
        cache["texts"] = text.Texts(values)
    return cache["texts"]


def _clock(name: str, values: Values) -> np.ndarray:
    if values.kind == "date":
        return (values.data + 3) % 7
    if name == "hour":
        return values.data // 3_600_000_000 % 24
    return (values.data // _DAY + 3) % 7


def _embedded(cache: dict[str, Any], facet: Facet, values: Values) -> np.ndarray:
    if "points" not in cache:
        cache["points"] = embeddings.matrix(values, int(facet.state["width"]))
    points: np.ndarray = cache["points"]
    if facet.name == "norm":
        return embeddings.norms(points)
    if facet.name == "centre":
        return embeddings.towards(points, np.asarray(facet.state["centre"]))
    return embeddings.projected(points, int(facet.name.split()[-1]))
