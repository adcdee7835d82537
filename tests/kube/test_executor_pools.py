"""The Kubernetes executor and its pools: workers as pods, and what becomes of attempts with them."""

from __future__ import annotations

from fairway.spec.graph import StepDef
from fairway.spec.placement import Pool
from fairway.spec.target import Limits, TargetSettings
from tests.kube.executorrig import Rig, play, spec_of

POOLED = StepDef("train", pool=Pool(2, 30.0))


async def ask(rig: Rig, name: str, *running: str, wait_s: float = 5.0) -> list[str]:
    pool = rig.cluster.pod(name)["metadata"]["labels"]["fairway.dev/pool"]
    answer = await rig.executor.poll(pool, name, running, 1 - len(running), wait_s)
    return [spec.id for spec in answer["start"]]


def test_a_pools_attempts_are_run_by_its_workers_which_nothing_of_a_run_owns() -> None:
    async def story() -> None:
        rig = Rig()
        view, specs = await rig.start(), [spec_of(n, step=POOLED) for n in range(4)]
        await view.submit(specs)
        await rig.until(lambda: len(rig.cluster.pods()) == 2)
        one, two = rig.cluster.pods()
        assert rig.cluster.pod(one)["metadata"]["ownerReferences"][0]["kind"] == "Service"
        for name in (one, two):
            rig.cluster.run(name)
        assert await ask(rig, one) == [specs[0].id]
        await rig.told(view, specs[0], "running")
        assert await ask(rig, two) == [specs[1].id]
        await rig.told(view, specs[2], "queued", "waits for a worker of its pool")
        rig.succeed(specs[0])
        assert await ask(rig, one) == [specs[2].id]
        assert rig.cluster.requests["create Pod"] == 2
        await rig.executor.close()

    play(story())


def test_what_a_worker_ran_is_lost_with_it_and_another_one_comes() -> None:
    async def story() -> None:
        rig = Rig()
        view, specs = await rig.start(), [spec_of(n, step=POOLED) for n in range(3)]
        await view.submit(specs)
        await rig.until(lambda: len(rig.cluster.pods()) == 2)
        name = next(iter(rig.cluster.pods()))
        rig.cluster.run(name)
        (id,) = await ask(rig, name)
        rig.cluster.finish(name, 137)
        lost = await rig.settled(view, next(spec for spec in specs if spec.id == id))
        assert lost.error is not None
        assert (lost.error.kind, lost.error.retryable) == ("lost", True)
        await rig.until(lambda: name not in rig.cluster.pods())
        await rig.executor.tend()
        await rig.until(lambda: len(rig.cluster.pods()) == 2)
        await rig.executor.close()

    play(story())


def test_what_used_more_memory_than_its_worker_has_is_a_failure_of_the_step() -> None:
    async def story() -> None:
        rig = Rig()
        view, spec = await rig.start(), spec_of(step=POOLED)
        await view.submit([spec])
        await rig.until(rig.cluster.pods)
        (name,) = rig.cluster.pods()
        rig.cluster.run(name)
        await ask(rig, name)
        rig.cluster.finish(name, 137, reason="OOMKilled")
        failed = await rig.settled(view, spec)
        assert failed.error is not None
        assert failed.error.kind == "oom"
        await rig.executor.close()

    play(story())


def test_a_pool_whose_workers_cannot_start_says_why_and_fails_what_waits() -> None:
    async def story() -> None:
        rig = Rig()
        view, specs = await rig.start(), [spec_of(n, step=POOLED) for n in range(3)]
        await view.submit(specs)
        await rig.until(lambda: len(rig.cluster.pods()) == 2)
        waiting = {"reason": "ErrImagePull", "message": "manifest unknown"}
        for name in rig.cluster.pods():
            rig.cluster.set_status(name, {"phase": "Pending", "containerStatuses": [{"name": "main", "state": {"waiting": waiting}}]})
        await rig.told(view, specs[2], "queued", "cannot be pulled: manifest unknown")
        rig.now += 61
        await rig.executor.tend()
        for spec in specs:
            failed = await rig.settled(view, spec)
            assert failed.error is not None
            assert failed.error.kind == "image"
        await rig.until(lambda: not rig.cluster.pods())
        await rig.executor.close()

    play(story())


