"""A gang that was started again: its curves are whole, each step once, and the restart is marked; until when it trained."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.cli.live import LiveDisplay
from fairway.engine.rankmeans import find_last_means
from fairway.engine.reading import join_tries
from fairway.executors.meeting import Meeting
from fairway.spec.gang import Gang
from fairway.spec.outcome import ItemOutcome, Outcome, Usage
from fairway.testing.memory import MemoryStreamStore
from fairway.web.metrics import CurveReader
from fairway.web.rankcurves import read_tries, spell_tries
from tests.apart import forgotten_settings
from tests.cli.project import Project
from tests.web.rig import Server

RESTARTED = """
import os
import signal

import fairway as fw
from fairway.step.context import _state


@fw.step(gang=fw.gang(replicas=2, restarts=1), cpu=0.1)
def fit(bell: str) -> int:
    me = fw.context()
    for step in range(0, 6) if me.n == 1 else range(4, 8):
        fw.log(loss=100.0 * me.n + 10 * me.rank + step, step=step)
    _state.points.flush()
    if me.n == 1 and me.rank:
        open(bell).read()  # until the other has kept its points, too
        os.kill(os.getpid(), signal.SIGKILL)
    if me.n == 1:
        open(bell, "w").close()
        while True:
            signal.pause()  # until the leader ends this rank
    return 0


@fw.pipeline
def restarted(bell: str):
    return fit(bell)
"""


def test_a_step_that_was_repeated_counts_once() -> None:
    assert join_tries([[(0, 1.0), (1, 2.0), (2, 3.0)], [], [(1, 9.0), (2, 8.0)]]) == [(0, 1.0), (1, 9.0), (2, 8.0)]
    assert join_tries([[(3, 1.0)], [(0, 5.0)]]) == [(0, 5.0)]  # it began anew
    assert join_tries([]) == []


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 12)), max_size=6))
def test_whatever_was_resumed_the_curve_goes_forward_and_has_the_last_word(tries: list[tuple[int, int]]) -> None:
    joined = join_tries([[(float(x), float(n)) for x in range(begin, begin + count)] for n, (begin, count) in enumerate(tries)])
    places = [x for x, _ in joined]
    assert places == sorted(set(places))
    last = next((n for n, (_, count) in reversed(list(enumerate(tries))) if count), None)
    if last is not None:
        begin, count = tries[last]
        assert joined[-count:] == [(float(x), float(last)) for x in range(begin, begin + count)]


def put(streams: MemoryStreamStore, name: str, *lines: Any) -> None:
    streams.append(f"r/{name}", "".join(json.dumps(line) + "\n" for line in lines).encode())


def test_fewer_ranks_after_a_restart_are_a_mean_of_fewer() -> None:
    streams = MemoryStreamStore()
    for rank in range(3):
        put(streams, f"a/metrics{f'.{rank}' if rank else ''}", *[[10 + n, n, {"loss": 10.0 * rank}] for n in range(4)])
    for rank in range(2):
        put(streams, f"b/metrics{f'.{rank}' if rank else ''}", *[[50 + n, n, {"loss": 1.0}] for n in range(2, 6)])
    found = spell_tries(read_tries(CurveReader(streams), "r", ["a", "b"], 3, "step")["loss"], 100, reduced=True)
    assert [point[:2] for point in found["spread"]] == [[0, 10.0], [1, 10.0], [2, 1.0], [3, 1.0], [4, 1.0], [5, 1.0]]
    assert [len(one["points"]) for one in found["ranks"]] == [6, 6, 4]
    assert found["restarts"] == [[2.0]]


def test_points_without_a_step_are_counted_on_and_time_goes_on() -> None:
    streams = MemoryStreamStore()
    put(streams, "a/metrics", [10.0, None, {"loss": 3.0}], [11.0, None, {"loss": 2.0}])
    put(streams, "b/metrics", [20.0, None, {"loss": 1.0}])
    reader = CurveReader(streams)
    along = {by: spell_tries(read_tries(reader, "r", ["a", "b"], 1, by)["loss"], 100, reduced=False) for by in ("step", "time")}
    assert along["step"]["points"] == [[0, 3.0], [1, 2.0], [2, 1.0]]
    assert along["time"]["points"] == [[0, 3.0], [1, 2.0], [10, 1.0]]


@pytest.fixture(scope="module")
def restarted(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("restarted"))
    project.write("flow.py", RESTARTED)
    os.mkfifo(project.root / "bell")
    with forgotten_settings():
        project.run("--bell", str(project.root / "bell"))
    return project


def test_the_tab_of_metrics_draws_the_whole_curve(restarted: Project) -> None:
    run = restarted.last()
    first, second = run.tasks["fit"].attempts
    asked = {"ranks": 2, "task": "fit"}
    with Server(restarted.root / ".fairway").client() as client:
        (loss,) = client.get(f"http://server/runs/{run.id}/attempts/{second}/rankcurves.json", params=asked).json()["items"]
        (before,) = client.get(f"http://server/runs/{run.id}/attempts/{first}/rankcurves.json", params=asked).json()["items"]
    assert [x for x, *_ in loss["spread"]] == list(range(8))
    assert [mean for _, mean, *_ in loss["spread"]] == [105, 106, 107, 108, 209, 210, 211, 212]
    assert [one["points"][-1] for one in loss["ranks"]] == [[7, 207], [7, 217]]
    assert (loss["restarts"], before["restarts"], len(before["spread"])) == ([[4]], [], 6)


@pytest.mark.parametrize("x", ["step", "time"])
def test_runs_side_by_side_have_whole_curves(restarted: Project, x: str) -> None:
    run = restarted.last()
    with Server(restarted.root / ".fairway").client() as client:
        (loss,) = client.get("http://server/compare/curves.json", params={"run": [run.id], "x": x}).json()["metrics"]["loss"]
    across, means = zip(*loss["points"], strict=True)
    assert (loss["run"], loss["task"], list(across) == sorted(across)) == (run.id, "fit", True)
    begun = [105, 106, 107, 108, 109, 110] if x == "time" else [105, 106, 107, 108]  # along time what was repeated is there twice
    assert list(means) == [*begun, 209, 210, 211, 212]
    assert x == "time" or list(across) == list(range(8))


@pytest.mark.parametrize("tries", ["last", "all"])
def test_the_api_tells_the_mean_over_ranks_of_the_last_try_or_over_all(restarted: Project, tries: str) -> None:
    run = restarted.last()
    with Server(restarted.root / ".fairway").client() as client:
        (loss,) = client.get(f"http://server/api/v1/runs/{run.id}/metrics", params={"tries": tries}).json()["items"]
    last = [[4, 209], [5, 210], [6, 211], [7, 212]]
    assert (loss["task"], loss["metric"], loss["attempt"]) == ("fit", "loss", run.tasks["fit"].attempts[-1])
    assert loss["points"] == (last if tries == "last" else [[0, 105], [1, 106], [2, 107], [3, 108], *last])
    assert (loss["count"], loss["restarts"]) == ((8, []) if tries == "last" else (20, [4]))


def test_what_a_gang_logged_last_is_the_mean_over_its_ranks_wherever_it_is_told(restarted: Project) -> None:
    run = restarted.last()
    assert run.metrics == run.tasks["fit"].metrics == {"loss": 212.0}
    (row,) = restarted.ask("runs", "-o", "json").data
    (shown,) = restarted.ask("show", "last", "fit", "-o", "json").data
    assert (row["metrics"], shown["attempts"][-1]["metrics"]) == ({"loss": 212.0}, {"loss": 212.0})
    assert find_last_means(run.workspace.streams, run.id, run.tasks["fit"].attempts[-1], 2) == {"loss": 212.0}


def test_what_went_on_at_a_later_step_has_made_all_steps_in_every_view(restarted: Project) -> None:
    """It logs from 0, and the second try from 4 to 7."""
    run = restarted.last()
    last = run.tasks["fit"].attempts[-1]
    with Server(restarted.root / ".fairway").client() as client:
        page = client.get(f"http://server/runs/{run.id}/task", params={"task": "fit", "tab": "ranks"}, headers={"hx-request": "true"}).text
    assert [one["done"] for one in restarted.ask("show", "last", "fit", "-o", "json").data[0]["ranks"]] == [8, 8]
    assert "<dt>Step</dt><dd>8</dd>" in page
    display = LiveDisplay(run.workspace.streams)
    display._run, display._state = run.id, run.state()
    assert display._gang(last, 2, 200).startswith("2 ranks  8  ")


def test_curves_in_python_have_each_step_once(restarted: Project) -> None:
    assert restarted.last().tasks["fit"].curves()["loss"] == list(enumerate([105, 106, 107, 108, 209, 210, 211, 212]))


def test_of_several_machines_it_trains_until_the_last_has_ended_its_part() -> None:
    meeting = Meeting(Gang(2), patience_s=9.0, grace_s=9.0)
    for replica, (until, cpu_s) in enumerate([(10.0, 1.0), (70.0, 2.0)]):
        outcome = Outcome(f"a{replica}", "ended", (ItemOutcome("succeeded"),), usage=Usage(writing_at=until, cpu_s=cpu_s))
        meeting.end(replica, outcome, until)
    usage = meeting.verdict("a").usage
    assert (usage.writing_at, usage.cpu_s) == (70.0, 3.0)


TWO_ENDS = """
import os
import time

