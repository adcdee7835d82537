"""What more ranks bring: from how fast gangs of several sizes were to their efficiency, and what bounds them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from fairway.errors import ConfigError
from fairway.spec.record import Record, field, record

WARM_UP = 0.1
"""This share of the time at the start does not count: libraries load, caches fill."""
SHORT_S = 3.0
"""A rank that took no longer may not have been looked at twice."""
WAITS_MUCH = 0.15
BUSY_MACHINE = 0.85
GOOD = 0.9
_FOR = {"input": "input", "checkpoint": "checkpoints", "network": "the other ranks"}

Point = tuple[float, float]


@record
class Measured(Record):
    """A gang of `ranks` ranks. `rate`: steps a second, all ranks together; `samples`: the same of samples (0: not known); `took_s`: of its
    step. `waits`: mean share of time by kind; `cpu`: cores that all ranks together kept busy, `busy` those that anybody did, of `cores` (0:
    not known); `starved`: mean share of time without a core to compute on, -1: not known; `gpu`: percent, -1 without. `note`: why it was
    not measured.
    """

    ranks: int
    rate: float = 0.0
    samples: float = 0.0
    took_s: float = 0.0
    waits: dict[str, float] = field(default_factory=dict)
    cpu: float = 0.0
    busy: float = 0.0
    starved: float = -1.0
    cores: int = 0
    gpu: float = -1.0
    run: str = ""
    note: str = ""


@record
class Scaled(Record):
    """How a size compares with the smallest: `speedup` of it, `efficiency` (1: every rank brings as much as the first), and what bounds it:
    `bound` is "input", "checkpoint", "network", "compute", "machine" or "", `why` the sentence that says so.
    """

    measured: Measured
    speedup: float = 0.0
    efficiency: float = 0.0
    bound: str = ""
    why: str = ""


def parse_sizes(text: str) -> tuple[int, ...]:
    """ "1,2,4" as numbers of replicas. Raises ConfigError."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words or not all(word.isdecimal() and 0 < int(word) <= 100_000 for word in words):
        raise ConfigError(f"--scale {text!r} is no list of sizes", hint="numbers of replicas: --scale 1,2,4")
    return tuple(sorted({int(word) for word in words}))


def steady(points: Sequence[Point]) -> list[Point]:
    """The points without those of the warm-up."""
    if len(points) < 3:
        return list(points)
    begin = points[0][0] + WARM_UP * (points[-1][0] - points[0][0])
    kept = [point for point in points if point[0] >= begin]
    return kept if len(kept) >= 2 else list(points)


def growth(points: Sequence[Point]) -> float:
    """How much the value grows in a second, after the warm-up; 0 if that cannot be told."""
    kept = steady(points)
    if len(kept) < 2 or kept[-1][0] <= kept[0][0]:
        return 0.0
    return max(0.0, (kept[-1][1] - kept[0][1]) / (kept[-1][0] - kept[0][0]))


def judge_scaling(measured: Sequence[Measured], *, by: str = "steps") -> list[Scaled]:
    """Each size against the smallest that was measured. `by` "steps": by the samples or, where they are not known, the steps a second of
    all ranks together (each rank's share of the data is its own); "time": by how long the step took (the same work in all).
    """
    speed = {one.ranks: _speed(one, speed_of(measured, by)) for one in measured if not one.note}
    first = next((one for one in measured if not one.note and speed[one.ranks]), None)
    found: list[Scaled] = []
    for one in measured:
        if one.note or first is None or not speed[one.ranks]:
            found.append(Scaled(one))
            continue
        speedup = speed[one.ranks] / speed[first.ranks]
        efficiency = speedup * first.ranks / one.ranks
        found.append(Scaled(one, speedup, efficiency, *_bound(one, first, efficiency)))
    return found


def speed_of(measured: Sequence[Measured], by: str) -> str:
    """What sizes are compared by: "samples", "steps" or "time"."""
    known = [one for one in measured if not one.note]
    if by == "time" or not all(one.rate or one.samples for one in known):
        return "time"
    return "samples" if all(one.samples for one in known) else "steps" if all(one.rate for one in known) else "time"


def _speed(one: Measured, by: str) -> float:
    if by == "time":
        return 1 / one.took_s if one.took_s else 0.0
    return one.samples if by == "samples" else one.rate


def _bound(one: Measured, first: Measured, efficiency: float) -> tuple[str, str]:
    """What bounds this size, and the sentence with the numbers that show it."""
    kind = max(one.waits, key=lambda each: one.waits[each], default="")
    if kind and one.waits[kind] >= max(WAITS_MUCH, one.starved):  # who has no core waits longer for everything
        grown = f" ({first.waits.get(kind, 0.0):.0%} with {first.ranks})" if one is not first else ""
        return kind, f"ranks wait for {_FOR.get(kind, kind)} {one.waits[kind]:.0%} of the time{grown}"
    if one.gpu >= 100 * BUSY_MACHINE:
        return "compute", f"devices are {one.gpu:.0f}% busy"
    if one.cores and one.cpu >= BUSY_MACHINE * one.cores:
        return "machine", f"{one.cpu:.1f} of {one.cores} cores are busy: more ranks share the same cores"
    each = one.cpu / one.ranks
    if one.starved >= WAITS_MUCH:
        there = f": {one.busy:.1f} of {one.cores} are busy" if one.cores else f", and get {each:.2f} each"
        return "machine", f"ranks wait for a core {one.starved:.0%} of the time{there}"
    if one.cores and one.busy >= BUSY_MACHINE * one.cores and one.gpu < 0 and one.starved < 0:
        return "machine", f"{one.busy:.1f} of {one.cores} cores are busy, with other work too; the ranks get {one.cpu:.1f} of them"
    if each >= BUSY_MACHINE or (one.gpu < 0 and each >= 0.5 and efficiency >= GOOD):
        return "compute", f"each rank computes: {each:.2f} cores busy"
    if one.took_s < SHORT_S and not one.cpu and not one.waits and one.gpu < 0:
        return "", "it was over before it could be measured: give it more to do (-p)"
    if one is not first and efficiency < GOOD and one.gpu < 0:
        return "network", (
            f"ranks neither compute ({each:.2f} cores each, {first.cpu / first.ranks:.2f} with {first.ranks}) "
            "nor wait where Fairway can see it: most likely for each other"
        )
    return "", f"each rank keeps {each:.2f} cores busy" + (f" and its device {one.gpu:.0f}%" if one.gpu >= 0 else "")


def advise(scaled: Sequence[Scaled]) -> str:
    """What to do about it, from the largest size that was measured; "" if it scales well."""
    last = next((one for one in reversed(scaled) if one.efficiency), None)
    if last is None or last.efficiency >= GOOD:
        return ""
    if last.bound == "machine" and not last.measured.cores:  # elsewhere
        return "Its nodes have no more to give: ask for more (cpu=… of the step), to get nodes that have it, or give ranks fewer threads."
    return {
        "input": "Give input more room: read ahead in more workers, convert the data once (fairway data convert), or put it nearer.",
        "checkpoint": "Save less often, or give fw.checkpoint.save a state that is quicker to copy.",
        "network": "Let ranks meet less often: larger batches, gradient accumulation, or fewer ranks with more devices each.",
        "machine": "This machine has no more to give: measure on a target with more cores (--on), or give each rank fewer threads.",
        "compute": "",
    }.get(last.bound, "")
