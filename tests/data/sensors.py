"""Simulated sensors: one reading every five seconds (0.2 Hz) with jitter, and everything that happens to such a clock. Pure and seeded.

calm = readings(2_000, seed=7)
slow = then(calm, readings(1_000, seed=7, begin_s=calm.end_s, period_s=10))        # 0.2 Hz → 0.1 Hz
Batch.of(slow.columns()); slow.ndjson(); slow.rows()
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

BEGIN_S = dt.datetime(2026, 3, 2, tzinfo=dt.UTC).timestamp()
"""A Monday, 00:00 UTC."""


@dataclass(frozen=True)
class Readings:
    """Rows in the order in which they arrive. `at_us`: microseconds since 1970 in UTC, as the sensor's clock says."""

    at_us: np.ndarray
    site: np.ndarray
    temperature: np.ndarray
    humidity: np.ndarray
    battery: np.ndarray
    state: np.ndarray

    def __len__(self) -> int:
        return len(self.at_us)

    @property
    def end_s(self) -> float:
        """When the next reading would be due, about: the last one's time and a median period."""
        return float(self.at_us[-1] + np.median(np.diff(np.sort(self.at_us)))) / 1e6

    def columns(self) -> dict[str, Any]:
        """For `Batch.of`: `at` is aware UTC, so its column is `timestamp[us, UTC]`."""
        return {
            "at": [dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(microseconds=int(one)) for one in self.at_us],
            "site": self.site.tolist(),
            "temperature": self.temperature,
            "humidity": self.humidity,
            "battery": self.battery,
            "state": self.state.tolist(),
        }

    def rows(self) -> list[dict[str, Any]]:
        """For NDJSON and CSV: `at` as ISO 8601 text ending in Z."""
        times = np.datetime_as_string(self.at_us.astype("datetime64[us]"), timezone="naive")
        columns = (self.site, self.temperature, self.humidity, self.battery, self.state)
        return [
            dict(zip(("at", "site", "temperature", "humidity", "battery", "state"), (f"{at}Z", *values), strict=True))
            for at, *values in zip(times.tolist(), *(one.tolist() for one in columns), strict=True)
        ]

    def ndjson(self) -> bytes:
        return b"".join(json.dumps(row).encode() + b"\n" for row in self.rows())

    def take(self, which: np.ndarray | slice) -> Readings:
        """Some rows, by mask, numbers or slice."""
        return Readings(**{name: getattr(self, name)[which] for name in self.__dataclass_fields__})


def readings(
    count: int,
    *,
    seed: int = 1,
    period_s: float = 5.0,
    jitter_s: float = 0.2,
    begin_s: float = BEGIN_S,
    site: str = "north",
    level: float = 20.0,
) -> Readings:
    """`count` readings, one each `period_s`, each late or early by a normal jitter (cut at 3 sigma, and at 0.4 periods). Temperature
    follows the day, with a slow and a fast noise; the battery goes down by one in about 400 readings."""
    random = np.random.default_rng(seed)
    jitter = np.clip(random.normal(0.0, jitter_s, count), -min(3 * jitter_s, 0.4 * period_s), min(3 * jitter_s, 0.4 * period_s))
    at_s = begin_s + np.arange(count) * period_s + jitter
    slow = _autoregressive(random.normal(0.0, 0.05, count), 0.98)
    temperature = level + 4.0 * np.sin(2 * np.pi * (at_s / 86_400 - 0.3)) + slow + random.normal(0.0, 0.1, count)
    humidity = np.clip(55.0 - 1.5 * (temperature - level) + random.normal(0.0, 0.8, count), 0.0, 100.0)
    state = np.array(["ok", "warming", "cooling", "idle"])[random.choice(4, count, p=[0.7, 0.12, 0.12, 0.06])]
    return Readings(
        at_us=np.round(at_s * 1e6).astype(np.int64),
        site=np.full(count, site),
        temperature=np.round(temperature, 3),
        humidity=np.round(humidity, 2),
        battery=100 - np.cumsum(random.random(count) < 0.0025) % 100,
        state=state,
    )


def then(*parts: Readings) -> Readings:
    """One after the other, as they arrive."""
    return Readings(**{name: np.concatenate([getattr(one, name) for one in parts]) for name in parts[0].__dataclass_fields__})


def together(*parts: Readings) -> Readings:
    """Several sensors in one table, by time."""
    whole = then(*parts)
    return whole.take(np.argsort(whole.at_us, kind="stable"))


def with_gap(whole: Readings, first: int, count: int) -> Readings:
    """The sensor is silent: `count` readings from row `first` on never came."""
    return whole.take(np.delete(np.arange(len(whole)), slice(first, first + count)))


def dropping(whole: Readings, share: float, *, first: int = 0, seed: int = 1) -> Readings:
    """From row `first` on, `share` of the readings are lost, here and there."""
    kept = np.random.default_rng(seed).random(len(whole)) >= share
    kept[:first] = True
    return whole.take(kept)


def zone_shifted(whole: Readings, hours: float, *, first: int = 0) -> Readings:
    """From row `first` on, the clock shows another time zone's time and still calls it UTC."""
    at_us = whole.at_us.copy()
    at_us[first:] += round(hours * 3_600e6)
    return replace(whole, at_us=at_us)


def clock_drifting(whole: Readings, seconds_per_day: float, *, first: int = 0) -> Readings:
    """From row `first` on, the clock runs fast (or slow, if negative)."""
    at_us = whole.at_us.copy()
    at_us[first:] += ((at_us[first:] - at_us[first]) * (seconds_per_day / 86_400)).astype(np.int64)
    return replace(whole, at_us=at_us)


def repeated(whole: Readings, share: float, *, seed: int = 1) -> Readings:
    """`share` of the readings are sent twice, one right after the other."""
    twice = np.random.default_rng(seed).random(len(whole)) < share
    return whole.take(np.repeat(np.arange(len(whole)), np.where(twice, 2, 1)))


def out_of_order(whole: Readings, *, within: int = 0, seed: int = 1) -> Readings:
    """Readings overtake each other by up to `within` places; 0: in no order at all."""
    random = np.random.default_rng(seed)
    if not within:
        return whole.take(random.permutation(len(whole)))
    return whole.take(np.argsort(np.arange(len(whole)) + random.uniform(0, within, len(whole)), kind="stable"))


def in_fahrenheit(whole: Readings, *, first: int = 0) -> Readings:
    """From row `first` on, temperatures come in another unit."""
    temperature = whole.temperature.copy()
    temperature[first:] = np.round(temperature[first:] * 1.8 + 32.0, 3)
    return replace(whole, temperature=temperature)


def frozen(whole: Readings, *, first: int = 0) -> Readings:
    """From row `first` on, the sensor repeats its last value for ever."""
    temperature = whole.temperature.copy()
    temperature[first:] = temperature[first]
    return replace(whole, temperature=temperature)


def _autoregressive(noise: np.ndarray, keep: float) -> np.ndarray:
    made = np.empty_like(noise)
    last = 0.0
    for place, one in enumerate(noise.tolist()):
        last = keep * last + one
        made[place] = last
    return made
