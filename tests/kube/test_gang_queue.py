"""Gangs in a cluster that has Kueue: they wait in a queue, begin with fewer, lose their room and go on."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

import fairway as fw
from fairway.engine.client import Run
from fairway.errors import UnsupportedError
from tests.kube.emulator.kinds import CLUSTER_QUEUE, LOCAL_QUEUE
from tests.kube.gangrig import TRAINING, GangStory, result
from tests.kube.semantics.rig import Campus
from tests.waiting import await_true

KUEUE = {"apiVersion": "kueue.x-k8s.io/v1beta1"}
QUEUED = TRAINING.replace("cpu={cpu}", 'cpu={cpu}, queue="team"')


GROUPS = ("kueue.x-k8s.io",)


@pytest.fixture(scope="module")
def campus(campus: Campus) -> Campus:
    """It has one queue."""
    campus.cluster.create({**KUEUE, "kind": "LocalQueue", "metadata": {"name": "team"}, "spec": {}})
    return campus


@pytest.fixture
def story(story: GangStory) -> Iterator[GangStory]:
    """Its queue has room again for the next."""
    yield story
    allow(story, 1_000_000)


def allow(story: GangStory, pods: int) -> None:
    story.cluster.call(lambda: story.cluster.kueue.allow(pods))


def preempt(story: GangStory) -> None:
    """Kueue gives all of the gang's room to others; then it waits as another attempt, with another Job."""
    (before,) = story.cluster.list("Job")

    def take() -> None:
        story.cluster.kueue.quota = 0
        story.cluster.kueue.preempt(before["metadata"]["name"])

    story.cluster.call(take)
    story.until(lambda: [job["metadata"]["uid"] for job in story.cluster.list("Job")] not in ([], [before["metadata"]["uid"]]))


def begin(story: GangStory, gang: str) -> Future[Run]:
    return story.begin(gang, source=QUEUED)


def shows(story: GangStory, words: str) -> None:
    """Wait until `fairway show` says it."""
    await_true(lambda: words in " ".join(story.rig.fairway("show", "last").stdout.split()), words)


def test_a_gang_waits_until_its_queue_has_room_and_says_what_kueue_says(story: GangStory) -> None:
    allow(story, 1)
    done = begin(story, "replicas=2")
    shows(story, "waits in the queue 'team': couldn't assign flavors to pod set main: insufficient unused quota for pods")
    assert story.pods() == []
    allow(story, 2)
    story.begun(2)
    story.open_gate()
    assert result(done.result(180)) == 2
    story.until(story.is_empty)


def test_a_gang_begins_with_as_many_as_its_queue_admits(story: GangStory) -> None:
    allow(story, 2)
    done = begin(story, "replicas=3, min_replicas=2")
    story.begun(2)
    (job,) = story.cluster.list("Job")
    assert (job["spec"]["parallelism"], job["spec"]["completions"]) == (2, 2)
    assert all("/2 at 0" in line for line in story.noted if line.startswith("begun"))
    story.open_gate()
    assert result(done.result(180)) == 2
    story.until(story.is_empty)


def test_a_gang_whose_room_is_taken_back_goes_on_from_its_checkpoint_as_often_as_it_must(story: GangStory) -> None:
    done = begin(story, "replicas=3, min_replicas=2, restarts=0")
    story.begun(3)
    story.sent(2)
    preempt(story)
    shows(story, "the queue 'team' took its room back: Preempted")
    shows(story, "waits in the queue 'team'")
    allow(story, 2)
    story.begun(5)
    kept = [int(line.partition(" at ")[2]) for line in story.noted if line.startswith("begun")]
    assert kept[:3] == [0, 0, 0] and min(kept[3:]) >= 2
    for more in (7, 9, 11):  # a lost machine is forgiven three times
        preempt(story)
        allow(story, 2)
        story.begun(more)
    story.open_gate()
    run = done.result(180)
    assert result(run) == 2
    assert len(run.tasks["fit"].attempts) == 5
    story.until(story.is_empty)


def test_a_queue_that_is_not_there_is_refused_before_anything_runs(story: GangStory) -> None:
    pipeline = story.rig.load(story.fill(QUEUED.replace('"team"', '"taem"'), gang="replicas=2", cpu=0.1))
    with pytest.raises(UnsupportedError, match="there is no queue 'taem' of Kueue at the target 'campus': step 'fit' would wait") as caught:
        fw.run(pipeline, {}, check=False)
    assert caught.value.hint == "did you mean 'team'? there is team; change the step's queue="
    assert story.cluster.list("Job") == []


@pytest.fixture
def small(story: GangStory) -> Iterator[GangStory]:
    """There is a second queue, whose cluster queue gives two cores, and one that somebody has stopped."""
    flavor = {"name": "default", "resources": [{"name": "cpu", "nominalQuota": "2"}]}
    quotas = [{"coveredResources": ["cpu"], "flavors": [flavor]}]
    cluster, spec = story.cluster, {"namespaceSelector": {}, "resourceGroups": quotas}
    cluster.create({**KUEUE, "kind": "ClusterQueue", "metadata": {"name": "two-cores"}, "spec": spec})
    for name, more in (("small", {}), ("night", {"stopPolicy": "Hold"})):
        cluster.create({**KUEUE, "kind": "LocalQueue", "metadata": {"name": name}, "spec": {"clusterQueue": "two-cores", **more}})
    yield story
    cluster.authority.denied.clear()
    cluster.call(lambda: [cluster.memory.delete(LOCAL_QUEUE, cluster.namespace, name) for name in ("small", "night")])
    cluster.call(lambda: cluster.memory.delete(CLUSTER_QUEUE, "", "two-cores"))


def examine(story: GangStory, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """What `fairway doctor` says once it has seen the queues: a cluster that does not answer in time it does without."""
    told: list[subprocess.CompletedProcess[str]] = []

    def has_seen() -> bool:
        told.append(story.rig.fairway("doctor", *words, "--on", "campus"))
        return "queues of Kueue" in told[-1].stdout

    await_true(has_seen, "doctor sees no queues")
    return told[-1]


def test_doctor_says_that_a_queue_can_never_hold_a_gang(small: GangStory) -> None:
    file = small.rig.write(small.fill(QUEUED.replace('"team"', '"small"'), gang="replicas=3, min_replicas=2", cpu=1.5))
    words = "step 'fit' needs 3 cpu for 2 replicas, and the queue 'small' never gives more than 2 cpu"
    said = examine(small, file)
    assert (said.returncode, f"! {words}" in said.stdout) == (0, True), said.stdout + said.stderr
    faults = small.cluster.faults
    for hide in (lambda: faults.answer(400, "list", "ClusterQueue", times=9), lambda: faults.deny("list", "clusterqueues")):
        hide()
        said = examine(small, file)
        assert (said.returncode, words in said.stdout) == (0, False), "who does not see quotas is told nothing of them"
        assert "queues of Kueue: night (admits nothing now), small, team" in said.stdout
        faults.clear()


def test_doctor_looks_at_the_targets_own_queue_without_a_pipeline(story: GangStory) -> None:
    story.rig.campus.write(story.rig.root, 'queue = "taem"')
    said = examine(story)
    words = "there is no queue 'taem' of Kueue at the target 'campus': what names no other would wait for ever"
    assert (said.returncode, words in said.stdout) == (2, True), said.stdout + said.stderr
