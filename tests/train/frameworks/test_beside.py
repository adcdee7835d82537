"""What rows say of the programs beside ranks, of launchers, and of files; and what programs of every kind find in variables."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.errors import ConfigError, DefinitionError
from fairway.spec.gang import LOOPBACK, PORTS_EACH, Gang, Place, Service, World, places_of
from fairway.train.frameworks import check_gang, get_framework
from fairway.train.lightgbm import network

OURS = ("plain", "xgboost", "lightgbm", "sklearn", "dask", "ray", "mpi", "horovod", "r", "julia", "mxnet", "caffe", "cntk")


def places(framework: str, *hosts: str, processes: int = 1, cpus: int = 1, options: Mapping[str, Any] | None = None, **roles: int) -> Any:
    """The row, the gang, and its places; two replicas on this machine where no hosts are given."""
    hosts = hosts or (LOOPBACK,) * (sum(roles.values()) or 2)
    gang = Gang(len(hosts), framework, processes, roles=roles, options=dict(options or {}))
    each = processes * PORTS_EACH
    ports = tuple(tuple(range(20000 + n * each, 20000 + (n + 1) * each)) for n in range(len(hosts)))
    return get_framework(framework), gang, places_of(gang, World(hosts, ports, key="secret"), "a", cpus=cpus, folder="/given")


def services(row: Any, gang: Gang, place: Place) -> dict[str, Service]:
    return {service.name: service for service in row.services(place, gang)}


def option(argv: tuple[str, ...], name: str) -> str:
    return argv[argv.index(name) + 1]


@given(st.sampled_from(OURS), st.integers(1, 4), st.integers(1, 3), st.booleans())
def test_every_row_says_text_that_a_process_can_be_given(framework: str, replicas: int, processes: int, apart: bool) -> None:
    hosts = [f"10.0.0.{n}" if apart else LOOPBACK for n in range(replicas)]
    row, gang, found = places(framework, *hosts, processes=processes)
    for place in found:
        beside = row.services(place, gang) if hasattr(row, "services") else ()
        texts = [*row.environment(place, gang).items(), *row.files(place, gang).items()]
        texts += [pair for service in beside for pair in service.environment.items()]
        words = [word for pair in texts for word in pair] + [word for service in beside for word in service.argv]
        assert all(isinstance(word, str) and "\0" not in word for word in (*words, *row.command(place, gang, ["prog"])))
        assert all("/" not in name for name in row.files(place, gang))


@pytest.mark.parametrize("framework", OURS)
def test_on_one_machine_nothing_is_told_another_address(framework: str) -> None:
    row, gang, found = places(framework)
    for place in found:
        beside = row.services(place, gang) if hasattr(row, "services") else ()
        words = [*row.environment(place, gang).values(), *(word for service in beside for word in service.argv)]
        assert not [word for word in words if "0.0.0.0" in word or "10.0." in word]


def test_the_hostfile_has_a_line_for_each_machine() -> None:
    row, gang, found = places("plain", "10.0.0.1", "10.0.0.2", processes=2)
    assert row.files(found[0], gang) == {"hostfile": "10.0.0.1 slots=2\n10.0.0.2 slots=2\n"}
    assert row.environment(found[3], gang)["FAIRWAY_HOSTFILE"] == "/given/hostfile"


def test_xgboost_has_one_tracker_and_tasks_that_sort_as_ranks_do() -> None:
    row, gang, found = places("xgboost", *(f"10.0.0.{n}" for n in range(12)))
    (tracker,) = services(row, gang, found[0]).values()
    assert tracker.argv[-4:] == ("10.0.0.0", "20000", "12", "20001")
    assert not any(row.services(place, gang) for place in found[1:])
    told = [row.environment(place, gang) for place in found]
    assert {(one["DMLC_TRACKER_URI"], one["DMLC_TRACKER_PORT"]) for one in told} == {("10.0.0.0", "20000")}
    tasks = [one["DMLC_TASK_ID"] for one in told]
    assert sorted(tasks) == tasks
    assert len(set(tasks)) == 12


def test_lightgbm_finds_machines_and_its_own_port(monkeypatch: pytest.MonkeyPatch) -> None:
    row, gang, found = places("lightgbm", "10.0.0.1", "10.0.0.2", options={"tree_learner": "voting"})
    monkeypatch.setenv("FAIRWAY_LIGHTGBM", row.environment(found[1], gang)["FAIRWAY_LIGHTGBM"])
    assert network() == {
        "machines": "10.0.0.1:20000,10.0.0.2:20002", "local_listen_port": 20002, "num_machines": 2, "tree_learner": "voting",
        "pre_partition": True,
    }  # fmt: skip
    files = row.files(found[1], gang)
    assert files["machines.txt"] == "10.0.0.1 20000\n10.0.0.2 20002\n"
    assert "local_listen_port=20002\n" in files["1-lightgbm.conf"]
    assert "pre_partition=true\n" in files["1-lightgbm.conf"]
    assert "machine_list_filename=/given/machines.txt\n" in files["1-lightgbm.conf"]
    row, gang, found = places("lightgbm", "fd00::1", "fd00::2")
    assert row.files(found[0], gang)["machines.txt"] == "fd00::1 20000\nfd00::2 20002\n", "an address of IPv6 stays whole"


def test_lightgbm_trains_alone_outside_a_gang_and_in_one_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FAIRWAY_LIGHTGBM", raising=False)
    assert network() == {}
    row, gang, (only,) = places("lightgbm", LOOPBACK)
    monkeypatch.setenv("FAIRWAY_LIGHTGBM", row.environment(only, gang)["FAIRWAY_LIGHTGBM"])
    assert network() == {}


def test_dask_has_a_scheduler_and_a_worker_of_every_rank_and_shows_no_page_unasked() -> None:
    row, gang, found = places("dask", "10.0.0.1", "10.0.0.2", cpus=3)
    first, second = services(row, gang, found[0]), services(row, gang, found[1])
    assert list(first) == ["Dask scheduler", "Dask worker"]
    assert list(second) == ["Dask worker"]
    assert first["Dask scheduler"].ready == second["Dask worker"].after == "10.0.0.1:20000"
    assert "--no-dashboard" in first["Dask scheduler"].argv
    assert option(second["Dask worker"].argv, "--nthreads") == "3"
    assert option(second["Dask worker"].argv, "--host") == "10.0.0.2"
    assert row.environment(found[1], gang)["DASK_SCHEDULER_ADDRESS"] == "tls://10.0.0.1:20000"
    assert option(first["Dask scheduler"].argv, "--dashboard-address") == "127.0.0.1:0", "what it serves anyhow is for this machine"
    row, gang, found = places("dask", options={"dashboard": "127.0.0.1:8787"})
    assert option(services(row, gang, found[0])["Dask scheduler"].argv, "--dashboard-address") == "127.0.0.1:8787"


def test_ray_has_one_node_on_a_machine_with_the_cores_of_its_ranks_and_sends_no_statistics() -> None:
    row, gang, found = places("ray", "10.0.0.1", "10.0.0.2", processes=2, cpus=3)
    beside = [services(row, gang, place) for place in found]
    assert [list(one) for one in beside] == [["Ray head"], [], ["Ray node"], []]
    head, node = beside[0]["Ray head"].argv, beside[2]["Ray node"].argv
    assert option(head, "--num-cpus") == option(node, "--num-cpus") == "6"
    assert option(head, "--include-dashboard") == "false"
    assert option(node, "--address") == beside[2]["Ray node"].after == "10.0.0.1:20000"
    assert "--disable-usage-stats" in head
    told = row.environment(found[3], gang)
    assert (told["RAY_ADDRESS"], told["RAY_USAGE_STATS_ENABLED"]) == ("10.0.0.1:20000", "0")
    assert told["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "1"
    row, gang, found = places("ray", options={"dashboard": "127.0.0.1:8265"})
    assert row.environment(found[0], gang)["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    assert option(services(row, gang, found[0])["Ray head"].argv, "--dashboard-port") == "8265"


def test_joblibs_workers_know_the_key_and_it_is_in_no_command_line() -> None:
    row, gang, found = places("sklearn")
    (worker,) = services(row, gang, found[1]).values()
    assert worker.environment["FAIRWAY_GANG_KEY"] == "secret"
    assert "secret" not in " ".join(worker.argv)


def test_mpirun_is_told_hosts_and_slots_and_keeps_to_the_loopback_on_one_machine() -> None:
    row, gang, found = places("mpi", processes=2)
    assert row.command(found[0], gang, ["prog", "x"]) == ("mpirun", "-np", "4", "--hostfile", "/given/hostfile", "prog", "x")
    assert not any(row.command(place, gang, ["prog"]) for place in found[1:])
    told = row.environment(found[0], gang)
    assert told["OMPI_MCA_oob_tcp_if_include"] == "lo"
    assert "OMPI_MCA_plm_rsh_agent" not in told
    assert not any(row.services(place, gang) for place in found)


@pytest.mark.parametrize(
    ("argv", "made"),
    [
        (["mpirun", "prog"], "mpirun -np 2 --hostfile /given/hostfile prog"),
        (["/opt/bin/mpiexec", "-n", "4", "prog", "-n", "1"], "/opt/bin/mpiexec --hostfile /given/hostfile -n 4 prog -n 1"),
        (["prog", "-n", "1"], "mpirun -np 2 --hostfile /given/hostfile prog -n 1"),
    ],
)
def test_an_mpirun_that_is_written_is_the_one_that_is_started(argv: list[str], made: str) -> None:
    row, gang, (first, other) = places("mpi")
    assert row.command(first, gang, argv) == tuple(made.split())
    assert row.command(other, gang, argv) == ()


def test_mpirun_reaches_other_machines_by_their_agents() -> None:
    row, gang, found = places("mpi", "10.0.0.1", "10.0.0.2", "10.0.0.3", processes=2, options={"mpirun": "mpirun -v"})
    assert row.command(found[0], gang, ["prog"])[:2] == ("mpirun", "-v")

    told = row.environment(found[0], gang)
    agents = dict(pair.split("=") for pair in told["FAIRWAY_MPI_AGENTS"].split(","))
    beside = [services(row, gang, place) for place in found]
    assert [list(one) for one in beside] == [[], [], ["MPI agent"], [], ["MPI agent"], []]
    for one in (beside[2], beside[4]):
        host, port = one["MPI agent"].argv[-2:]
        assert agents[host] == f"{host}:{port}"
        assert one["MPI agent"].environment["FAIRWAY_GANG_KEY"] == told["FAIRWAY_GANG_KEY"] == "secret"
    assert shlex.split(told["OMPI_MCA_plm_rsh_agent"])[-1] == "rsh"
    assert told["SHELL"] == "/bin/sh", "mpirun looks for the shell of a pod's user, who is in no list of users"
    assert "OMPI_MCA_oob_tcp_if_include" not in told


@pytest.mark.parametrize("variable", ["OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"])
def test_a_process_that_mpirun_has_started_knows_its_place(variable: str) -> None:
    row, _, found = places("mpi")
    assert row.place_from_environment({variable: "1"}, found) is found[1]


@pytest.mark.parametrize("environ", [{}, {"OMPI_COMM_WORLD_RANK": "2"}, {"PMI_RANK": ""}])
def test_a_process_that_mpirun_has_not_started_is_told_so(environ: dict[str, str]) -> None:
    row, _, found = places("mpi")
    with pytest.raises(ConfigError, match="mpirun"):
        row.place_from_environment(environ, found)


def test_horovod_is_told_to_take_mpi() -> None:
    row, gang, found = places("horovod")
    assert row.environment(found[0], gang)["HOROVOD_CONTROLLER"] == "mpi"
    assert row.style == "launcher"


def test_mxnets_roles_find_their_scheduler() -> None:
    row, gang, found = places("mxnet", server=2, scheduler=1, worker=3)
    told = [row.environment(place, gang) for place in found]
    assert [one["DMLC_ROLE"] for one in told] == ["server", "server", "scheduler", "worker", "worker", "worker"]
    assert {(one["DMLC_PS_ROOT_URI"], one["DMLC_PS_ROOT_PORT"]) for one in told} == {(LOOPBACK, "20004")}
    assert {(one["DMLC_NUM_SERVER"], one["DMLC_NUM_WORKER"]) for one in told} == {("2", "3")}
    assert [one.get("DMLC_WORKER_ID") for one in told] == [None, None, None, "0", "1", "2"]
    assert [row.serves(place, gang) for place in found] == [True] * 3 + [False] * 3
    assert not any(row.services(place, gang) for place in found)


def test_mxnet_without_roles_has_a_server_beside_every_worker() -> None:
    row, gang, found = places("mxnet", options={"server": "python server.py"})
    told = [row.environment(place, gang) for place in found]
    assert {(one["DMLC_ROLE"], one["DMLC_NUM_SERVER"], one["DMLC_NUM_WORKER"]) for one in told} == {("worker", "2", "2")}
    beside = [[service.environment["DMLC_ROLE"] for service in row.services(place, gang)] for place in found]
    assert beside == [["scheduler", "server"], ["server"]]
    assert services(row, gang, found[0])["MXNet server"].argv == ("python", "server.py")


@pytest.mark.parametrize("roles", [{"worker": 2}, {"scheduler": 2, "server": 1, "worker": 1}, {"scheduler": 1, "server": 1, "chief": 1}])
def test_mxnet_knows_only_its_own_roles(roles: dict[str, int]) -> None:
    with pytest.raises(DefinitionError, match="scheduler"):
        check_gang(Gang(sum(roles.values()), "mxnet", roles=roles))


def test_mxnets_first_rank_is_one_that_ends() -> None:
    with pytest.raises(DefinitionError, match="the first role must be worker"):
        check_gang(Gang(4, "mxnet", roles={"scheduler": 1, "server": 1, "worker": 2}))


def test_julia_starts_its_workers_here_and_by_a_machine_file_elsewhere() -> None:
    row, gang, found = places("julia")
    assert row.command(found[0], gang, ["/opt/julia", "fit.jl"]) == ("/opt/julia", "-p", "2", "fit.jl")
    assert row.command(found[0], gang, ["sh", "run.sh"]) == ["sh", "run.sh"]
    assert row.command(found[1], gang, ["julia", "fit.jl"]) == ()
    row, gang, found = places("julia", "10.0.0.1", "10.0.0.2", processes=2)
    assert row.command(found[0], gang, ["julia", "fit.jl"]) == ("julia", "--machine-file", "/given/machinefile", "fit.jl")
    assert row.files(found[0], gang)["machinefile"] == "2*10.0.0.1\n2*10.0.0.2\n"


def test_r_is_told_the_file_that_makes_its_cluster() -> None:
    row, gang, found = places("r", "10.0.0.1", "10.0.0.2")
    told = row.environment(found[1], gang)
    name = Path(told["FAIRWAY_R"]).name
    assert "gang_cluster <- local" in row.files(found[1], gang)[name]
    assert (told["FAIRWAY_R_HOST"], told["FAIRWAY_R_PORT"]) == ("10.0.0.1", "20000")
    assert [list(services(row, gang, place)) for place in found] == [["R relay", "R worker"], ["R worker"]]
    assert services(row, gang, found[0])["R relay"].argv[-2:] == ("10.0.0.1", "20000")


@pytest.mark.parametrize("framework", ["caffe", "cntk"])
def test_archived_frameworks_are_told_as_any_program_is(framework: str) -> None:
    row, gang, found = places(framework)
    plain = get_framework("plain")
    assert json.dumps(dict(row.environment(found[1], gang))) == json.dumps(dict(plain.environment(found[1], gang)))
    assert row.command(found[1], gang, ["caffe", "train"]) == ["caffe", "train"]