def test_a_pools_workers_count_for_the_limits_and_give_way_to_others() -> None:
    async def story() -> None:
        rig = Rig(target=TargetSettings(limits=Limits(max_pods=1)))
        view, pooled, plain = await rig.start(), spec_of(1, step=POOLED), spec_of(2)
        await view.submit([pooled])
        await rig.until(rig.cluster.pods)
        (name,) = rig.cluster.pods()
        rig.cluster.run(name)
        await ask(rig, name)
        await view.submit([plain])
        rig.succeed(pooled)
        pool = rig.cluster.pod(name)["metadata"]["labels"]["fairway.dev/pool"]
        assert (await rig.executor.poll(pool, name, [], 1, 5.0))["leave"]
        rig.cluster.finish(name)
        await rig.until(lambda: list(rig.cluster.pods()) == [plain.id])
        assert rig.cluster.most == 1
        await rig.executor.close()

    play(story())


def test_a_pools_attempt_can_be_cancelled_before_and_while_it_runs() -> None:
    async def story() -> None:
        rig = Rig()
        step = StepDef("train", pool=Pool(1, 30.0))
        view, one, two = await rig.start(), spec_of(1, step=step), spec_of(2, step=step)
        await view.submit([one, two])
        await rig.until(rig.cluster.pods)
        (name,) = rig.cluster.pods()
        rig.cluster.run(name)
        await ask(rig, name)
        await view.cancel(two.id, 1.0)
        assert (await rig.settled(view, two)).error is not None
        await view.cancel(one.id, 4.0)
        pool = rig.cluster.pod(name)["metadata"]["labels"]["fairway.dev/pool"]
        assert (await rig.executor.poll(pool, name, [one.id], 0, 5.0))["cancel"] == [[one.id, 4.0]]
        assert await ask(rig, name, wait_s=0.0) == []
        assert (await rig.settled(view, one)).error is not None
        assert name in rig.cluster.pods(), "the worker goes on"
        await rig.executor.close()

    play(story())


def test_after_a_restart_a_pools_worker_goes_on_with_what_it_runs() -> None:
    async def story() -> None:
        rig = Rig()
        view, spec = await rig.start(), spec_of(step=POOLED)
        await view.submit([spec])
        await rig.until(rig.cluster.pods)
        (name,) = rig.cluster.pods()
        rig.cluster.run(name)
        await ask(rig, name)
        await rig.executor.close()
        rig.executor = rig.fresh()
        view = await rig.start()
        await view.submit([spec])
        assert (await view.observe([spec.id]))[spec.id].phase == "queued"
        assert await ask(rig, name, spec.id, wait_s=0.0) == []
        await rig.told(view, spec, "running")
        assert len(rig.cluster.pods()) == 1
        await rig.executor.close()

    play(story())


def test_a_pool_whose_workers_never_reach_the_server_fails_what_waits_in_the_end() -> None:
    async def story() -> None:
        rig = Rig()
        view, spec = await rig.start(), spec_of(step=StepDef("train", pool=Pool(1, 30.0)))
        await view.submit([spec])
        for n in range(3):
            await rig.until(rig.cluster.pods)
            (name,) = rig.cluster.pods()
            rig.cluster.finish(name, 1, message="fairway: no runtime from http://10.0.0.1:8080: timed out\n")
            await rig.until(lambda: not rig.cluster.pods())
            if n < 2:
                await rig.told(view, spec, "queued", "no runtime from http://10.0.0.1:8080: timed out")
                rig.now += 60
                await rig.tended(rig.cluster.pods)
        failed = await rig.settled(view, spec)
        assert failed.error is not None
        assert (failed.error.kind, failed.error.retryable) == ("lost", True)
        await rig.executor.close()

    play(story())
