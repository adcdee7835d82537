"""What is refused before anything runs, and locks that need no package index."""

import sys
from pathlib import Path

import pytest

from fairway import envs
from fairway.envs import pythons, uv
from fairway.envs.uv import explain_failure
from fairway.errors import ConfigError, InfraError, NotFoundError, UnsupportedError
from fairway.spec.environment import Environment

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def without_uv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))


def test_variables_alone_need_no_lock(tmp_path: Path, without_uv: None) -> None:
    asked = Environment(variables={"A": "1"})
    assert envs.lock(asked, tmp_path, tmp_path / "home") == asked
    assert not (tmp_path / "home").exists()


def test_without_uv_the_error_says_how_to_get_it(tmp_path: Path, without_uv: None) -> None:
    with pytest.raises(UnsupportedError, match="uv, which is not on this machine") as caught:
        envs.lock(Environment(packages=("six",)), tmp_path, tmp_path / "home")
    assert caught.value.hint == 'pip install "fairway[env]"'


@pytest.mark.parametrize("text", ["./mine", "-r other.txt", "--index-url=x", "/abs", "six\nattrs"])
def test_what_is_no_requirement_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="not a requirement"):
        envs.lock(Environment(packages=(text,)), tmp_path, tmp_path / "home")


@pytest.mark.parametrize(("version", "said"), [("2.7", "too old"), ("3.10", "too old"), ("three", "not a Python version"), ("3", "not a")])
def test_a_python_that_cannot_be_is_refused(tmp_path: Path, version: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        envs.lock(Environment(python=version), tmp_path, tmp_path / "home")


def test_a_python_that_is_not_there_is_refused_and_the_others_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
    with pytest.raises(UnsupportedError) as caught:
        envs.lock(Environment(python="3.99"), tmp_path, tmp_path / "home")
    assert "Python 3.99 is not on this machine" in caught.value.message
    assert ".".join(map(str, sys.version_info[:3])) in caught.value.message


@pytest.mark.parametrize(
    ("name", "content", "error", "said"),
    [
        ("uv.lock", None, NotFoundError, "uv.lock is not in"),
        ("environment.yml", "", ConfigError, "cannot be made from environment.yml"),
        ("uv.lock", "", NotFoundError, "no pyproject.toml beside it"),
    ],
)
def test_a_project_file_that_cannot_be_used(tmp_path: Path, name: str, content: str | None, error: type[Exception], said: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(error, match=said):
        envs.lock(Environment(project=name), tmp_path, tmp_path / "home")


def test_a_folder_of_this_machine_cannot_be_locked(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "pyproject.toml").write_text('[project]\nname = "mine"\nversion = "1"\n')
    (tmp_path / "requirements.txt").write_text("./mine\n")
    with pytest.raises(ConfigError, match="is a folder of this machine"):
        envs.lock(Environment(project="requirements.txt"), tmp_path, tmp_path / "home")


def test_a_bare_python_is_locked_and_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Environment(python=HERE, variables={"A": "1"})
    locked = envs.lock(asked, tmp_path, tmp_path / "home")
    assert locked.python == HERE
    assert locked.variables == {"A": "1"}
    assert envs.get_lock_text(locked.lock, tmp_path / "home").startswith(f"# Python {HERE}\n")
    monkeypatch.setattr(uv, "get_uv", lambda: pytest.fail("a lock that is known needs no uv"))
    assert envs.lock(asked, tmp_path, tmp_path / "home") == locked


def test_a_requirements_file_counts_with_what_it_includes(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("-r more.txt\n")
    (tmp_path / "more.txt").write_text("# nothing\n")
    asked = Environment(project="requirements.txt")
    requests = tmp_path / "home" / "envs" / "requests"
    first = envs.lock(asked, tmp_path, tmp_path / "home")
    known = set(requests.iterdir())
    (tmp_path / "more.txt").write_text("# still nothing\n")
    assert envs.lock(asked, tmp_path, tmp_path / "home") == first
    assert set(requests.iterdir()) > known, "an edit of an included file is a new request"


def test_an_unknown_lock_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no environment with the lock 0123"):
        envs.ensure(Environment(lock="0123", python=HERE), tmp_path)
    with pytest.raises(ConfigError, match="not locked"):
        envs.ensure(Environment(python=HERE), tmp_path)


def test_what_uv_says_becomes_an_error_of_ours() -> None:
    assert isinstance(explain_failure("cannot lock", "error: Failed to fetch: `x`\n  cause: dns error"), InfraError)
    stale = explain_failure("cannot lock", "The lockfile at `uv.lock` needs to be updated")
    assert isinstance(stale, ConfigError)
    assert stale.hint == "run `uv lock`"
    other = explain_failure("cannot lock six", "warning: noise\nerror: No solution found")
    assert other.message == "cannot lock six:\nerror: No solution found"


def test_versions_are_compared_as_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in ("3.11.9", "3.11.10", "3.12.1"):
        (tmp_path / "versions" / version / "bin").mkdir(parents=True)
        (tmp_path / "versions" / version / "bin" / "python").touch()
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert pythons._find_in_pyenv("3.11") == str(tmp_path / "versions" / "3.11.10" / "bin" / "python")
    assert pythons._find_in_pyenv("3.1") is None
