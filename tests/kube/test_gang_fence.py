"""The NetworkPolicy of a gang: there before its pods, about them alone, gone after them, and done without where the cluster refuses it."""

from __future__ import annotations

from typing import Any

import pytest

from fairway.errors import AdmissionRefused, FairwayError, ForbiddenError, InfraError, QuotaExceeded
from fairway.spec.graph import StepDef
from tests.kube.executorrig import play, spec_of
from tests.kube.ganghall import Hall, gang_of
from tests.kube.policies import lets_in

KIND = "NetworkPolicy"


def refusing(hall: Hall, error: FairwayError) -> None:
    """The cluster takes everything but policies."""
    hall.cluster.refuse = lambda obj: error if obj["kind"] == KIND else None


def fences(hall: Hall) -> list[dict[str, Any]]:
    return [obj for (kind, _), obj in hall.cluster.objects.items() if kind == KIND]


def test_only_a_gangs_own_pods_may_connect_to_them() -> None:
    async def story() -> None:
        hall = Hall()
        view, one, two, alone = await hall.start(), gang_of(1, image="trainer:1"), gang_of(2), spec_of(3, step=StepDef("load"))
        await view.submit([one, alone])
        pods = {name: hall.cluster.pod(name) for name in await hall.pods(one, 0, 1, 2)}
        await view.submit([two])
        others = {name: hall.cluster.pod(name) for name in (*await hall.pods(two, 0, 1, 2), alone.id)}
        assert len(fences(hall)) == 2
        for name, pod in pods.items():
            heard = [other for other, source in (pods | others).items() if lets_in(fences(hall), pod, source)]
            assert heard == list(pods), name
        assert all(lets_in(fences(hall), others[alone.id], pod) for pod in pods.values()), "an ordinary step is as open as ever"
        assert all("egress" not in one["spec"] and "Egress" not in one["spec"]["policyTypes"] for one in fences(hall))
        await hall.rig.executor.close()

    play(story())


def test_it_is_there_before_the_job_and_as_long_as_any_pod() -> None:
    async def story() -> None:
        hall, made = Hall(), []
        hall.cluster.refuse = lambda obj: made.append(obj["kind"])
        view, spec = await hall.start(), gang_of()
        await view.submit([spec])
        names = await hall.pods(spec, 0, 1, 2)
        assert made.index(KIND) < made.index("Job") < made.index("Pod")
        fence, job = hall.cluster.objects[KIND, spec.id], hall.cluster.objects["Job", spec.id]
        assert fence["metadata"]["ownerReferences"] == job["metadata"]["ownerReferences"]
        for name in names:
            await hall.meet(spec, name)
        for name in names:
            hall.end(spec, name)
        await hall.rig.tended(lambda: ("Job", spec.id) not in hall.cluster.objects)
        hall.cluster.vanish(names[0])
        hall.cluster.vanish(names[1])
        await hall.rig.tended(lambda: len(hall.rig.executor.gangs.pods()) == 1)
        assert fences(hall), "one of its pods still listens"
        hall.cluster.vanish(names[2])
        await hall.rig.tended(lambda: not fences(hall))
        await hall.rig.executor.close()

    play(story())


def test_one_that_is_tried_again_keeps_it_and_one_that_is_cancelled_meanwhile_does_not() -> None:
    async def story() -> None:
        hall = Hall()
        view, spec = await hall.start(), gang_of()
        await view.submit([spec])
        await hall.pods(spec, 0, 1)
        hall.rig.now += 101.0
        await hall.gone(spec)
        await hall.rig.told(view, spec, "queued", "0 of 3 replicas came")
        await hall.rig.tended(lambda: not hall.rig.executor.gangs.pods())
        hall.rig.now += 6.0
        await hall.pods(spec, 0)
        assert len(fences(hall)) == 1
        hall.rig.now += 101.0
        await hall.gone(spec)
        await view.cancel(spec.id, 1.0)
        await hall.rig.tended(lambda: not fences(hall))
        await hall.rig.executor.close()

    play(story())


