"""MPI in gangs: mpirun starts the ranks, here and through our agent elsewhere; Python steps by mpi4py, and any program."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Generator
from importlib import import_module
from pathlib import Path

from fairway.spec.gang import Gang, World, places_of
from fairway.train.frameworks import get_framework
from tests.frameworks.gang_bench import train

assert shutil.which("mpirun"), "apt-get install openmpi-bin"
import_module("mpi4py")

STEP = """
    import fairway as fw

    @fw.step(gang=fw.gang(replicas=2, framework="{framework}"))
    def fit() -> dict:
        from mpi4py import MPI
        import numpy as np

        world = MPI.COMM_WORLD
        rows = np.arange(12.0).reshape(4, 3)[world.rank :: world.size]
        total = np.zeros(3)
        world.Allreduce(rows.sum(axis=0), total)
        print("rank", world.rank, "was here")
        return {"size": world.size, "ranks": world.gather(fw.context().rank), "total": total.tolist()}

    @fw.pipeline
    def gang():
        return fit()
"""
COMMAND = """
    import fairway as fw

    fit = fw.command(["sh", "rank.sh", fw.Out("seen")], name="fit", gang=fw.gang(replicas=2, processes=2, framework="mpi"))

    @fw.pipeline
    def gang():
        return fit().seen
"""
RANK = """
    echo "$OMPI_COMM_WORLD_RANK of $OMPI_COMM_WORLD_SIZE" >> "$1"
"""


def test_a_step_of_python_is_every_rank(tmp_path: Path) -> None:
    found = train(tmp_path, STEP.replace("{framework}", "mpi"))
    assert found == {"size": 2, "ranks": [0, 1], "total": [18.0, 22.0, 26.0]}


def test_horovods_ranks_are_started_alike(tmp_path: Path) -> None:
    assert train(tmp_path, STEP.replace("{framework}", "horovod"))["ranks"] == [0, 1]


def test_any_program_is_started_by_mpirun(tmp_path: Path) -> None:
    lines = Path(train(tmp_path, COMMAND, **{"rank.sh": RANK})).read_text().splitlines()
    assert sorted(lines) == [f"{rank} of 4" for rank in range(4)]


REDUCE = """
import os
from mpi4py import MPI

world = MPI.COMM_WORLD
os.write(1, f"{world.allreduce(world.rank + 1)} {world.rank} {os.environ.get('WHERE', 'here')}\\n".encode())
"""


def test_ranks_on_another_machine_are_started_by_its_agent(tmp_path: Path) -> None:
    """A name that is no machine's stands for the other one: what mpirun wants there reaches it through the agent, or not at all."""
    port = _free_port()
    run = _mpirun(tmp_path, port, key="k" * 16, program=[sys.executable, "-c", REDUCE])
    with _agent(port, "k" * 16):
        told = run()
    assert told.returncode == 0, told.stderr
    assert sorted(told.stdout.split("\n")[:-1]) == ["3 0 here", "3 1 there"]


def test_an_agent_refuses_who_does_not_know_the_key(tmp_path: Path) -> None:
    port = _free_port()
    run = _mpirun(tmp_path, port, key="w" * 16, program=["true"])
    with _agent(port, "k" * 16) as agent:
        told = run()
        assert agent.stderr is not None
        assert "does not know the gang's key" in agent.stderr.readline()
    assert told.returncode != 0


def _mpirun(folder: Path, port: int, *, key: str, program: list[str]) -> Callable[[], subprocess.CompletedProcess[str]]:
    gang, row = Gang(2, "mpi"), get_framework("mpi")
    place = places_of(gang, World(("127.0.0.1", "elsewhere"), ((1, 2), (3, port)), key=key), folder=str(folder))[0]
    variables = {**os.environ, **row.environment(place, gang), "FAIRWAY_MPI_AGENTS": f"elsewhere=127.0.0.1:{port}"}
    for name, text in row.files(place, gang).items():  # type: ignore[attr-defined]
        (folder / name).write_text(text)
    words = row.command(place, gang, program)
    return lambda: subprocess.run(words, env=variables, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


@contextlib.contextmanager
def _agent(port: int, key: str) -> Generator[subprocess.Popen[str]]:
    words = [sys.executable, "-m", "fairway.train.beside.mpi", "serve", "127.0.0.1", str(port)]
    variables = {**os.environ, "FAIRWAY_GANG_KEY": key, "WHERE": "there"}
    with subprocess.Popen(words, env=variables, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]
