"""Run ids, how a run is named by hand, and who is alive."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fairway.errors import NotFoundError
from fairway.spec.event import ClockAdvanced
from fairway.spec.ports import run_now
from fairway.spec.summary import RunSummary
from fairway.store.live import LiveMark, live_runs
from fairway.store.runs import get_run, is_run_id, new_run_id
from fairway.testing.memory import MemoryJournal


def test_ids_sort_by_time_and_do_not_meet() -> None:
    assert new_run_id(0.0).startswith("19700101-000000-")
    assert new_run_id(1_795_508_103.9).startswith("20261124-081503-")
    assert new_run_id(99.0) < new_run_id(100.0)
    ids = [new_run_id(thousandth / 1024) for thousandth in range(1024)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 1024, "no two that begin in different thousandths of a second"
    assert len({new_run_id(0.0) for _ in range(20)}) > 10, "nor as a rule in the same one"
    assert all(is_run_id(id) for id in ids)
    assert not any(set(id[16:]) & set("lo01") for id in ids)


@pytest.mark.parametrize("text", ["", "last", "20261124-081503", "20261124-081503-x7kq", "20261124-081503-X7KQA", "20261124-081503-x7kqaa"])
def test_what_is_no_id(text: str) -> None:
    assert not is_run_id(text)


@pytest.fixture
def journal() -> MemoryJournal:
    journal = MemoryJournal()
    for run, name in (("20260101-000000-aaaaa", "paper"), ("20260102-000000-aabbb", "paper"), ("20260103-000000-ccbbb", "")):
        run_now(journal.append(run, 0, [ClockAdvanced(1.0)], "b", summary=RunSummary(run, "p", name=name)))
    return journal


@pytest.mark.parametrize(
    ("text", "run"),
    [
        ("20260101-000000-aaaaa", "20260101-000000-aaaaa"),
        ("20260102", "20260102-000000-aabbb"),
        ("aaaaa", "20260101-000000-aaaaa"),
        ("cbbb", "20260103-000000-ccbbb"),
        ("paper", "20260102-000000-aabbb"),
        ("last", "20260103-000000-ccbbb"),
    ],
)
def test_a_run_is_found_by_what_is_easy_to_type(journal: MemoryJournal, text: str, run: str) -> None:
    assert run_now(get_run(journal, text)) == run


def test_what_could_be_several_or_none_is_refused_with_the_way_out(journal: MemoryJournal) -> None:
    with pytest.raises(NotFoundError, match="20260103-000000-ccbbb, 20260102-000000-aabbb"):
        run_now(get_run(journal, "bbb"))
    with pytest.raises(NotFoundError, match="no run 'zzz'") as caught:
        run_now(get_run(journal, "zzz"))
    assert "fairway runs" in caught.value.hint
    with pytest.raises(NotFoundError, match="no runs yet"):
        run_now(get_run(MemoryJournal(), "last"))
    for n in range(30):
        run_now(journal.append(f"20260201-0000{n:02}-ddddd", 0, [ClockAdvanced(1.0)], "b"))
    with pytest.raises(NotFoundError, match="and 17 or more others"):
        run_now(get_run(journal, "20260201"))


def test_a_mark_lives_as_long_as_its_process(tmp_path: Path) -> None:
    code = "import sys; from fairway.store.live import *; mark = LiveMark(sys.argv[1], 'r1'); print('held', flush=True); sys.stdin.read()"
    assert live_runs(tmp_path) == set()
    driver = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    assert driver.stdout.readline() == "held\n"
    assert live_runs(tmp_path) == {"r1"}
    mine = LiveMark(tmp_path, "r1")
    driver.kill()
    driver.communicate()
    assert live_runs(tmp_path) == {"r1"}
    mine.close()
    mine.close()
    assert live_runs(tmp_path) == set()
    again = LiveMark(tmp_path, "r1")
    assert live_runs(tmp_path) == {"r1"}
    again.close()
