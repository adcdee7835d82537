"""Steps in environments of their own exchange artifacts with each other and with steps in the user's interpreter."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PIPELINE = """
import fairway as fw


@fw.step(env=fw.env(packages=["six==1.16.0"], variables={"COLOUR": "red"}))
def old() -> dict:
    import os
    import six
    return {"six": six.__version__, "colour": os.environ["COLOUR"]}


@fw.step(env=fw.env(packages=["six==1.17.0"]))
def new(before: dict) -> dict:
    import six
    return {**before, "new": six.__version__}


@fw.step
def here(both: dict, lines: fw.File) -> dict:
    import sys
    return {**both, "here": sys.prefix, "lines": open(lines).read()}


@fw.step(env=fw.env(packages=["six==1.16.0"]))
def write() -> fw.File:
    from pathlib import Path
    Path("lines.txt").write_text("from afar")
    return fw.File("lines.txt")


@fw.pipeline
def two_worlds():
    return here(new(old()), write())
"""


def fairway(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [Path(sys.executable).with_name("fairway"), *arguments]
    variables = {**os.environ, "FAIRWAY_HOME": str(folder / "home")}
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "two.py").write_text(PIPELINE)
    return tmp_path


def test_artifacts_cross_between_environments(project: Path) -> None:
    done = fairway(project, "run", "two.py")
    assert done.returncode == 0, done.stdout + done.stderr
    shown = fairway(project, "artifacts", "cat", "latest", "here")
    value = json.loads(shown.stdout)
    assert value == {"six": "1.16.0", "colour": "red", "new": "1.17.0", "here": sys.prefix, "lines": "from afar"}


def test_an_edited_requirement_runs_only_what_it_touches_again(project: Path) -> None:
    assert fairway(project, "run", "two.py").returncode == 0
    (project / "two.py").write_text(PIPELINE.replace("six==1.17.0", "six==1.15.0"))
    assert fairway(project, "run", "two.py").returncode == 0
    (run,) = json.loads(fairway(project, "runs", "-o", "json", "--limit", "1").stdout)
    assert run["counts"] == {"cached": 2, "succeeded": 2}, "old and write are cached; new and here are not"


def test_what_cannot_be_locked_is_refused_before_anything_runs(project: Path) -> None:
    (project / "two.py").write_text(PIPELINE.replace("six==1.17.0", "six==99"))
    done = fairway(project, "run", "two.py")
    assert done.returncode == 2
    assert "no version of six==99" in done.stderr
    assert json.loads(fairway(project, "runs", "-o", "json").stdout) == []


DYNAMIC = """
import fairway as fw

@fw.step(env=fw.env(packages=["six==1.17.0"]))
def own() -> str:
    import six
    return six.__version__

@fw.step
def inherited() -> str:
    import six
    return six.__version__

@fw.dynamic
def inner() -> list[str]:
    return [own(), inherited()]

@fw.dynamic
def outer() -> list[str]:
    return inner()

@fw.pipeline(env=fw.env(packages=["six==1.16.0"]))
def nested():
    return outer()
"""


def test_steps_that_dynamic_steps_call_get_their_environment_or_the_one_around(project: Path) -> None:
    (project / "dynamic.py").write_text(DYNAMIC)
    done = fairway(project, "run", "dynamic.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(fairway(project, "artifacts", "cat", "last", "result").stdout) == ["1.17.0", "1.16.0"]
