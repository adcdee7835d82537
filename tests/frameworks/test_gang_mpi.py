"""MPI in gangs: mpirun starts the ranks, here and through our agent elsewhere; Python steps by mpi4py, and any program."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner

from fairway.cli.app import app
from fairway.spec.gang import Gang, World, places_of
from fairway.step.freeports import free_ports
from fairway.train.frameworks import get_framework
from tests.frameworks.gang_bench import train

assert shutil.which("mpirun"), "apt-get install openmpi-bin"
import_module("mpi4py")

STEP = """
    import fairway as fw

    @fw.step(gang=fw.gang(replicas=2, processes=2, framework="{framework}"))
    def fit() -> dict:
        from mpi4py import MPI
        import numpy as np

        world = MPI.COMM_WORLD
        rows = np.arange(12.0).reshape(4, 3)[world.rank :: world.size]
        total = np.zeros(3)
        world.Allreduce(rows.sum(axis=0), total)
        print("rank", world.rank, "was here")
        import listening
        return {"wide": listening.wide(),
                "size": world.size, "ranks": world.gather(fw.context().rank), "total": total.tolist()}

    @fw.pipeline
    def gang():
        return fit()
"""
COMMAND = """
    import fairway as fw

    fit = fw.command(["python", "rank.py", fw.Out("seen")], name="fit", gang=fw.gang(replicas=2, processes=2, framework="mpi"))

    @fw.pipeline
    def gang():
        return fit().seen
"""
RANK = """
    # A program of Open MPI's own library, without mpi4py.
    import ctypes, ctypes.util, os, sys

    mpi = ctypes.CDLL(ctypes.util.find_library("mpi"), mode=ctypes.RTLD_GLOBAL)

    def known(name):
        return ctypes.byref(ctypes.c_char.in_dll(mpi, name))

    mpi.MPI_Init(None, None)
    rank, total = int(os.environ["OMPI_COMM_WORLD_RANK"]), ctypes.c_int()
    mpi.MPI_Allreduce(ctypes.byref(ctypes.c_int(10**rank)), ctypes.byref(total), 1, known("ompi_mpi_int"), known("ompi_mpi_op_sum"),
                      known("ompi_mpi_comm_world"))
    with open(sys.argv[1], "a") as file:
        file.write(f"{rank} {total.value}\\n")
    mpi.MPI_Finalize()
"""


@pytest.mark.parametrize("framework", ["mpi", "horovod"])
def test_a_step_of_python_is_every_rank_of_every_replica(tmp_path: Path, framework: str) -> None:
    found = train(tmp_path, STEP.replace("{framework}", framework))
    assert found == {"size": 4, "ranks": [0, 1, 2, 3], "total": [18.0, 22.0, 26.0], "wide": found["wide"]}
    assert {one.split()[0] for one in found["wide"]} == {"mpirun"}, "as the guide says"


def test_any_program_is_started_by_mpirun(tmp_path: Path) -> None:
    lines = Path(train(tmp_path, COMMAND, rank_py=RANK)).read_text().splitlines()
    assert sorted(lines) == [f"{rank} 1111" for rank in range(4)]


SAYING = """
    import fairway as fw

    fit = fw.command(["sh", "rank.sh", fw.Out("seen")], name="fit", gang=fw.gang(1, "mpi", processes=3))

    @fw.pipeline
    def gang():
        return fit().seen
"""
SAY = """
    echo "this is $OMPI_COMM_WORLD_RANK"
    printf "in two " ; sh -c 'printf "pieces\n"'
    head -c 20000 /dev/zero | tr '\\0' x
    echo
    echo "$OMPI_COMM_WORLD_RANK" >> "$1"
"""


def test_what_a_program_s_ranks_print_is_in_the_log_of_each(tmp_path: Path) -> None:
    train(tmp_path, SAYING, **{"rank.sh": SAY})
    for rank in range(3):
        words = ["-C", str(tmp_path), "logs", "last", "fit", "--rank", str(rank)]
        lines = [line.removeprefix(f"rank {rank}  ") for line in CliRunner().invoke(app, words).output.splitlines()]
        assert lines == [f"this is {rank}", "in two pieces", "x" * 20000]


REDUCE = """
import os
from mpi4py import MPI

world = MPI.COMM_WORLD
os.write(1, f"{world.allreduce(world.rank + 1)} {world.rank} {os.environ.get('WHERE', 'here')}\\n".encode())
"""


def test_ranks_on_another_machine_are_started_by_its_agent(tmp_path: Path) -> None:
    """A name that is no machine's stands for the other one: what mpirun wants there reaches it through the agent, or not at all."""
    (port,) = free_ports(1)
    run = _mpirun(tmp_path, port, key="k" * 16, program=[sys.executable, "-c", REDUCE])
    with _agent(port, "k" * 16):
        told = run()
    assert told.returncode == 0, told.stderr
    assert sorted(told.stdout.split("\n")[:-1]) == ["[1,0]<stdout>:3 0 here", "[1,1]<stdout>:3 1 there"], "tagged for who sorts them"


def test_an_agent_refuses_who_does_not_know_the_key(tmp_path: Path) -> None:
    (port,) = free_ports(1)
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
    return lambda: subprocess.run(words, env=variables, cwd=folder, capture_output=True, text=True, check=False, timeout=180)


@contextlib.contextmanager
def _agent(port: int, key: str) -> Generator[subprocess.Popen[str]]:
    words = [sys.executable, "-m", "fairway.train.beside.mpi", "serve", "127.0.0.1", str(port)]
    variables = {**os.environ, "FAIRWAY_GANG_KEY": key, "WHERE": "there"}
    with subprocess.Popen(words, env=variables, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()
