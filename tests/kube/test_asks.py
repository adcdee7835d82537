"""What a step may ask of a cluster's executor when its run is submitted: the limits bound what they name, nodes bound the rest."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fairway.engine.submit import _check_step
from fairway.errors import UnsupportedError
from fairway.executors.local import LocalExecutor
from fairway.spec.graph import StepDef
from fairway.spec.ports import Inventory, run_now
from fairway.spec.resources import Resources
from fairway.spec.target import Limits, TargetSettings
from tests.kube.executorrig import Rig

GPUS = StepDef("train", resources=Resources(cpu=900, accelerators={"nvidia.com/gpu": 16}))


def inventory(limits: Limits) -> Inventory:
    async def ask() -> Inventory:
        rig = Rig(target=TargetSettings(limits=limits))
        found = await (await rig.start()).inventory()
        await rig.executor.close()
        return found

    return asyncio.run(ask())


def test_accelerators_that_no_limit_names_are_the_nodes_business() -> None:
    _check_step(GPUS, inventory(Limits()), "campus")
    _check_step(GPUS, inventory(Limits(accelerators={"amd.com/gpu": 1})), "campus")


def test_what_a_limit_names_is_refused_beyond_it() -> None:
    with pytest.raises(UnsupportedError, match=r"asks for 16 nvidia\.com/gpu \(campus has 8\)"):
        _check_step(GPUS, inventory(Limits(accelerators={"nvidia.com/gpu": 8})), "campus")


def test_a_machine_has_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    executor = LocalExecutor(str(tmp_path), settings={"cpu": 1000.0})
    with pytest.raises(UnsupportedError, match=r"16 nvidia\.com/gpu"):
        _check_step(GPUS, run_now(executor.inventory()), "this machine")
