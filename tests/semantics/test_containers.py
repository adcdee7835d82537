"""Container steps: declared here, refused where no engine is, run by the engine that there is."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from fairway.errors import DefinitionError
from tests.semantics.rig import Rig, outputs

SOURCE = """
shout = fw.container("busybox:1.36", ["sh", "-c", "tr a-z A-Z < {in:text} > {out:loud}"], name="shout")

@fw.step
def write() -> fw.File:
    with open("text.txt", "w") as file:
        file.write("quiet")
    return fw.File("text.txt")

@fw.step
def read(loud: fw.File) -> str:
    return loud.read_text()

@fw.pipeline
def main():
    return read(shout(text=write()).loud)
"""
ENGINE = """#!/bin/sh
# What `docker run` does here: it notes its words, and runs the command on this machine.
printf '%s\\n' "$@" > "{notes}"
[ "$1" = run ] || exit 64
while [ "$1" != busybox:1.36 ]; do
    case "$1" in --workdir=*) cd "${{1#--workdir=}}" ;; esac
    shift
done
shift
exec "$@"
"""


def without_engines(monkeypatch: pytest.MonkeyPatch, first: Path) -> None:
    """A PATH with `first` and the programs that every system has, and neither docker nor podman."""
    first.mkdir()
    for name in ("sh", "tr", "sort"):
        found = next(Path(folder, name) for folder in ("/usr/bin", "/bin") if Path(folder, name).exists())
        (first / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(first))


def test_without_an_engine_it_is_refused_before_anything_runs_with_a_clear_reason(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    without_engines(monkeypatch, rig.root / "bin")
    with pytest.raises(DefinitionError, match="the step `shout` needs a container engine, which this target lacks") as caught:
        rig.run(SOURCE)
    assert "install a container engine" in caught.value.hint
    assert caught.value.where.endswith(":3")
    assert rig.count_runs() == 0


@pytest.mark.parametrize("name", ["docker", "podman"])
def test_an_engine_on_the_path_is_used(rig: Rig, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    without_engines(monkeypatch, rig.root / "bin")
    engine = rig.root / "bin" / name
    engine.write_text(ENGINE.format(notes=rig.root / "notes"))
    engine.chmod(engine.stat().st_mode | stat.S_IXUSR)
    run = rig.run(SOURCE)
    assert outputs(run) == {"result": "QUIET"}
    words = (rig.root / "notes").read_text().splitlines()
    assert words[:3] == ["run", "--rm", "--init"]
    assert "busybox:1.36" in words
    inputs = [word for word in words if word.startswith("--volume=") and word.endswith(":ro")]
    store = rig.workspace.artifacts.root
    assert f"--volume={store}:{store}:ro" in inputs, "its input is a link into the store, which cannot be changed"
    assert "--env=FAIRWAY_SEED" in words


def test_the_image_is_a_part_of_the_cache_key(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    without_engines(monkeypatch, rig.root / "bin")
    engine = rig.root / "bin" / "docker"
    engine.write_text(
        ENGINE.format(notes=rig.root / "notes")
        .replace("busybox:1.36", "busybox:*")
        .replace('[ "$1" != busybox:* ]', "case $1 in busybox:*) false;; esac")
    )
    engine.chmod(0o755)
    assert rig.run(SOURCE).tasks["shout"].status == "succeeded"
    assert rig.run(SOURCE.replace("busybox:1.36", "busybox:1.37")).tasks["shout"].status == "succeeded"


@pytest.mark.parametrize("image", ["", "two words", 3])
def test_what_is_no_image_is_refused(rig: Rig, image: object) -> None:
    with pytest.raises(DefinitionError, match="not a container image"):
        rig.load(f'fw.container({image!r}, ["ls"])\n')
