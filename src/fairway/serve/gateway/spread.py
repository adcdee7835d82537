"""Which revision a request goes to: by weights, evenly over any stretch of requests, or always the same one for a caller. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping

_STEP = 0.6180339887498949  # multiples of the golden ratio fill [0, 1) as evenly as anything can, and follow no caller's rhythm


class Spread:
    """Weights over revisions as stretches of [0, 1), in order of their numbers: with more weight for a newer one, those callers that met
    it before meet it still."""

    __slots__ = ("_bounds", "_point", "revisions", "weights")

    def __init__(self, traffic: tuple[tuple[int, float], ...], point: float = 0.0) -> None:
        total = sum(weight for _, weight in traffic)
        self._bounds: list[tuple[float, int]] = []
        reached = 0.0
        for number, weight in sorted(traffic):
            if weight > 0:
                reached += weight
                self._bounds.append((reached / total, number))
        self.revisions = tuple(number for _, number in self._bounds)
        self.weights = {number: weight for number, weight in sorted(traffic) if weight > 0}
        self._point = point

    def find(self, point: float) -> int:
        """The revision whose stretch holds the point; 0 if there is none at all."""
        for bound, number in self._bounds:
            if point < bound:
                return number
        return self.revisions[-1] if self.revisions else 0

    def draw(self) -> int:
        """The next one."""
        if len(self._bounds) == 1:
            return self.revisions[0]
        self._point = (self._point + _STEP) % 1.0
        return self.find(self._point)

    def replaced(self, traffic: tuple[tuple[int, float], ...]) -> Spread:
        """One for other weights that goes on where this one is."""
        return Spread(traffic, self._point)


def to_point(endpoint: str, value: str) -> float:
    """A caller's place in [0, 1): the same for ever and in each gateway, and another one at each endpoint."""
    digest = hashlib.blake2b(f"{endpoint}\0{value}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def choose_running(wanted: int, weights: Mapping[int, float], running: Collection[int]) -> int:
    """`wanted` if it runs, else the one of those that run which bears the most traffic, the older of equals; 0 if that bears less than
    `wanted`: what is only being tried does not get the traffic of what is established, a request rather waits."""
    if wanted in running:
        return wanted
    best = max((number for number in weights if number in running), key=lambda number: (weights[number], -number), default=0)
    meant = (weights[wanted], -wanted) if wanted in weights else (0.0, 0)
    return best if best and (weights[best], -best) > meant else 0
