"""Environments with packages from a package index."""

import subprocess
import sys
from pathlib import Path

import pytest

from fairway import envs
from fairway.envs.uv import get_uv
from fairway.errors import ConfigError
from fairway.spec.environment import Environment

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def version_of_six(locked: Environment, home: Path) -> str:
    python = envs.ensure(locked, home)
    return subprocess.run([python, "-c", "import six; print(six.__version__)"], capture_output=True, text=True, check=True).stdout.strip()


def test_each_environment_has_its_own_version(tmp_path: Path) -> None:
    home = tmp_path / "home"
    old = envs.lock(Environment(packages=("six==1.16.0",)), tmp_path, home)
    new = envs.lock(Environment(packages=("six>=1.17",)), tmp_path, home)
    assert old.lock != new.lock
    assert "six==1.16.0" in envs.get_lock_text(old.lock, home)
    assert "--hash=sha256:" in envs.get_lock_text(old.lock, home)
    assert version_of_six(old, home) == "1.16.0"
    assert version_of_six(new, home) != "1.16.0"


def test_the_same_request_gives_the_same_lock_in_another_home(tmp_path: Path) -> None:
    asked = Environment(packages=("python-dateutil==2.9.0", "six==1.16.0"))
    turned = Environment(packages=tuple(reversed(asked.packages)))
    assert envs.lock(asked, tmp_path, tmp_path / "a").lock == envs.lock(turned, tmp_path, tmp_path / "b").lock


def test_what_cannot_be_met_is_refused_with_the_resolvers_reason(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot lock the packages six==99(?s:.)*no version of six==99"):
        envs.lock(Environment(packages=("six==99",)), tmp_path, tmp_path / "home")
    assert not list((tmp_path / "home" / "envs").glob("locks/*"))


def test_a_tampered_lock_is_not_installed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    locked = envs.lock(Environment(packages=("six==1.16.0",)), tmp_path, home)
    path = home / "envs" / "locks" / locked.lock
    text = path.read_text()
    path.write_text("".join(line.replace("--hash=sha256:", "--hash=sha256:" + "0" * 8)[:1000] for line in text.splitlines(keepends=True)))
    with pytest.raises(ConfigError):
        envs.ensure(locked, home)
    assert not (home / "envs" / locked.lock).exists()


@pytest.mark.parametrize("named", ["uv.lock", "pyproject.toml"])
def test_a_uv_project_is_taken_as_it_is_locked(tmp_path: Path, named: str) -> None:
    project = tmp_path / "project"
    project.mkdir()
    pyproject = f'[project]\nname = "mine"\nversion = "1"\nrequires-python = ">={HERE}"\ndependencies = ["six<1.17"]\n'
    (project / "pyproject.toml").write_text(pyproject)
    subprocess.run([get_uv(), "lock", "--quiet"], cwd=project, check=True)
    home = project / ".fairway"
    locked = envs.lock(Environment(project=named), project, home)
    assert version_of_six(locked, home) == "1.16.0"
    assert "mine" not in envs.get_lock_text(locked.lock, home)
    (project / "pyproject.toml").write_text(pyproject.replace("<1.17", ">=1.17"))
    with pytest.raises(ConfigError, match=r"uv\.lock is older"):
        envs.lock(Environment(project=named), project, home)


def test_a_requirements_file_and_a_bare_pyproject(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (tmp_path / "requirements.txt").write_text("-c pins.txt\nsix\n")
    (tmp_path / "pins.txt").write_text("six==1.16.0\n")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "mine"\nversion = "1"\ndependencies = ["six==1.16.0"]\n')
    from_file = envs.lock(Environment(project="requirements.txt"), tmp_path, home)
    from_project = envs.lock(Environment(project="pyproject.toml"), tmp_path, home)
    assert from_file.lock == from_project.lock
    assert version_of_six(from_file, home) == "1.16.0"
