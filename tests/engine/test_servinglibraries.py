"""What a pod of another image gets so that it can serve: copies of what is installed here, if they fit there."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from fairway.engine.release import Machine
from fairway.engine.servinglibraries import collect_serving, find_serving
from fairway.errors import UnsupportedError

HERE = Machine(f"{sys.version_info[0]}.{sys.version_info[1]}", platform.machine(), os.confstr("CS_GNU_LIBC_VERSION") or "")
MINE = """import sys; sys.path.append({!r})
import msgspec, httptools, jsonschema, grpclib.server, google.protobuf.message
print(google.protobuf.message.__file__)"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(collect_serving(HERE, str(tmp_path_factory.mktemp("made"))))


def test_a_bare_interpreter_can_serve_with_it(archive: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(archive).extractall(tmp_path / "libraries")
    command = [sys.executable, "-I", "-S", "-c", MINE.format(str(tmp_path / "libraries"))]
    bare = subprocess.run(command, capture_output=True, text=True, check=False)
    assert bare.returncode == 0, bare.stderr
    assert bare.stdout.startswith(str(tmp_path / "libraries"))


def test_its_modules_are_compiled_already(archive: Path, tmp_path: Path) -> None:
    """A pod that starts has no time for that: nothing is written when they are imported."""
    folder = tmp_path / "libraries"
    zipfile.ZipFile(archive).extractall(folder)
    before = sorted(folder.rglob("*.pyc"))
    subprocess.run([sys.executable, "-I", "-S", "-c", MINE.format(str(folder))], check=True, capture_output=True)
    assert before and sorted(folder.rglob("*.pyc")) == before


def test_it_is_small_and_made_once(archive: Path) -> None:
    assert archive.stat().st_size < 8 << 20
    made = archive.stat().st_mtime_ns
    assert collect_serving(HERE, str(archive.parent)) == str(archive)
    assert archive.stat().st_mtime_ns == made
    assert len(find_serving(HERE)) <= 15


@pytest.mark.parametrize("other", [Machine("3.9", HERE.machine, HERE.libc), Machine(HERE.python, "aarch64", HERE.libc)])
def test_what_does_not_fit_there_is_refused_with_a_way_out(other: Machine, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="does not fit") as caught:
        collect_serving(other, str(tmp_path))
    assert "fairway[serve]" in caught.value.hint
