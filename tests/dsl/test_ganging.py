"""What `fw.gang(...)` makes of a step: resources for each replica, and how often it is tried again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import fairway as fw
from fairway.dsl.lint import check
from fairway.errors import DefinitionError
from fairway.spec.gang import Gang
from fairway.spec.graph import Graph, Node, StepDef


def defined(**settings: Any) -> StepDef:
    @fw.step(**settings)
    def fit() -> int:
        return 1

    return fit.definition()


def test_a_restart_is_for_what_a_new_start_can_mend_and_retries_are_for_the_rest() -> None:
    plain = defined(gang=fw.gang(replicas=2, restarts=3)).retry
    assert (plain.attempts, plain.kinds) == (4, ("crash", "oom", "stall", "lost", "port"))
    both = defined(gang=fw.gang(replicas=2, restarts=3), retries=2).retry
    assert (both.attempts, both.kinds) == (6, ())
    own = defined(gang=fw.gang(replicas=2), retry=fw.retry(7, on="timeout")).retry
    assert (own.attempts, own.kinds) == (7, ("timeout",))


def test_machines_that_are_taken_away_do_not_count_and_crashes_still_do() -> None:
    retry = defined(gang=fw.gang(replicas=2, restarts=1), spot=True).retry
    assert (retry.attempts, retry.lost_attempts) == (2, 100)
    assert "crash" in retry.kinds


def test_options_keep_what_a_gang_has_said() -> None:
    @fw.step(gang=fw.gang(replicas=2, per_replica="nvidia.com/gpu:1", restarts=1), memory="1Gi")
    def fit() -> int:
        return 1

    step = fit.options(retries=1, cpu=2).definition()
    assert (step.gang.replicas, step.resources.accelerators, step.resources.cpu) == (2, {"nvidia.com/gpu": 1}, 2.0)
    assert step.retry.attempts == 3


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"replicas": 0}, "replicas must be a whole number from 1"),
        ({"replicas": 2, "min_replicas": 3}, "min_replicas=3 is more than replicas=2"),
        ({"replicas": 3, "roles": {"chief": 1, "ps": 1}}, "roles add up to 2 replicas, not 3"),
        ({"replicas": 2, "restarts": -1}, "restarts must be a whole number from 0"),
        ({"replicas": True}, "replicas must be a whole number"),
        ({"replicas": 2, "framework": ""}, "not a framework"),
        ({"replicas": 2, "stall_timeout": "soon"}, "stall_timeout: not a duration"),
        ({"replicas": 2, "start_timeout": -3}, "start_timeout: a duration must be above zero"),
    ],
)
def test_what_is_wrong_is_said_with_the_line(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        fw.gang(**wrong)
    assert says in refused.value.message
    assert refused.value.where.rpartition(":")[0].endswith("test_ganging.py")


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({"replica": 2}, "Did you mean `replicas`?"),
        ({"nnodes": 2}, "Did you mean `replicas`?"),
        ({"replicas": 2, "restarts": -1}, "write fw.gang(restarts=2)"),
        ({"replicas": "2"}, "write fw.gang(replicas=2)"),
        ({"roles": ["chief"]}, 'write roles={"chief": 1, "worker": 2}'),
        ({"roles": {"chief": 0}}, 'write roles={"chief": 1, "worker": 2}'),
    ],
)
def test_a_hint_is_for_the_keyword_that_is_wrong(wrong: dict[str, Any], hint: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        fw.gang(**wrong)
    assert refused.value.hint == hint


@pytest.mark.parametrize("devices", ["junk", "junk:2", "nvidia.com/gpu:x", "nvidia.com/gpu:1,amd.com/gpu:1", -1])
def test_devices_that_cannot_be_read_are_refused_where_they_stand_with_the_form(devices: Any) -> None:
    with pytest.raises(DefinitionError) as refused:
        fw.gang(replicas=2, per_replica=devices)
    assert refused.value.message == f"per_replica names no device: {devices!r}"
    assert refused.value.hint.startswith('write per_replica="nvidia.com/gpu:1": the name')
    assert Path(refused.value.where.partition(":")[0]).name == Path(__file__).name


@pytest.mark.parametrize("devices", ["gpu", "gpu:2", "nvidia:2", "nvidia.com/gpu", "example.com/fpga:3", 4])
def test_devices_of_any_maker_are_taken(devices: Any) -> None:
    assert fw.gang(replicas=2, per_replica=devices).per_replica == devices


def test_the_keywords_of_every_gang_are_those_of_its_signature() -> None:
    import inspect

    from fairway.dsl.ganging import KEYWORDS

    assert set(KEYWORDS) == set(inspect.signature(fw.gang).parameters) - {"options"}


def test_only_fw_gang_makes_a_gang() -> None:
    with pytest.raises(DefinitionError, match=r"made by fw\.gang"):
        defined(gang=4)


def test_a_target_that_runs_no_gangs_says_so() -> None:
    graph = Graph("p", steps={"fit": StepDef("fit", module="m", qualname="fit", gang=Gang(2))}, nodes=(Node("fit", "fit"),))
    (problem,) = check(graph, lambda _: True, {"GPU"})
    assert problem.message == "the step `fit` is a gang, which this target cannot run"
    assert check(graph, lambda _: True, {"GANG"}) == []
