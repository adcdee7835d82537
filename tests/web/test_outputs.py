"""Outputs of runs are read from the ends of their journals, and not again until the run ends anew."""

from __future__ import annotations

from collections.abc import Sequence

from fairway.spec.artifact import ArtifactRef
from fairway.spec.event import ClockAdvanced, Event, RunEnded, RunLabelled
from fairway.spec.ports import run_now
from fairway.spec.summary import RunSummary
from fairway.testing.memory import MemoryJournal
from fairway.web.previews.outputs import OutputReader


class Counted(MemoryJournal):
    """Counts what is read."""

    reads = 0

    async def read(self, run: str, after: int = 0, limit: int = 0) -> Sequence[tuple[int, Event]]:
        self.reads += 1
        return await super().read(run, after, limit)


def ended(name: str, at: float) -> RunEnded:
    return RunEnded("succeeded", at, {name: ArtifactRef("0" * 64, 1, "json", "int")})


def record(journal: MemoryJournal, run: str, *events: Event) -> None:
    head = run_now(journal.head(run))
    run_now(journal.append(run, head, events, f"b{head}"))


def test_what_a_run_put_out_stands_at_its_end_or_a_little_before() -> None:
    journal = Counted()
    record(journal, "r1", ClockAdvanced(1.0), ended("old", 2.0), ClockAdvanced(3.0), ended("new", 4.0))
    record(journal, "r2", ended("a", 2.0), *[RunLabelled(3.0, note=str(n)) for n in range(5)])
    record(journal, "r3", ClockAdvanced(1.0))
    read = OutputReader(journal).read
    assert [name for name, _ in read(RunSummary("r1", "p", "succeeded", ended_at=4.0))] == ["new"]
    assert [name for name, _ in read(RunSummary("r2", "p", "succeeded", ended_at=2.0))] == ["a"]
    assert read(RunSummary("r3", "p", "cancelled")) == ()


def test_a_run_is_read_again_when_it_has_ended_again() -> None:
    journal = Counted()
    record(journal, "r", ended("one", 2.0))
    read, over = OutputReader(journal).read, RunSummary("r", "p", "failed", ended_at=2.0)
    assert read(over) == read(over)
    assert journal.reads == 1
    record(journal, "r", ClockAdvanced(3.0))
    assert read(RunSummary("r", "p", "running")) == ()
    record(journal, "r", ended("two", 4.0))
    assert [name for name, _ in read(RunSummary("r", "p", "succeeded", ended_at=4.0))] == ["two"]
