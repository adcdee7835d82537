"""Container steps in a cluster: images without Python or Fairway, with and without a shell, between an init container and a sidecar."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.kube.emulator import Image
from tests.kube.semantics.rig import Campus, ClusterRig
from tests.semantics.rig import error_of, outputs
from tests.semantics.test_containers import SOURCE as TEXT
from tests.semantics.test_containers import test_what_is_no_image_is_refused  # noqa: F401

SOURCE = TEXT.replace("busybox:1.36", "busybox:1.37")
SHELLLESS = """
lines = fw.container("sorter:1", ["sort", fw.In("words"), "-o", fw.Out("sorted")], name="lines")

@fw.step
def text() -> str:
    return "b\\na\\n"

@fw.step
def read(sorted: fw.File) -> str:
    return sorted.read_text()

@fw.pipeline
def main():
    return read(lines(text()))
"""


@pytest.fixture(autouse=True)
def sorter(campus: Campus) -> None:
    """An image with one program and nothing else."""
    found = shutil.which("sort")
    assert found is not None
    campus.cluster.images.add(Image("sorter:1", shell=False, user=65532, programs={"sort": str(Path(found).resolve())}))


def test_a_program_in_an_image_without_python_reads_and_writes_files(rig: ClusterRig) -> None:
    run = rig.run(SOURCE)
    assert outputs(run) == {"result": "QUIET"}


def test_nor_does_it_need_a_shell(rig: ClusterRig) -> None:
    assert rig.result(SHELLLESS) == "a\nb\n"


def test_the_image_is_a_part_of_the_cache_key(rig: ClusterRig) -> None:
    source = SOURCE.replace("tr a-z A-Z", "tr a-z B-ZA")
    assert rig.run(source).tasks["shout"].status == "succeeded"
    assert rig.run(source).tasks["shout"].status == "cached"
    assert rig.run(source.replace("busybox:1.37", "debian:12-slim")).tasks["shout"].status == "succeeded"


def test_its_exit_code_and_its_last_lines_are_told(rig: ClusterRig) -> None:
    run = rig.run(SOURCE.replace("tr a-z A-Z < {in:text} > {out:loud}", "echo this went wrong >&2; exit 3 # {in:text} {out:loud}"))
    assert run.status == "failed"
    assert "exit code 3" in error_of(run).message
    assert "this went wrong" in run.logs("shout")


def test_an_output_that_it_does_not_write_is_missed(rig: ClusterRig) -> None:
    run = rig.run(SOURCE.replace("tr a-z A-Z < {in:text} > {out:loud}", "true {in:text} {out:loud}"))
    assert run.status == "failed"
    assert "loud" in error_of(run).message
