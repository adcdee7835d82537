"""Where a step runs is said beside it, checked where it is written, and no part of its cache keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import fairway as fw
from fairway.engine.keys import step_parts
from fairway.errors import DefinitionError
from fairway.spec.graph import StepDef
from fairway.spec.placement import Placement, Pool, Toleration, Volume
from fairway.spec.record import from_plain, to_plain
from fairway.spec.resources import Resources


def work(x: int) -> int:
    return x


def step_of(**settings: Any) -> StepDef:
    return fw.step(**settings)(work).definition()


def test_a_step_says_where_it_runs() -> None:
    step = step_of(
        pool=fw.pool(size=8, idle="2m"),
        queue="team-a",
        spot=True,
        place=fw.place(
            nodes={"example.org/disk": "ssd", "fast": True},  # type: ignore[dict-item]
            tolerations=["gpu=yes:NoSchedule", "batch", {"key": "x", "operator": "Exists", "tolerationSeconds": 30}],
            volumes=[fw.volume("/data/", claim="corpus", read_only=True, sub_path="july"), fw.volume("/dev/shm", size="1Gi", memory=True)],
            variables_from=["secret:db", "config:paths"],
            user=1000,
            patch={"spec": {"hostname": "here"}},
        ),
    )
    assert step.pool == Pool(8, 120.0)
    assert step.placement == Placement(
        queue="team-a",
        spot=True,
        nodes={"example.org/disk": "ssd", "fast": "true"},
        tolerations=(
            Toleration("gpu", "Equal", "yes", "NoSchedule"),
            Toleration("batch"),
            Toleration("x", "Exists", seconds=30),
        ),
        volumes=(Volume("/data", claim="corpus", read_only=True, sub_path="july"), Volume("/dev/shm", empty_bytes=2**30, memory=True)),
        variables_from=("secret:db", "config:paths"),
        user=1000,
        patch={"spec": {"hostname": "here"}},
    )
    assert from_plain(StepDef, to_plain(step)) == step


def test_accelerators_have_a_type_a_topology_and_shared_memory() -> None:
    step = step_of(accelerator="nvidia.com/gpu:2", accelerator_type="H100", shared_memory="2Gi")
    assert step.resources == Resources(accelerators={"nvidia.com/gpu": 2}, model="H100", shared_memory_bytes=2 * 2**30)
    assert step_of(accelerator="google.com/tpu:8", topology="2x4").resources.topology == "2x4"


def test_options_change_only_what_they_name() -> None:
    base = fw.step(place=fw.place(nodes={"a": "b"}), queue="slow")(work)
    assert base.options(queue="fast").definition().placement == Placement(queue="fast", nodes={"a": "b"})
    assert base.options(place=fw.place(user=7)).definition().placement == Placement(queue="slow", user=7)
    assert base.options(spot=True).definition().placement == Placement(queue="slow", spot=True, nodes={"a": "b"})


def test_machines_that_are_taken_away_are_no_failures_however_often() -> None:
    assert step_of(spot=True, retries=2).retry.lost_attempts == 100
    assert step_of(spot=True, retries=2).retry.attempts == 3
    assert step_of(retries=2).retry.lost_attempts == 3


def test_where_a_step_runs_is_no_part_of_its_cache_keys() -> None:
    plain = step_of()
    placed = step_of(
        pool=fw.pool(2),
        spot=True,
        queue="q",
        place=fw.place(nodes={"a": "b"}, user=5),
        accelerator="nvidia.com/gpu:1",
        accelerator_type="T4",
        shared_memory="1Gi",
        disk="1Gi",
    )
    assert step_parts(placed, "3.12", {}) == step_parts(plain, "3.12", {})


WRONG: list[tuple[Callable[[], Any], str, str]] = [
    (lambda: fw.pool(size=-1), "size of a pool", "fw.pool(size=8"),
    (lambda: fw.pool(size=True), "size of a pool", "fw.pool(size=8"),
    (lambda: fw.pool(2, idle="soon"), "not a duration", "90s"),
    (lambda: fw.volume("data", claim="x"), "full path", "fw.volume"),
    (lambda: fw.volume("/fairway/x", claim="x"), "nothing can be mounted", "path of your own"),
    (lambda: fw.volume("/proc", claim="x"), "nothing can be mounted", "path of your own"),
    (lambda: fw.volume("/a/../b", claim="x"), "full path", "fw.volume"),
    (lambda: fw.volume("/a"), "exactly one source", "claim="),
    (lambda: fw.volume("/a", claim="x", secret="y"), "exactly one source", "claim="),
    (lambda: fw.volume("/a", claim="X_Y"), "claim is the name", "small letters"),
    (lambda: fw.volume("/a", claim="x", memory=True), "only an empty volume", "memory=True"),
    (lambda: fw.volume("/a", claim="x", sub_path="/b"), "inside the volume", "sub_path"),
    (lambda: fw.volume("/a", size="many"), "not an amount", "512Mi"),
    (lambda: fw.place(volumes=[fw.volume("/a", claim="x"), fw.volume("/a/", claim="y")]), "two volumes", "another path"),
    (lambda: fw.place(volumes=["/a"]), "fw.volume(...)", "claim="),  # type: ignore[list-item]
    (lambda: fw.place(user=0), "user must be", "never as root"),
    (lambda: fw.place(user=True), "user must be", "never as root"),
    (lambda: fw.place(home="me"), "full path", "home="),
    (lambda: fw.place(tolerations=["a b"]), "not a toleration", "NoSchedule"),
    (lambda: fw.place(tolerations=["gpu:Never"]), "not a toleration", "NoSchedule"),
    (lambda: fw.place(tolerations=[{"kez": "x"}]), "not a toleration", "NoSchedule"),
    (lambda: fw.place(nodes={"a": "b c"}), "nodes: not a label", "ssd"),
    (lambda: fw.place(labels={"-a": "b"}), "labels: not a label", "ssd"),
    (lambda: fw.place(variables_from=["db"]), "source of variables", "secret:NAME"),
    (lambda: fw.place(affinity={"nodes": {}}), "affinity has no 'nodes'", "nodeAffinity"),
    (lambda: fw.place(patch={"kind": "Job"}), "patch has no 'kind'", "metadata, spec"),
    (lambda: fw.place(patch={"spec": {"x": object()}}), "what YAML can hold", "dicts"),
    (lambda: fw.place(spot="yes"), "spot must be", "spot=True"),  # type: ignore[arg-type]
    (lambda: fw.place(queue="Team A"), "queue is the name", "small letters"),
    (lambda: fw.step(pool=8)(work), "pool must be made", "fw.pool"),
    (lambda: fw.step(place={"nodes": {}})(work), "place must be made", "fw.place"),
    (lambda: fw.step(spot=1)(work), "spot must be", "spot=True"),
    (lambda: fw.step(queue=3)(work), "queue is the name", "small letters"),
    (lambda: fw.step(topology="big")(work), "not a topology", "2x4"),
    (lambda: fw.step(accelerator_type="")(work), "not a type of accelerator", "H100"),
    (lambda: fw.step(shared_memory="-1")(work), "not an amount", "512Mi"),
]


@pytest.mark.parametrize(("write", "message", "hint"), WRONG, ids=[str(n) for n in range(len(WRONG))])
def test_what_cannot_be_is_refused_where_it_is_written(write: Callable[[], Any], message: str, hint: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        write()
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.where.partition(":")[0].endswith("test_placing.py")


def test_a_type_without_an_accelerator_is_refused_at_its_step() -> None:
    with pytest.raises(DefinitionError, match="none is asked for") as caught:
        step_of(accelerator_type="H100")
    assert "test_placing.py:" in caught.value.where
