"""How many pods there are, as the server tells Prometheus."""

from __future__ import annotations

from fairway.spec.graph import StepDef
from fairway.spec.placement import Pool
from tests.kube.executorrig import Rig, play, spec_of


def test_pods_are_counted_by_role_and_phase() -> None:
    async def story() -> None:
        rig = Rig()
        view = await rig.start()
        assert rig.executor.count_pods() == {}
        await view.submit([spec_of(0), spec_of(1, step=StepDef("train", pool=Pool(1, 30.0)))])
        await rig.until(lambda: len(rig.cluster.pods()) == 2)
        await rig.until(lambda: rig.executor.count_pods() == {("attempt", "Pending"): 1, ("pool", "Pending"): 1})
        rig.cluster.run(next(name for name in rig.cluster.pods() if name.startswith("pool-")))
        await rig.until(lambda: rig.executor.count_pods() == {("attempt", "Pending"): 1, ("pool", "Running"): 1})
        await rig.executor.close()

    play(story())
