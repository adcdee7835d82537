"""A program that `mpirun` starts over the pods of a gang: the other pods have the files, too, that its command line names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import fairway as fw
from tests.kube.emulator import Node
from tests.kube.semantics.projects import project
from tests.kube.semantics.rig import Campus, ClusterRig

SOURCE = """
LAUNCH = '''
    # What mpirun does, in short: one rank is here, the other is started on the other machine by the agent.
    shift 3
    "$@"
    for last; do :; done
    $OMPI_MCA_plm_rsh_agent "${FAIRWAY_HOSTS#*,}" 'cat inputs/mesh; ls -d outputs; basename "$PWD"' >> "$last"
'''

@fw.step(cpu=0.1)
def write() -> str:
    return "a mesh"

solve = fw.command(
    ["cp", fw.In("mesh"), fw.Out("seen")], name="solve", cpu=0.1,
    gang=fw.gang(replicas=2, framework="mpi", mpirun=["sh", "-c", LAUNCH], restarts=0),
)

@fw.pipeline
def main():
    return solve(write()).seen
"""


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[ClusterRig]:
    campus = Campus(tmp_path / "campus", nodes=(Node("n1"),))
    (tmp_path / "work").mkdir()
    with project(tmp_path / "work", campus) as made:
        yield made
    campus.close()


def test_the_other_pods_have_the_inputs_of_a_program_that_mpirun_starts(rig: ClusterRig) -> None:
    run = fw.run(rig.load(SOURCE), on="campus")
    seen = Path(run.outputs["seen"].load()).read_text()
    assert seen.replace("a mesh", "a mesh\n").splitlines() == ["a mesh", "a mesh", "outputs", "rank-1"]
    (attempt,) = run.tasks["solve"].attempts
    assert "left behind" not in run.workspace.streams.read(f"{run.id}/{attempt}/log").decode(), "what reaches other machines ends after it"
