"""Who runs next on one machine: first come, first served, without anybody waiting for ever."""

from __future__ import annotations

from collections import deque

from fairway.spec.attempt import AttemptSpec
from fairway.spec.record import replace
from fairway.spec.resources import Resources

_LOOK_AHEAD = 64
_UNITS_A_CORE = 1_000_000


def times(each: Resources, count: int) -> Resources:
    """What `count` of them want together."""
    if count == 1:
        return each
    devices = {kind: number * count for kind, number in each.accelerators.items()}
    return replace(each, cpu=each.cpu * count, memory_bytes=each.memory_bytes * count, accelerators=devices)


def _task_of(attempt: AttemptSpec) -> tuple[str, ...]:
    """What all attempts of a task have in common."""
    return (attempt.run, *(item.task for item in attempt.items))


def _units(cores: float) -> int:
    """Parts of cores as whole numbers: floats would not add up to the whole again, and who needs it would wait for ever."""
    return round(cores * _UNITS_A_CORE)


class Slots:
    """What is free, who holds what, and who waits.

    An attempt may pass one that waits only if it leaves it everything it waits for: what a waiting attempt wants counts as taken for all
    behind it. Devices are handed out by number, so that two attempts never share one. A gang gets all that its replicas want at once, or
    waits with nothing in its hands: no two can wait for each other. One that starts again may keep what it holds: two that compete would
    otherwise take turns, each losing what it did since its last checkpoint.
    """

    def __init__(self, total: Resources) -> None:
        self.total = total
        self._cpu = _units(total.cpu)
        self._memory = total.memory_bytes
        self._devices = {kind: list(range(count)) for kind, count in total.accelerators.items()}
        self._queue: deque[AttemptSpec] = deque()
        self._held: dict[str, tuple[Resources, dict[str, list[int]]]] = {}
        self._kept: dict[tuple[str, ...], tuple[str, float]] = {}  # task -> its attempt that has ended, and until when

    def __len__(self) -> int:
        return len(self._queue)

    def free(self) -> Resources:
        """What nobody holds now."""
        return Resources(self._cpu / _UNITS_A_CORE, self._memory, 0, {kind: len(ids) for kind, ids in self._devices.items()})

    def find_excess(self, attempt: AttemptSpec) -> str:
        """What an attempt asks for beyond all that the machine has, in words; "" if it fits. A gang fits if the fewest replicas do."""
        gang, each = attempt.step.gang, attempt.resources
        wanted = times(each, gang.fewest if gang.replicas else 1)
        of_each = f" ({gang.fewest} replicas of {{}})" if gang.fewest > 1 else ""
        if _units(wanted.cpu) > _units(self.total.cpu):
            return f"asks for {wanted.cpu:g} cores{of_each.format(f'{each.cpu:g}')}, and this machine has {self.total.cpu:g}"
        if wanted.memory_bytes > self.total.memory_bytes:
            asked, has = f"{wanted.memory_bytes / 2**30:.1f}", f"{self.total.memory_bytes / 2**30:.1f}"
            return f"asks for {asked} GiB of memory{of_each.format(f'{each.memory_bytes / 2**30:.1f}')}, and this machine has {has} GiB"
        for kind, count in wanted.accelerators.items():
            if count > self.total.accelerators.get(kind, 0):
                shown = of_each.format(each.accelerators[kind])
                return f"asks for {count} of {kind}{shown}, and this machine has {self.total.accelerators.get(kind, 0)}"
        return ""

    def count_replicas(self, attempt: AttemptSpec) -> int:
        """With how many replicas it starts here: as many of those it asks for as this machine can ever hold. 1 for a plain attempt."""
        gang = attempt.step.gang
        if not gang.replicas:
            return 1
        return max(gang.fewest, min(gang.replicas, self._count_fitting(attempt.resources)))

    def _count_fitting(self, each: Resources) -> int:
        counts = [_units(self.total.cpu) // max(1, _units(each.cpu))]
        if each.memory_bytes:
            counts.append(self.total.memory_bytes // each.memory_bytes)
        counts += [self.total.accelerators.get(kind, 0) // count for kind, count in each.accelerators.items() if count]
        return min(counts)

    def add(self, attempt: AttemptSpec) -> None:
        """Put it at the end of the queue; at its beginning, with what was kept for it, if it is a restart."""
        kept = self._kept.pop(_task_of(attempt), None)
        if kept is None:
            self._queue.append(attempt)
        else:
            self.give_back(kept[0])
            self._queue.appendleft(attempt)

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
            wanted = times(attempt.resources, self.count_replicas(attempt))
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

    def keep(self, attempt: AttemptSpec, until: float) -> None:
        """It has ended and will soon be tried again: until then nobody else gets what it holds."""
        self._kept[_task_of(attempt)] = attempt.id, until

    def release(self, now: float) -> float:
        """Give back what was kept for those that have not come. Returns until when the next is kept, 0 if none is."""
        for task, (id, until) in list(self._kept.items()):
            if until <= now:
                del self._kept[task]
                self.give_back(id)
        return min((until for _, until in self._kept.values()), default=0.0)

    def _hold(self, id: str, wanted: Resources) -> dict[str, list[int]]:
        self._cpu -= _units(wanted.cpu)
        self._memory -= wanted.memory_bytes
        devices: dict[str, list[int]] = {}
        for kind, count in wanted.accelerators.items():
            devices[kind], self._devices[kind] = self._devices[kind][:count], self._devices[kind][count:]
        self._held[id] = (wanted, devices)
        return devices
