"""Gangs in a cluster: the same artifacts as on a laptop, of Python steps, of commands, and of programs in images without Python."""

from __future__ import annotations

from tests.kube.semantics.rig import ClusterRig
from tests.kube.semantics.test_parity import digests
from tests.semantics.rig import error_of, outputs

PARITY = """
import random
from pathlib import Path

@fw.step(gang=fw.gang(replicas=2, processes=2), cpu=0.1)
def fit(n: int) -> fw.Directory:
    place = fw.context().place
    Path("model").mkdir()
    Path("model/weights").write_text(f"{[random.random() for _ in range(n)]} of {place.world_size}")
    return fw.Directory("model")

@fw.step
def read(model: fw.Directory) -> str:
    return (Path(model) / "weights").read_text()

@fw.pipeline
def main():
    model = fit(3)
    return {"model": model, "text": read(model)}
"""
PROGRAMS = """
count = fw.container(
    "busybox:1.37",
    ["sh", "-c", "echo I am $RANK of $WORLD_SIZE at $FAIRWAY_ENDPOINTS; grep rank- /etc/hosts | wc -l | tr -d ' ' > {out:lines}; %s"],
    name="count", gang=fw.gang(replicas=3), cpu=0.1,
)

@fw.step
def read(lines: fw.File) -> int:
    return int(lines.read_text())

@fw.pipeline
def main():
    return read(count())
"""


def test_a_gangs_artifacts_have_the_same_digests_as_on_a_laptop(rig: ClusterRig) -> None:
    pipeline = rig.load(PARITY)
    here, there = digests(pipeline, "local"), digests(pipeline, "campus")
    assert here == there
    assert here


def test_programs_in_images_without_python_find_each_other_by_name(rig: ClusterRig) -> None:
    run = rig.run(PROGRAMS.replace("%s", "true"))
    assert outputs(run) == {"result": 3}
    (attempt,) = run.tasks["count"].attempts
    for rank in range(3):
        said = run.workspace.streams.read(f"{run.id}/{attempt}/log.{rank}").decode()
        assert f"I am {rank} of 3 at rank-0:29500,rank-1:29500,rank-2:29500" in said


def test_a_program_that_fails_ends_the_others(rig: ClusterRig) -> None:
    run = rig.run(PROGRAMS.replace("%s", "if [ $RANK = 1 ]; then echo no; exit 4; fi; exec sleep 300"))
    assert run.status == "failed"
    assert error_of(run).kind == "exit:4"
    assert "replica 1 of 3 failed first" in error_of(run).message