import fairway as fw


@fw.step(gang=fw.gang(replicas=2), cpu=0.1)
def fit(pipe: str, told: str) -> float:
    if fw.context().rank == 0:
        os.open(pipe, os.O_WRONLY)  # closed when this rank's process is gone
        return 1.0
    with open(pipe) as until:
        until.read()
    with open(told, "w") as file:
        file.write(str(time.time()))
    return 0.0


@fw.pipeline
def two_ends(pipe: str, told: str):
    return fit(pipe, told)
"""


def test_every_rank_of_a_short_gang_has_a_row_though_it_said_nothing(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write("flow.py", """
        import fairway as fw

        @fw.step(gang=fw.gang(replicas=3), cpu=0.1)
        def fit() -> int:
            return 0

        @fw.pipeline
        def short():
            return fit()
    """)  # fmt: skip
    project.run()
    (shown,) = project.ask("show", "last", "fit", "-o", "json").data
    assert [one["rank"] for one in shown["ranks"]] == [0, 1, 2]
    assert all(one["memory_bytes"] > 0 and one["pid"] and one["ended"] for one in shown["ranks"])
    words = project.ask("show", "last", "fit").out
    assert [line.split()[0] for line in words.splitlines() if line.startswith("    ")][1:] == ["0", "1", "2"]


def test_it_trains_until_its_last_rank_has_ended_its_part(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write("flow.py", TWO_ENDS)
    os.mkfifo(tmp_path / "pipe")
    project.run("--pipe", str(tmp_path / "pipe"), "--told", str(tmp_path / "told"))
    run = project.last()
    outcome = run.tasks["fit"]._run_state.attempts[run.tasks["fit"].attempts[-1]].outcome
    assert outcome is not None
    assert outcome.usage.writing_at >= float((tmp_path / "told").read_text())
