"""What nobody may ever see happen, checked against the story of all that reached the ports of one world."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fairway.spec import event as ev
from fairway.spec.artifact import blob_key
from fairway.spec.event import Event
from fairway.spec.outcome import Outcome, outcome_key
from fairway.spec.ports import run_now
from fairway.spec.record import from_plain
from fairway.testing.memory import MemoryArtifactStore, MemoryJournal
from fairway.testing.scripted import Call, read_outcome

Story = list[tuple[str, str, Any]]
"""("planned" | "given up", attempt, None), ("ran", attempt, task), ("wrote", attempt, its outcome), in order."""


class WitnessJournal(MemoryJournal):
    """Tells the story when a plan is durable."""

    def __init__(self, story: Story) -> None:
        super().__init__()
        self.story = story
        self.appends = 0

    async def append(self, run: str, after: int, events: Sequence[Event], batch: str, **more: Any) -> int:
        head = await super().append(run, after, events, batch, **more)
        self.appends += 1
        for event in events:
            if isinstance(event, ev.AttemptPlanned):
                self.story.append(("planned", event.attempt, None))
            elif isinstance(event, ev.AttemptGivenUp):
                self.story.append(("given up", event.attempt, None))
        return head


class WitnessStore(MemoryArtifactStore):
    """Tells the story when an outcome is written."""

    def __init__(self, story: Story) -> None:
        super().__init__(lambda: 0.0)
        self.story = story

    def put(self, key: str, source: bytes | Path, *, if_absent: bool = True, move: bool = False) -> bool:
        new = super().put(key, source, if_absent=if_absent, move=move)
        if new and key.startswith("outcome/"):
            self.story.append(("wrote", key.rpartition("/")[2], self.blobs[key][0]))
        return new


def telling(compute: Callable[[Call], Any], story: Story) -> Callable[[Call], Any]:
    """The same steps; the story says when one ran, as the first or only item of its attempt."""

    def told(call: Call) -> Any:
        story.append(("ran", call.spec.id, (call.task, tuple(item.task for item in call.spec.items))))
        return compute(call)

    return told


def check_promises(story: Story, journal: MemoryJournal, store: MemoryArtifactStore, run: str) -> None:
    """Intent before effect; one outcome an attempt, and that one recorded; nothing that succeeded runs again; no artifact is lost."""
    planned: set[str] = set()
    items: dict[str, tuple[str, ...]] = {}
    done: dict[str, str] = {}
    wrote: Counter[str] = Counter()
    for what, attempt, fact in story:
        if what == "planned":
            planned.add(attempt)
        elif what == "ran":
            task, items[attempt] = fact
            assert attempt in planned, f"{attempt} ran before it was on record"
            assert task not in done, f"{task} ran in {attempt}, after it had succeeded in {done[task]}"
            assert not wrote[attempt], f"{attempt} ran after it had ended"
        elif what == "wrote":
            assert attempt in planned, f"{attempt} ended before it was on record"
            wrote[attempt] += 1
            assert wrote[attempt] == 1, f"{attempt} has two outcomes"
            outcome = from_plain(Outcome, json.loads(fact))
            ended = zip(items.get(attempt, ()), outcome.items, strict=False)
            done.update({task: attempt for task, item in ended if item.status == "succeeded"})
    _check_record([event for _, event in run_now(journal.read(run))], store, run)


def _check_record(events: list[Event], store: MemoryArtifactStore, run: str) -> None:
    live: set[str] = set()
    for event in events:
        if isinstance(event, ev.AttemptPlanned):
            assert event.attempt not in live, f"{event.attempt} was planned twice"
            live.add(event.attempt)
        elif isinstance(event, ev.AttemptEnded):
            assert event.attempt in live, f"{event.attempt} ended twice, or without a plan"
            live.remove(event.attempt)
            assert event.outcome == read_outcome(store, run, event.attempt), f"{event.attempt}: recorded is what was not written"
            for item in event.outcome.items:
                for ref in item.outputs.values():
                    assert ref.inline is not None or store.stat(blob_key(ref.digest)) is not None, f"{event.attempt}: {ref.digest} is lost"
                assert not item.graph or store.stat(blob_key(item.graph)) is not None, f"{event.attempt}: its graph is lost"
    assert not live, f"recorded as running after the end: {sorted(live)}"
    assert outcome_key(run, "a") == f"outcome/{run}/a"
