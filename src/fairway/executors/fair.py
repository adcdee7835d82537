"""Who may have a pod next: a target's limits hold attempts back, in order within a run, fairly between runs. Pure.

Of the runs that wait, the one that holds least goes first, else the one whose turn is longest ago. What does not fit waits for what it
needs: others may pass only if they leave that alone, so a big attempt is not starved by small ones.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from fairway.spec.attempt import AttemptSpec
from fairway.spec.record import Record, field, record
from fairway.spec.target import Limits

_LOOK_AHEAD = 64
_UNITS_A_CORE = 1_000_000


@record
class Ask(Record):
    """What one pod takes of the limits."""

    pods: int = 1
    cpu: float = 0.0
    memory_bytes: int = 0
    accelerators: dict[str, int] = field(default_factory=dict)


def ask_of(spec: AttemptSpec) -> Ask:
    """What the attempt's pod takes."""
    wanted = spec.resources
    return Ask(1, wanted.cpu, wanted.memory_bytes, dict(wanted.accelerators))


class FairQueue:
    """`limits` bound all runs together, `per_run` each of them; a limit of 0 is none."""

    def __init__(self, limits: Limits, per_run: Limits) -> None:
        self._limits, self._per_run = _units_of(limits), _units_of(per_run)
        self._queues: dict[str, deque[str]] = {}
        self._waiting: dict[str, tuple[str, dict[str, int]]] = {}
        self._held: dict[str, tuple[str, dict[str, int]]] = {}
        self._used: dict[str, int] = {}
        self._used_by: dict[str, dict[str, int]] = {}
        self._reasons: dict[str, str] = {}
        self._served: dict[str, int] = {}  # run -> its last turn; of those that wait
        self._came: dict[str, int] = {}  # in which order they were added
        self._count = 0

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def __contains__(self, id: object) -> bool:
        """Does it wait?"""
        return id in self._waiting

    def add(self, id: str, run: str, ask: Ask) -> None:
        """Put it behind what its run has asked for before. One that waits or holds already stays as it is."""
        if id in self._waiting or id in self._held:
            return
        self._count += 1
        self._came[id] = self._count
        self._waiting[id] = (run, _units_of(ask))
        self._queues.setdefault(run, deque()).append(id)

    def hold(self, id: str, run: str, ask: Ask) -> None:
        """It has its pod already, whatever the limits say."""
        if id not in self._held:
            self._waiting.pop(id, None)
            self._keep(id, run, _units_of(ask))

    def put_back(self, id: str) -> None:
        """It did not get its pod after all, and waits again where it was. Unknown = fine."""
        held = self._held.get(id)
        if held is None:
            return
        came = self._came.get(id, 0)
        self.give_back(id)
        self._waiting[id], self._came[id] = held, came
        queue = self._queues.setdefault(held[0], deque())
        place = next((at for at, other in enumerate(queue) if self._came.get(other, 0) > came), len(queue))
        queue.insert(place, id)

    def drop(self, id: str) -> bool:
        """It waits no longer; False if it did not."""
        if self._waiting.pop(id, None) is None:
            return False
        self._came.pop(id, None)
        return True

    def give_back(self, id: str) -> None:
        """Its pod is gone. Unknown = fine."""
        held = self._held.pop(id, None)
        self._came.pop(id, None)
        if held is None:
            return
        run, ask = held
        own = self._used_by[run]
        for name, amount in ask.items():
            self._used[name] -= amount
            own[name] -= amount
        if not any(own.values()):
            del self._used_by[run]

    def find_excess(self, ask: Ask) -> str:
        """What it asks for beyond the limits themselves, in words; "" if it can ever start."""
        wanted = _units_of(ask)
        for whose, limits in (("the target", self._limits), ("one run", self._per_run)):
            for name, most in limits.items():
                if wanted.get(name, 0) > most:
                    return f"asks for {_text(name, wanted[name])}, and {whose} may have {_text(name, most)}"
        return ""

    def reason(self, id: str) -> str:
        """Why it waits, in a line; "" if it does not."""
        waiting = self._waiting.get(id)
        return "" if waiting is None else self._reasons.get(waiting[0]) or self._reasons.get("") or "waits for its turn"

    def take(self) -> list[str]:
        """Those that may have a pod now, in this order; they hold it from now on."""
        started: list[str] = []
        free = {name: most - self._used.get(name, 0) for name, most in self._limits.items()}
        back: dict[str, list[str]] = {}
        keeping: set[str] = set()
        self._reasons = {}
        runs = dict.fromkeys(self._queues)
        while runs and free.get("pods", 1) > 0:
            run = min(runs, key=self._share)
            id = self._next(run)
            if id is None:
                del runs[run]
                continue
            ask = self._waiting[id][1]
            own = _find_lack(ask, {name: most - self._used_by.get(run, {}).get(name, 0) for name, most in self._per_run.items()})
            lack = own or _find_lack(ask, free)
            if not lack:
                del self._waiting[id]
                self._keep(id, run, ask)
                started.append(id)
                self._served[run] = 1 + max(self._served.values(), default=0)
            else:
                whose, limits = ("a run", self._per_run) if own else ("the target", self._limits)
                self._reasons.setdefault(run, f"waits for room: {whose} may have {_text(lack, limits[lack])} at once")
                back.setdefault(run, []).append(id)
                if own == "pods" or len(back[run]) >= _LOOK_AHEAD:
                    del runs[run]
            if not lack or (not own and run not in keeping):  # the first of a run that is held back keeps what it waits for
                if lack:
                    keeping.add(run)
                for name in free:
                    free[name] -= ask.get(name, 0)
        if runs and "pods" in free:
            self._reasons.setdefault("", f"waits for room: the target may have {_text('pods', self._limits['pods'])} at once")
        self._put_back(back)
        return started

    def _next(self, run: str) -> str | None:
        """The run's next that still waits, taken off its queue."""
        queue = self._queues[run]
        while queue:
            id = queue.popleft()
            if id in self._waiting:
                return id
        return None

    def _put_back(self, back: Mapping[str, list[str]]) -> None:
        for run, ids in back.items():
            self._queues[run].extendleft(reversed(ids))
        self._queues = {run: queue for run, queue in self._queues.items() if queue}
        self._served = {run: turn for run, turn in self._served.items() if run in self._queues}

    def _keep(self, id: str, run: str, ask: dict[str, int]) -> None:
        self._held[id] = (run, ask)
        own = self._used_by.setdefault(run, {})
        for name, amount in ask.items():
            self._used[name] = self._used.get(name, 0) + amount
            own[name] = own.get(name, 0) + amount

    def _share(self, run: str) -> tuple[float, int, int]:
        """How much of the target the run holds: of what is limited, the part of which it holds most; then the number of its pods; then how
        long ago it had its turn."""
        used = self._used_by.get(run, {})
        part = max((used.get(name, 0) / most for name, most in self._limits.items()), default=0.0)
        return part, used.get("pods", 0), self._served.get(run, 0)


def _find_lack(ask: Mapping[str, int], free: Mapping[str, int]) -> str:
    """The first of what it asks for that is not free; "" if all is."""
    return next((name for name, amount in ask.items() if amount > free.get(name, amount)), "")


def _units_of(amounts: Ask | Limits) -> dict[str, int]:
    """Whole numbers by name, without zeros: floats would not add up to the whole again."""
    pods = amounts.pods if isinstance(amounts, Ask) else amounts.max_pods
    found = {"pods": pods, "cpu": round(amounts.cpu * _UNITS_A_CORE), "memory": amounts.memory_bytes, **amounts.accelerators}
    return {name: amount for name, amount in found.items() if amount}


def _text(name: str, amount: int) -> str:
    if name == "cpu":
        return f"{amount / _UNITS_A_CORE:g} cores"
    if name == "memory":
        return f"{amount / 2**30:.3g} GiB of memory"
    return f"{amount} {name.rstrip('s') if name == 'pods' and amount == 1 else name}"
