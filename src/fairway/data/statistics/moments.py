"""Mean, spread, skewness and kurtosis of any number of parts, merged without loss (Chan, Golub, LeVeque 1979; Pébay 2008)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(slots=True)
class Moments:
    """Sums of the powers of the distances to the mean, of values divided by 2 ** `exponent`: so that neither 1e300 nor 1e-300 leaves the
    range of a float."""

    count: int = 0
    mean: float = 0.0
    second: float = 0.0
    third: float = 0.0
    fourth: float = 0.0
    exponent: int = 0

    @classmethod
    def of(cls, values: np.ndarray, counts: np.ndarray | None = None) -> Moments:
        """Of finite float64s; `counts`: how often each comes."""
        if not len(values):
            return cls()
        size = max(abs(float(values.min())), abs(float(values.max())))
        exponent = 0 if size == 0 or 1e-60 < size < 1e60 else math.frexp(size)[1]
        scaled = np.ldexp(values, -exponent) if exponent else values
        if counts is None:
            count = len(scaled)
            mean = float(scaled.mean())
            away = scaled - mean
            square = away * away
            return cls(count, mean, float(square.sum()), _dot(square, away), _dot(square, square), exponent)
        count = int(counts.sum())
        mean = float(_dot(scaled, counts) / count)
        away = scaled - mean
        weighed = away * away * counts
        return cls(count, mean, float(weighed.sum()), _dot(weighed, away), _dot(weighed, away * away), exponent)

    def scaled(self, exponent: int) -> Moments:
        """The same, of values divided by 2 ** `exponent`."""
        by = self.exponent - exponent
        if not by or not self.count:
            return Moments(self.count, self.mean, self.second, self.third, self.fourth, exponent)
        return Moments(
            self.count,
            *(math.ldexp(one, by * power) for power, one in enumerate((self.mean, self.second, self.third, self.fourth), 1)),
            exponent=exponent,
        )

    def merged(self, other: Moments) -> Moments:
        """Of both parts."""
        if not other.count:
            return self
        if not self.count:
            return other
        exponent = max(self.exponent, other.exponent)
        a, b = self.scaled(exponent), other.scaled(exponent)
        n, na, nb = a.count + b.count, a.count, b.count
        apart = b.mean - a.mean
        step = apart / n
        mixed = apart * step * na * nb
        second = a.second + b.second + mixed
        third = a.third + b.third + mixed * step * (na - nb) + 3 * step * (na * b.second - nb * a.second)
        fourth = a.fourth + b.fourth + mixed * step * step * (na * na - na * nb + nb * nb)
        fourth += 6 * step * step * (na * na * b.second + nb * nb * a.second) + 4 * step * (na * b.third - nb * a.third)
        return Moments(n, a.mean + step * nb, second, third, fourth, exponent)

    @property
    def average(self) -> float:
        return _unscaled(self.mean, self.exponent) if self.count else math.nan

    @property
    def std(self) -> float:
        """Of the sample (n - 1); nan of fewer than two."""
        return _unscaled(math.sqrt(max(0.0, self.second) / (self.count - 1)), self.exponent) if self.count > 1 else math.nan

    @property
    def skewness(self) -> float:
        """Of the values as they are (no correction of bias); nan where all are equal."""
        if self.count < 2 or self.second <= 0 or not ((spread := self.second / self.count) ** 1.5):
            return math.nan
        return self.third / self.count / spread**1.5

    @property
    def kurtosis(self) -> float:
        """The excess over the normal distribution's; nan where all are equal."""
        if self.count < 2 or self.second <= 0 or not ((spread := self.second / self.count) ** 2):
            return math.nan
        return self.fourth / self.count / spread**2 - 3

    def to_record(self) -> list[Any]:
        return [self.count, self.mean, self.second, self.third, self.fourth, self.exponent]

    @classmethod
    def from_record(cls, record: list[Any]) -> Moments:
        return cls(int(record[0]), *(float(one) for one in record[1:5]), exponent=int(record[5]))


def _unscaled(value: float, exponent: int) -> float:
    try:
        return math.ldexp(value, exponent)
    except OverflowError:
        return math.copysign(math.inf, value)


def _dot(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.einsum("i,i->", one, other))  # BLAS would start threads of its own
