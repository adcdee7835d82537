"""Gangs on Kubernetes while its API fails: watches that have expired, an API server that is away, Jobs that somebody deletes."""

from __future__ import annotations

from tests.kube.emulator.kinds import JOB
from tests.kube.gangrig import TRAINING, GangStory, result
from tests.waiting import PATIENCE_S


def test_what_happens_while_the_api_server_is_away_is_known_when_it_is_back(story: GangStory) -> None:
    """The server's watch breaks off while its gang comes together, a pod is replaced meanwhile, and what the watch knew has expired."""
    cluster = story.cluster
    cluster.scheduler.paused = True
    done = story.begin()
    story.until(lambda: len(story.pods()) == 3)
    for verb in ("watch", "list", "get"):
        cluster.faults.answer(503, verb, "Pod", times=3)
    cluster.faults.lose_watches()
    before = {pod["metadata"]["name"] for pod in story.pods()}
    cluster.faults.hide(sorted(before)[1])
    story.until(lambda: len({pod["metadata"]["name"] for pod in story.pods()} - before) == 1)
    cluster.faults.expire()
    cluster.scheduler.paused = False
    cluster.call(cluster.scheduler.try_all)
    story.open_gate()
    assert result(done.result(PATIENCE_S)) == {"total": 3, "world": 3, "hosts": 3}
    assert len(story.noted) == 6, "nothing ran twice"
    story.until(story.is_empty)


def test_a_gang_whose_job_somebody_deletes_goes_on_from_its_checkpoint(story: GangStory) -> None:
    done = story.begin("replicas=2, restarts=0", source=TRAINING)
    story.sent(2)
    (job,) = story.cluster.list("Job")
    meta = job["metadata"]
    story.cluster.call(lambda: story.cluster.memory.delete(JOB, meta["namespace"], meta["name"]))
    story.begun(4)
    story.open_gate()
    assert result(done.result(PATIENCE_S)) == 2
    again = [line for line in story.noted if line.startswith("begun")][2:]
    assert all(int(line.partition(" at ")[2]) >= 2 for line in again)
    story.until(story.is_empty)
