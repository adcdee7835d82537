"""Who runs next on one machine: first come, first served, without anybody waiting for ever."""

from __future__ import annotations

from collections import deque

from fairway.spec.attempt import AttemptSpec
from fairway.spec.resources import Resources

_LOOK_AHEAD = 64
_UNITS_A_CORE = 1_000_000


def _units(cores: float) -> int:
    """Parts of cores as whole numbers: floats would not add up to the whole again, and who needs it would wait for ever."""
    return round(cores * _UNITS_A_CORE)


class Slots:
    """What is free, who holds what, and who waits.

    An attempt may pass one that waits only if it leaves it everything it waits for: what a waiting attempt wants counts as taken for all
    behind it. Devices are handed out by number, so that two attempts never share one.
    """

    def __init__(self, total: Resources) -> None:
        self.total = total
        self._cpu = _units(total.cpu)
        self._memory = total.memory_bytes
        self._devices = {kind: list(range(count)) for kind, count in total.accelerators.items()}
        self._queue: deque[AttemptSpec] = deque()
        self._held: dict[str, tuple[Resources, dict[str, list[int]]]] = {}

    def __len__(self) -> int:
        return len(self._queue)

    def free(self) -> Resources:
        """What nobody holds now."""
        return Resources(self._cpu / _UNITS_A_CORE, self._memory, 0, {kind: len(ids) for kind, ids in self._devices.items()})

    def find_excess(self, wanted: Resources) -> str:
        """What an attempt asks for beyond all that the machine has, in words; "" if it fits."""
        if wanted.cpu > self.total.cpu:
            return f"asks for {wanted.cpu:g} cores, and this machine has {self.total.cpu:g}"
        if wanted.memory_bytes > self.total.memory_bytes:
            return (
                f"asks for {wanted.memory_bytes / 2**30:.1f} GiB of memory, and this machine has {self.total.memory_bytes / 2**30:.1f} GiB"
            )
        for kind, count in wanted.accelerators.items():
            if count > self.total.accelerators.get(kind, 0):
                return f"asks for {count} of {kind}, and this machine has {self.total.accelerators.get(kind, 0)}"
        return ""

    def add(self, attempt: AttemptSpec) -> None:
        """Put it at the end of the queue."""
        self._queue.append(attempt)

    def drop(self, attempt: AttemptSpec) -> bool:
        """Take it out of the queue; False if it is not there."""
        try:
            self._queue.remove(attempt)
        except ValueError:
            return False
        return True

    def take(self) -> list[tuple[AttemptSpec, dict[str, list[int]]]]:
        """Attempts that may start now, each with the numbers of its devices."""
        started: list[tuple[AttemptSpec, dict[str, list[int]]]] = []
        blocked: list[AttemptSpec] = []
        cpu, memory = self._cpu, self._memory
        devices = {kind: len(ids) for kind, ids in self._devices.items()}
        while self._queue and cpu > 0 and len(blocked) < _LOOK_AHEAD:
            attempt = self._queue.popleft()
            wanted = attempt.resources
            fits = (
                _units(wanted.cpu) <= cpu
                and wanted.memory_bytes <= memory
                and all(count <= devices.get(kind, 0) for kind, count in wanted.accelerators.items())
            )
            cpu -= _units(wanted.cpu)
            memory -= wanted.memory_bytes
            for kind, count in wanted.accelerators.items():
                devices[kind] = devices.get(kind, 0) - count
            if fits:
                started.append((attempt, self._hold(attempt.id, wanted)))
            else:
                blocked.append(attempt)
        self._queue.extendleft(reversed(blocked))
        return started

    def give_back(self, id: str) -> None:
        """The attempt has ended. Unknown = fine."""
        held = self._held.pop(id, None)
        if held is None:
            return
        wanted, devices = held
        self._cpu += _units(wanted.cpu)
        self._memory += wanted.memory_bytes
        for kind, ids in devices.items():
            self._devices[kind] = sorted(self._devices[kind] + ids)

    def _hold(self, id: str, wanted: Resources) -> dict[str, list[int]]:
        self._cpu -= _units(wanted.cpu)
        self._memory -= wanted.memory_bytes
        devices: dict[str, list[int]] = {}
        for kind, count in wanted.accelerators.items():
            devices[kind], self._devices[kind] = self._devices[kind][:count], self._devices[kind][count:]
        self._held[id] = (wanted, devices)
        return devices
