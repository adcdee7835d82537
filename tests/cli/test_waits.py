"""Why attempts do not start, in the words of their target, where a person looks for it."""

from __future__ import annotations

import io
import re
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from fairway.cli.display import PlainDisplay
from fairway.cli.show import render_run
from fairway.engine.apply import fold
from fairway.engine.state import AttemptState
from fairway.engine.waits import find_waits
from fairway.spec.event import AttemptObserved, AttemptPlanned, RunStarted
from fairway.spec.ports import run_now
from fairway.spec.summary import RunSummary
from fairway.store import open_journal
from fairway.store.live import LiveMark
from tests.cli.conftest import FIRST_RUN, Shop, inline, make_graph

IMAGE = "the image 'none:1' cannot be pulled: not found; name one that is there"
QUOTA = "the namespace's quota does not allow it"
BEGIN = [
    RunStarted(FIRST_RUN, make_graph(), {"path": inline("data.csv"), "depths": inline([1])}, "", 1.0, target="campus"),
    AttemptPlanned("a-1", "", "load", ((),), 1, 1.0),
]


def test_the_most_frequent_reason_stands_for_all_attempts_of_a_step_that_wait():
    told = [("queued", QUOTA), ("starting", IMAGE), ("starting", IMAGE), ("starting", ""), ("running", "")]
    attempts = [AttemptState(f"a-{n}", "", "train", ((n,),)) for n in range(len(told))]
    for attempt, (phase, reason) in zip(attempts, told, strict=True):
        attempt.phase, attempt.reason = phase, reason
    assert find_waits(attempts) == {("", "train"): f"waits: {IMAGE} (and 2 more)"}


def test_a_reason_that_is_a_sentence_of_its_own_stands_as_it_is():
    waiting = AttemptState("a-1", "", "train", ((0,),))
    waiting.phase, waiting.reason = "queued", "waits for a worker of its pool"
    assert find_waits([waiting]) == {("", "train"): "waits for a worker of its pool"}


def test_a_run_shows_below_its_step_what_that_waits_for():
    lines = render_run(fold([*BEGIN, AttemptObserved("a-1", "starting", IMAGE, 2.0)]), 3.0)
    (at,) = [n for n, line in enumerate(lines) if "load" in line]
    assert lines[at + 1].strip(" │") == f"waits: {IMAGE}"
    running = render_run(fold([*BEGIN, AttemptObserved("a-1", "starting", IMAGE, 2.0), AttemptObserved("a-1", "running", "", 2.5)]), 3.0)
    assert not [line for line in running if "waits" in line]


@pytest.mark.parametrize(("target", "told"), [("campus", 1), ("local", 0)])
def test_where_nobody_watches_a_reason_is_a_line_once_and_on_this_machine_none(target: str, told: int):
    stream = io.StringIO()
    display = PlainDisplay(stream)
    observed = AttemptObserved("a-1", "starting", IMAGE, 2.0)
    state = fold([*BEGIN, observed])
    state.target = target
    display.update(state, [*BEGIN, observed])
    display.update(state, [observed])
    assert len(re.findall(re.escape(f"… load  waits: {IMAGE}"), stream.getvalue())) == told


@contextmanager
def running(shop: Shop, phase: str, reason: str) -> Generator[None]:
    """A run that is driven meanwhile, whose only attempt waits."""
    journal = open_journal(shop.workspace.project.journal)
    waiting = [*BEGIN, AttemptObserved("a-1", phase, reason, 2.0)]
    run_now(journal.append(FIRST_RUN, 0, waiting, "b", summary=RunSummary(FIRST_RUN, "churn", "running")))
    run_now(journal.close())
    with closing(LiveMark(Path(shop.workspace.project.home) / "locks", FIRST_RUN)):
        yield


def test_why_says_what_an_attempt_waits_for(shop: Shop):
    with running(shop, "queued", QUOTA):
        assert f"waits: {QUOTA}" in shop.ask("why", FIRST_RUN, "load").stdout
        assert f"waits: {QUOTA}" in shop.ask("show", FIRST_RUN, "load").stdout
        (step,) = [step for step in shop.ask_json("show", FIRST_RUN)["steps"] if step["step"] == "load"]
        assert step["waits"] == QUOTA


def test_show_says_waits_once(shop: Shop):
    with running(shop, "starting", "waits until there is room"):
        assert "    waits until there is room\n" in shop.ask("show", FIRST_RUN, "load").stdout
