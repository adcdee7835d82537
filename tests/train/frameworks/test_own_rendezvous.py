"""What ranks are told by the rows that start every process themselves: PyTorch and those on it, TensorFlow, Keras, JAX. For any gang."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.errors import DefinitionError, NotFoundError
from fairway.spec.gang import LOOPBACK, PORTS_EACH, Gang, Place, World, places_of
from fairway.spec.record import replace
from fairway.train.frameworks import check_gang, get_framework

OURS = ("torch", "tensorflow", "keras", "jax", "deepspeed", "accelerate")


def world_of(gang: Gang, hosts: tuple[str, ...] = ()) -> World:
    each = gang.processes * PORTS_EACH
    ports = tuple(tuple(range(20000 + replica * each, 20000 + (replica + 1) * each)) for replica in range(gang.replicas))
    return World(hosts or (LOOPBACK,) * gang.replicas, ports, key="k")


@st.composite
def gangs(draw: st.DrawFn) -> tuple[Gang, list[Place]]:
    replicas, processes = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    fewest = draw(st.integers(0, replicas))
    gang = Gang(replicas, "torch", processes, fewest, restarts=draw(st.integers(0, 3)))
    kinds = st.sampled_from([tuple(f"10.0.0.{n}" for n in range(replicas)), tuple(f"fd00::{n}" for n in range(replicas)), ()])
    world = world_of(gang, draw(kinds))
    cpus, devices = draw(st.integers(1, 8)), draw(st.integers(0, 2))
    return gang, places_of(gang, world, "attempt", draw(st.integers(1, 3)), cpus=cpus, folder="/folder", devices=devices)


def told(framework: str, gang: Gang, places: list[Place]) -> list[dict[str, str]]:
    row = get_framework(framework)
    return [dict(row.environment(place, gang)) for place in places]


@given(st.sampled_from(OURS), gangs())
def test_every_rank_has_its_own_number_and_all_agree_on_the_rest(framework: str, made: tuple[Gang, list[Place]]) -> None:
    gang, places = made
    ranks = told(framework, gang, places)
    assert [int(one["RANK"]) for one in ranks] == list(range(len(places)))
    assert {one["WORLD_SIZE"] for one in ranks} == {str(gang.replicas * gang.processes)}
    assert len({(one["FAIRWAY_REPLICA"], one["LOCAL_RANK"]) for one in ranks}) == len(places)
    assert len({one["FAIRWAY_ENDPOINTS"] for one in ranks}) == 1
    assert all(isinstance(value, str) and "\0" not in value for one in ranks for value in one.values())


@given(gangs())
def test_torch_ranks_meet_where_rank_0_listens_and_launchers_at_another_port(made: tuple[Gang, list[Place]]) -> None:
    gang, places = made
    ranks = told("torch", gang, places)
    assert {(one["MASTER_ADDR"], one["MASTER_PORT"]) for one in ranks} == {(places[0].hosts[0], str(places[0].ports[0][0]))}
    assert {one["PET_RDZV_ENDPOINT"] for one in ranks} == {places[0].endpoint(0, 1)}
    assert ranks[0]["PET_RDZV_ENDPOINT"].rpartition(":")[2] != ranks[0]["MASTER_PORT"]
    assert {one["PET_RDZV_BACKEND"] for one in ranks} == {"static"}
    assert [one["PET_NODE_RANK"] for one in ranks] == [one["GROUP_RANK"] for one in ranks] == [str(place.replica) for place in places]
    assert {one["PET_NNODES"] for one in ranks} == {str(gang.replicas)}
    assert {one["TORCHELASTIC_RESTART_COUNT"] for one in ranks} == {str(places[0].n - 1)}


@given(gangs())
def test_an_elastic_rendezvous_has_one_host_and_as_few_launchers_as_the_gang_bears(made: tuple[Gang, list[Place]]) -> None:
    gang, places = made
    gang = replace(gang, options={"rdzv": "c10d"})
    check_gang(gang)
    ranks = told("torch", gang, places)
    assert [one["PET_RDZV_CONF"] == "is_host=true" for one in ranks] == [place.replica == 0 for place in places]
    assert {one["PET_MAX_RESTARTS"] for one in ranks} == {str(gang.restarts)}
    least, colon, most = ranks[0]["PET_NNODES"].partition(":")
    assert (most if colon else least) == str(gang.replicas)
    assert bool(colon) == (0 < gang.min_replicas < gang.replicas)
    assert not colon or least == str(gang.min_replicas)


@given(gangs())
def test_ranks_of_one_machine_talk_over_its_loopback_and_others_choose(made: tuple[Gang, list[Place]]) -> None:
    gang, places = made
    one = told("torch", gang, places)[0]
    assert ("GLOO_SOCKET_IFNAME" in one) == ("NCCL_SOCKET_IFNAME" in one) == (places[0].hosts[0] == LOOPBACK)
    chosen = Gang(gang.replicas, "torch", gang.processes, options={"interface": "eth7"})
    assert told("torch", chosen, places)[0]["GLOO_SOCKET_IFNAME"] == "eth7"


@given(gangs())
def test_jax_knows_its_processes_and_devices(made: tuple[Gang, list[Place]]) -> None:
    gang, places = made
    ranks = told("jax", gang, places)
    assert {one["JAX_COORDINATOR_ADDRESS"] for one in ranks} == {places[0].endpoint()}
    assert [one["SLURM_PROCID"] for one in ranks] == [one["RANK"] for one in ranks]
    for place, one in zip(places, ranks, strict=True):
        assert ("JAX_COORDINATOR_BIND_ADDRESS" in one) == place.on_one_machine
        assert len(one.get("JAX_LOCAL_DEVICE_IDS", "").split(",")) == max(1, place.devices)
    for replica in range(gang.replicas):
        taken = [one["JAX_LOCAL_DEVICE_IDS"] for one in ranks if int(one["FAIRWAY_REPLICA"]) == replica and "JAX_LOCAL_DEVICE_IDS" in one]
        numbers = ",".join(taken).split(",") if taken else []
        assert numbers == [str(number) for number in range(len(numbers))], "no two processes of a machine take the same device"


@st.composite
def casts(draw: st.DrawFn) -> Gang:
    """Roles as TensorFlow knows them, chief or worker first."""
    roles = {"chief": 1} if draw(st.booleans()) else {}
    roles["worker"] = draw(st.integers(1, 4))
    for role in draw(st.permutations(["ps", "evaluator"])):
        if count := draw(st.integers(0, 2)):
            roles[role] = count
    return Gang(sum(roles.values()), "tensorflow", roles=roles)


@given(casts(), st.booleans())
def test_tf_config_is_the_same_cluster_for_all_and_a_task_of_each(gang: Gang, keras: bool) -> None:
    places = places_of(gang, world_of(gang), "a")
    configs: list[dict[str, Any]] = [json.loads(one["TF_CONFIG"]) for one in told("keras" if keras else "tensorflow", gang, places)]
    check_gang(gang)
    cluster = configs[0]["cluster"]
    assert all(config["cluster"] == cluster for config in configs)
    assert {role: len(found) for role, found in cluster.items()} == {
        role: count for role, count in gang.roles.items() if role != "evaluator"
    }
    tasks = [(config["task"]["type"], config["task"]["index"]) for config in configs]
    assert tasks == [(role, index) for role, count in gang.roles.items() for index in range(count)]
    for place, (role, index) in zip(places, tasks, strict=True):
        if role != "evaluator":
            assert cluster[role][index] == place.endpoint(place.rank)
    addresses = [address for found in cluster.values() for address in found]
    assert len(set(addresses)) == len(addresses)


@given(casts())
def test_tensorflow_ends_those_that_never_end_by_themselves(gang: Gang) -> None:
    places = places_of(gang, world_of(gang), "a")
    row: Any = get_framework("tensorflow")
    serving = {place.role for place in places if row.serves(place, gang)}
    assert not row.serves(places[0], gang), "somebody has to end"
    assert {"ps", "evaluator"} & set(gang.roles) <= serving <= {"ps", "evaluator", "worker"}
    assert ("worker" in serving) == ({"chief", "ps"} <= set(gang.roles))


def test_a_gang_without_roles_is_one_of_workers() -> None:
    gang = Gang(2, "tensorflow", processes=2)
    configs = [json.loads(one["TF_CONFIG"]) for one in told("tensorflow", gang, places_of(gang, world_of(gang), "a"))]
    assert [config["task"] for config in configs] == [{"type": "worker", "index": number} for number in range(4)]
    assert len(configs[0]["cluster"]["worker"]) == 4


@pytest.mark.parametrize(
    ("gang", "says"),
    [
        (Gang(2, "tensorflow", roles={"chief": 1, "server": 1}), "no role 'server'"),
        (Gang(2, "tensorflow", roles={"ps": 1, "chief": 1}), "the result of rank 0"),
        (Gang(3, "tensorflow", roles={"chief": 2, "worker": 1}), "there is one chief"),
        (Gang(2, "keras", processes=2, roles={"chief": 1, "worker": 1}), "one process each"),
        (Gang(2, "keras", options={"backend": "theano"}), "no backend 'theano'"),
        (Gang(2, "torch", options={"bakend": "gloo"}), "no option 'bakend'"),
        (Gang(2, "deepspeed", options={"rdzv": "etcd"}), "not 'etcd'"),
        (Gang(2, "jax", options={"x": 1}), "no option 'x'"),
        (Gang(2, "tensorflow", roles={"worker": 1, "evaluator": 1}, processes=2), ""),
    ],
)
def test_what_a_framework_cannot_do_is_refused_before_anything_runs(gang: Gang, says: str) -> None:
    if not says:
        check_gang(gang)
        return
    with pytest.raises(DefinitionError) as raised:
        check_gang(gang)
    assert says in raised.value.message
    assert raised.value.hint


def test_an_unknown_framework_names_those_there_are() -> None:
    with pytest.raises(NotFoundError) as raised:
        check_gang(Gang(2, "tourch"))
    assert "torch" in raised.value.hint


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch", ""])
def test_keras_is_told_its_backend_and_what_that_one_needs(backend: str) -> None:
    gang = Gang(2, "keras", options={"backend": backend} if backend else {})
    for one in told("keras", gang, places_of(gang, world_of(gang), "a")):
        assert one.get("KERAS_BACKEND", "") == backend
        assert one["KERAS_DISTRIBUTION_NUM_PROCESSES"] == "2"
        assert ("TF_CONFIG" in one) == (backend in ("tensorflow", ""))
        assert ("JAX_COORDINATOR_ADDRESS" in one) == (backend in ("jax", ""))
        assert ("MASTER_ADDR" in one) == (backend in ("torch", ""))


@pytest.mark.parametrize(("devices", "options", "cpu"), [(0, {}, "true"), (1, {}, "false"), (1, {"cpu": True}, "true")])
def test_accelerate_uses_the_gpus_that_the_step_asked_for(devices: int, options: dict[str, Any], cpu: str) -> None:
    gang = Gang(2, "accelerate", options={"mixed_precision": "bf16", **options})
    check_gang(gang)
    for one in told("accelerate", gang, places_of(gang, world_of(gang), "a", devices=devices)):
        assert (one["ACCELERATE_USE_CPU"], one["ACCELERATE_MIXED_PRECISION"]) == (cpu, "bf16")


@given(gangs())
def test_deepspeed_knows_machines_and_processes_apart(made: tuple[Gang, list[Place]]) -> None:
    gang, places = made
    for place, one in zip(places, told("deepspeed", gang, places), strict=True):
        assert int(one["CROSS_RANK"]) * int(one["LOCAL_SIZE"]) + int(one["LOCAL_RANK"]) == place.rank
        assert int(one["CROSS_SIZE"]) * int(one["LOCAL_SIZE"]) == place.world_size
