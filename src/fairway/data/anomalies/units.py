"""Another unit: values that are those of before times a factor (and plus an offset)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_NEAR, _FAR, _FARTHER = 0.06, 0.2, 0.5
"""How far from the conversion the quantiles may be, as a share of their spread: where the move is small, large, and very large."""
_PREFERRED = 0.05
"""Powers of ten are taken if they are as near as others but for that."""


class Conversion(NamedTuple):
    """new = factor * old + offset."""

    factor: float
    offset: float = 0.0
    text: str = ""

    def __call__(self, value: float) -> float:
        return self.factor * value + self.offset


def _both_ways(factor: float, text: str, back: str) -> tuple[Conversion, Conversion]:
    return Conversion(factor, 0.0, text), Conversion(1 / factor, 0.0, back)


_POWERS = tuple(Conversion(10.0**power, 0.0, f"×{10**power:,}" if power > 0 else f"÷{10**-power:,}") for power in range(-9, 10) if power)
_KNOWN: tuple[Conversion, ...] = (
    *_POWERS,
    *_both_ways(60, "×60, as from minutes to seconds", "÷60, as from seconds to minutes"),
    *_both_ways(3600, "×3,600, as from hours to seconds", "÷3,600, as from seconds to hours"),
    *_both_ways(86400, "×86,400, as from days to seconds", "÷86,400, as from seconds to days"),
    *_both_ways(24, "×24, as from days to hours", "÷24, as from hours to days"),
    *_both_ways(7, "×7, as from weeks to days", "÷7, as from days to weeks"),
    *_both_ways(12, "×12, as from years to months", "÷12, as from months to years"),
    *_both_ways(1024, "×1,024, as from KiB to bytes", "÷1,024, as from bytes to KiB"),
    *_both_ways(1024**2, "×1,048,576, as from MiB to bytes", "÷1,048,576, as from bytes to MiB"),
    *_both_ways(2.54, "×2.54, as from inches to centimetres", "÷2.54, as from centimetres to inches"),
    *_both_ways(25.4, "×25.4, as from inches to millimetres", "÷25.4, as from millimetres to inches"),
    *_both_ways(0.3048, "×0.3048, as from feet to metres", "÷0.3048, as from metres to feet"),
    *_both_ways(1.609344, "×1.609, as from miles to kilometres", "÷1.609, as from kilometres to miles"),
    *_both_ways(1.852, "×1.852, as from knots to km/h", "÷1.852, as from km/h to knots"),
    *_both_ways(3.6, "×3.6, as from m/s to km/h", "÷3.6, as from km/h to m/s"),
    *_both_ways(2.236936, "×2.237, as from m/s to mph", "÷2.237, as from mph to m/s"),
    *_both_ways(0.45359237, "×0.4536, as from pounds to kilograms", "÷0.4536, as from kilograms to pounds"),
    *_both_ways(0.028349523, "×0.02835, as from ounces to kilograms", "÷0.02835, as from kilograms to ounces"),
    *_both_ways(28.349523, "×28.35, as from ounces to grams", "÷28.35, as from grams to ounces"),
    *_both_ways(3.785411784, "×3.785, as from gallons to litres", "÷3.785, as from litres to gallons"),
    *_both_ways(4.184, "×4.184, as from kilocalories to kilojoules", "÷4.184, as from kilojoules to kilocalories"),
    *_both_ways(6.894757, "×6.895, as from psi to kilopascals", "÷6.895, as from kilopascals to psi"),
    *_both_ways(14.503774, "×14.5, as from bar to psi", "÷14.5, as from psi to bar"),
    *_both_ways(180 / np.pi, "×57.3, as from radians to degrees", "÷57.3, as from degrees to radians"),
    Conversion(1.8, 32.0, "as from °C to °F"), Conversion(1 / 1.8, -32 / 1.8, "as from °F to °C"),
    Conversion(1.0, 273.15, "as from °C to K"), Conversion(1.0, -273.15, "as from K to °C"),
    Conversion(-1.0, 0.0, "with the sign turned"),
)  # fmt: skip


def find_conversion(before: Sequence[float] | np.ndarray, now: Sequence[float] | np.ndarray) -> Conversion | None:
    """The conversion that takes the quantiles `before` to those of `now`; None where they did not move much, or not by any that is known.

    Both are the values at the same probabilities, in rising order. The move must be clear (a third of the spread at least), and what is
    left after the conversion must be small: 6 % of the spread; 20 % where the values moved by more than twice their spread, and 50 % where
    they moved by more than twenty times.
    """
    old, new = np.asarray(before, float), np.asarray(now, float)
    if len(old) != len(new) or not len(old) or not (np.isfinite(old).all() and np.isfinite(new).all()):
        return None
    spread = float(old[-1] - old[0]) or float(np.abs(old).max())
    if not spread:
        return None
    moved = float(np.abs(new - old).max()) / spread
    shrank = _shrinkage(old, new)
    if moved < 0.3 and shrank < 3:
        return None
    best, least = None, np.inf
    for one in _KNOWN:
        if one.factor < 0 and old[0] < 0 < old[-1]:  # values on both sides of 0 turn into nearly themselves
            continue
        image = one.factor * old + one.offset
        left = float(np.abs(new - (image if one.factor > 0 else image[::-1])).max()) / (spread * abs(one.factor))
        left += 0.0 if one in _POWERS or one.factor < 0 else min(_PREFERRED, left)
        if left < least - 1e-12:
            best, least = one, left
    allowed = _FARTHER if max(moved / 20, shrank / 100) > 1 else _FAR if moved > 2 or shrank > 10 else _NEAR
    return best if least <= allowed else None


def _shrinkage(old: np.ndarray, new: np.ndarray) -> float:
    """How many times narrower, or nearer to 0, the values are."""
    now = float(new[-1] - new[0]) or float(np.abs(new).max())
    before = float(old[-1] - old[0]) or float(np.abs(old).max())
    return before / now if now else 1.0