def test_a_server_that_was_started_anew_removes_what_the_last_has_made() -> None:
    async def story() -> None:
        hall = Hall()
        view, spec = await hall.start(), gang_of()
        await view.submit([spec])
        names = await hall.pods(spec, 0, 1, 2)
        for name in names:
            await hall.meet(spec, name)
        await hall.rig.executor.close()
        hall.rig.executor = hall.rig.fresh()
        view = await hall.start()
        await view.submit([spec])
        await hall.rig.told(view, spec, "running")
        for name in names:
            hall.end(spec, name)
        await hall.gone(spec)
        await hall.rig.tended(lambda: not fences(hall))
        await hall.rig.executor.close()

    play(story())


@pytest.mark.parametrize("kind", [KIND, "Job"])
def test_nothing_is_left_of_a_gang_that_is_cancelled_while_it_is_made(kind: str) -> None:
    async def story() -> None:
        hall = Hall()
        view, spec = await hall.start(), gang_of()
        hall.cluster.refuse = lambda obj: hall.rig.executor.gangs.cancel(spec.id) and None if obj["kind"] == kind else None
        await view.submit([spec])
        await hall.rig.settled(view, spec)
        await hall.rig.tended(lambda: hall.cluster.requests[f"delete {KIND}"] > 1)
        assert not fences(hall)
        assert ("Job", spec.id) not in hall.cluster.objects
        await hall.rig.executor.close()

    play(story())


def test_nothing_is_left_of_a_gang_whose_job_the_cluster_refuses() -> None:
    async def story(error: FairwayError, *, cancels: bool) -> None:
        hall = Hall()
        view, spec = await hall.start(), gang_of()

        def refuse(obj: Any) -> FairwayError | None:
            if obj["kind"] != "Job":
                return None
            if cancels:
                hall.rig.executor.gangs.cancel(spec.id)
            return error

        hall.cluster.refuse = refuse
        await view.submit([spec])
        await hall.rig.settled(view, spec)
        await hall.rig.tended(lambda: hall.cluster.requests[f"delete {KIND}"] > 0 and not fences(hall))
        await hall.rig.executor.close()

    play(story(AdmissionRefused("admission webhook denied the request: no Jobs"), cancels=False))
    play(story(InfraError("the server is away"), cancels=True))


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ForbiddenError('networkpolicies is forbidden: User "x" cannot create resource'), "`fairway up` gives it the right"),
        (AdmissionRefused("admission webhook denied the request: none of these"), "denied the request: none of these"),
        (QuotaExceeded("networkpolicies is forbidden: exceeded quota: small"), "exceeded quota: small"),
    ],
    ids=["no right", "admission", "quota"],
)
def test_where_the_cluster_refuses_it_the_gang_runs_and_says_so(error: FairwayError, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    async def story() -> None:
        hall = Hall()
        refusing(hall, error)
        view, one, two = await hall.start(), gang_of(1), gang_of(2)
        await view.submit([one])
        names = await hall.pods(one, 0, 1, 2)
        await hall.rig.told(view, one, "starting", says)
        for name in names:
            await hall.meet(one, name)
        await hall.rig.told(view, one, "running")
        await view.submit([two])
        await hall.job(two)
        hall.cluster.refuse = lambda obj: None
        for name in names:
            hall.end(one, name)
        assert (await hall.rig.settled(view, one)).items[0].status == "succeeded"
        await hall.gone(one)
        await view.submit([gang_of(3)])
        await hall.pods(two, 0, 1, 2)
        await hall.job(gang_of(3))
        assert [fence["metadata"]["name"] for fence in fences(hall)] == [gang_of(3).id], "it is asked again for every gang"
        await hall.rig.executor.close()

    play(story())
    said = capsys.readouterr().err
    assert said.count("whoever reaches its pods can connect to its ranks") == 1, "the server's log says it once"
    assert says in said


def test_a_failure_of_the_cluster_that_passes_opens_no_gang() -> None:
    async def story() -> None:
        hall = Hall()
        refusing(hall, InfraError("etcdserver: request timed out"))
        view, spec = await hall.start(), gang_of()
        await view.submit([spec])
        await hall.rig.told(view, spec, "queued", "etcdserver")
        assert ("Job", spec.id) not in hall.cluster.objects
        hall.cluster.refuse = lambda obj: None
        hall.rig.now += 6.0
        await hall.job(spec)
        assert len(fences(hall)) == 1
        await hall.rig.executor.close()

    play(story())
