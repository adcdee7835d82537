"""Locked packages in an image that does not bring them along. They come from a folder: no package index is asked."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from fairway.errors import ConfigError, InfraError, UnsupportedError
from fairway.spec.environment import Environment
from fairway.step.install import Environments
from tests.step.pods import Yard

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one package that there is."""
    path = tmp_path / "links" / "harbour-1.0-py3-none-any.whl"
    path.parent.mkdir()
    files = {
        "harbour.py": b"DEPTH = 12\n",
        "harbour-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: harbour\nVersion: 1.0\n",
        "harbour-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "harbour-1.0.dist-info/entry_points.txt": b"[console_scripts]\nharbour = harbour:main\n",
    }
    lines = [f"{name},sha256={_hash(data)},{len(data)}" for name, data in files.items()]
    files["harbour-1.0.dist-info/RECORD"] = "\n".join([*lines, "harbour-1.0.dist-info/RECORD,,", ""]).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    for name, value in {
        "UV_OFFLINE": "1",
        "PIP_NO_INDEX": "1",
        "UV_FIND_LINKS": str(path.parent),
        "PIP_FIND_LINKS": str(path.parent),
    }.items():
        monkeypatch.setenv(name, value)
    return path


def _hash(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def lock_of(wheel: Path) -> tuple[Environment, str]:
    text = f"# Python {HERE}\nharbour==1.0 \\\n    --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"
    return Environment(packages=("harbour",), python=HERE, lock=hashlib.sha256(text.encode()).hexdigest()), text


def without_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    for tool in ("sh", "env"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool) or "")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_packages_are_installed_by_what_is_there(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str) -> None:
    if tool == "pip":
        without_uv(tmp_path, monkeypatch)
    environment, text = lock_of(wheel)
    said: list[str] = []
    environments = Environments(str(tmp_path / "home"))
    python = environments.ensure(environment, text, said.append)
    done = subprocess.run([python, "-c", "import harbour; print(harbour.DEPTH)"], capture_output=True, text=True, check=True)
    assert done.stdout == "12\n"
    assert said[0] == f"installing 1 locked package with {tool}: this image does not bring them along"
    assert said[1].startswith("installed them in ")
    script = (Path(python).parent / "harbour").read_text()
    assert "building" not in script
    assert environments.ensure(environment, text, said.append) == python
    assert len(said) == 2, "once for all attempts"


def test_of_many_attempts_one_installs(wheel: Path, tmp_path: Path) -> None:
    environment, text = lock_of(wheel)
    said: list[str] = []
    environments = Environments(str(tmp_path / "home"))
    threads = [threading.Thread(target=environments.ensure, args=(environment, text, said.append)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(said) == 2


def test_what_a_killed_installation_has_left_is_begun_again(wheel: Path, tmp_path: Path) -> None:
    environment, text = lock_of(wheel)
    half = tmp_path / "home" / "envs" / environment.lock / "bin"
    half.mkdir(parents=True)
    (half / "python").symlink_to(sys.executable)
    python = Environments(str(tmp_path / "home")).ensure(environment, text, lambda _: None)
    subprocess.run([python, "-c", "import harbour"], check=True)


def test_a_package_that_is_not_the_locked_one_is_refused(wheel: Path, tmp_path: Path) -> None:
    environment, text = lock_of(wheel)
    changed = text.replace("sha256:", "sha256:0000", 1)[:-5] + "\n"
    with pytest.raises(ConfigError, match="cannot install the locked packages") as caught:
        Environments(str(tmp_path / "home")).ensure(environment, changed, lambda _: None)
    assert "harbour" in caught.value.message and "fairway image build" in caught.value.hint


def test_an_index_that_cannot_be_reached_may_be_there_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:1/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    environment = Environment(packages=("harbour",), python=HERE, lock="ab" * 32)
    with pytest.raises(InfraError, match="the package index cannot be reached") as caught:
        Environments(str(tmp_path / "home")).ensure(environment, "harbour==1.0 --hash=sha256:" + "0" * 64 + "\n", lambda _: None)
    assert "PIP_INDEX_URL" in caught.value.hint


def test_another_python_than_the_images_is_named(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_uv(tmp_path, monkeypatch)
    _, text = lock_of(wheel)
    with pytest.raises(UnsupportedError, match=r"the step needs Python 3.99, and this image has") as caught:
        Environments(str(tmp_path / "home")).ensure(Environment(python="3.99", lock="ab" * 32), text, lambda _: None)
    assert "fw.env(image=" in caught.value.hint


def test_an_attempt_runs_in_its_environment_and_its_log_says_that_it_was_made(yard: Yard, wheel: Path) -> None:
    yard.write("import sys\n\ndef depth(x):\n    import harbour\n    return [harbour.DEPTH, sys.prefix]\n")
    environment, text = lock_of(wheel)
    yard.server.locks[environment.lock] = text
    links = {"UV_OFFLINE": "1", "UV_FIND_LINKS": str(wheel.parent)}
    spec = yard.spec("depth", environment=environment)
    item = yard.run(spec, **links).items[0]
    assert item.status == "succeeded", item.error
    assert item.outputs["result"].inline is not None and item.outputs["result"].inline.startswith("[12,")
    assert environment.lock in item.outputs["result"].inline
    assert yard.server.log(spec).startswith("fairway: installing 1 locked package with uv")


def test_an_environment_that_cannot_be_made_is_the_outcome(yard: Yard, wheel: Path) -> None:
    yard.write("def depth(x):\n    return 1\n")
    environment, text = lock_of(wheel)
    yard.server.locks[environment.lock] = text.replace("harbour==1.0", "harbour==2.0")
    error = yard.run(yard.spec("depth", environment=environment), UV_OFFLINE="1", UV_FIND_LINKS=str(wheel.parent)).error
    assert error is not None and "cannot install the locked packages" in error.message and not error.retryable
