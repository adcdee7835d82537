"""A gang on a cluster shows the same as one here: throughput, waits, the machine of each rank, each rank's lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fairway.cli.gangrows import render_gang
from fairway.engine.gangview import read_gang
from fairway.engine.ranks import read_task_log
from fairway.spec.gang import Gang
from tests.kube.emulator import Node
from tests.kube.gangrig import GangStory
from tests.kube.semantics.projects import project
from tests.kube.semantics.rig import Campus
from tests.waiting import PATIENCE_S

WATCHED = """
import time

@fw.step(gang=fw.gang({gang}), cpu={cpu})
def fit() -> int:
    place = fw.context().place
    print(f"rank {{place.rank}} speaks")
    until = time.monotonic() + 2.6  # three samples
    for step, batch in enumerate(fw.shard(list(range(10_000)), batch=8, epochs=None)):
        time.sleep(0.02)
        fw.log(loss=1.0 / (step + 1), step=step)
        if time.monotonic() > until:
            return step

@fw.pipeline
def main() -> int:
    return fit()
"""


@pytest.fixture
def story(tmp_path: Path) -> Iterator[GangStory]:
    campus = Campus(tmp_path / "campus", nodes=(Node("n1"), Node("n2")))
    with project(tmp_path, campus) as rig:
        made = GangStory(rig)
        yield made
        made.close()
    campus.close()


def test_what_is_seen_of_a_gang_in_a_cluster(story: GangStory) -> None:
    run = story.begin("replicas=2", source=WATCHED, cpu=1.5).result(PATIENCE_S)
    assert run.status == "succeeded"
    (attempt,) = run.tasks["fit"].attempts
    streams = run.workspace.streams
    now = read_gang(streams, run.id, attempt, 2)
    assert sorted(one.host for one in now.ranks) == ["n1", "n2"]
    assert all(one.rate > 0 and one.works["samples"] == pytest.approx(8 * one.rate, rel=0.4, abs=16) for one in now.ranks)
    assert render_gang(now)[0].split()[:6] == ["rank", "host", "PID", "at", "steps/s", "samples/s"]
    said = read_task_log(streams, run.id, attempt, "fit", Gang(2))
    assert {line.text for line in said if line.rank >= 0} == {"rank 0 speaks", "rank 1 speaks"}
