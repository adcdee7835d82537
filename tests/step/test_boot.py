"""How a bare Python image becomes a worker: one short text, and what it says when it cannot."""

from __future__ import annotations

import hashlib
import io
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from fairway.envs.runtime import build_runtime_zip
from fairway.step.boot import BOOT
from tests.step.pods import Server, Yard, end_of


def test_the_text_is_short_and_plain() -> None:
    assert len(BOOT.encode()) <= 2048
    compile(BOOT, "boot", "exec")


def test_the_runtime_zip_is_the_same_every_time_and_imports_from_nothing_else(tmp_path: Path) -> None:
    data, digest = build_runtime_zip()
    assert (data, digest) == build_runtime_zip()
    assert hashlib.sha256(data).hexdigest() == digest
    zipfile.ZipFile(io.BytesIO(data)).extractall(tmp_path)
    assert (tmp_path / "fairway" / "data" / "table.py").exists()  # a step may read and validate tables, where its image has the libraries
    names = "fairway.step.pod, fairway.step.pool, fairway.step.container, fairway.step.worker, fairway.dsl.step, fairway.data.schema.files"
    code = f"import sys; sys.path[:0] = [sys.argv[1]]; import {names}; print(fairway.__file__)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(str(tmp_path))


def test_the_runtime_is_fetched_once_for_all_containers_of_a_pod(yard: Yard) -> None:
    yard.write("def double(x):\n    return 2 * x\n")
    for n in range(2):
        yard.run(yard.spec("double", n, name=f"d{n}"), FAIRWAY_RUNTIMES="")
    assert [path for _, path in yard.server.requests].count("/worker/v1/runtime.zip") == 1


def test_an_image_that_brings_the_runtime_along_fetches_nothing(yard: Yard, tmp_path: Path) -> None:
    data, digest = yard.server.runtime
    zipfile.ZipFile(io.BytesIO(data)).extractall(tmp_path / "image" / digest)
    yard.write("def double(x):\n    return 2 * x\n")
    yard.run(yard.spec("double"), FAIRWAY_RUNTIMES=str(tmp_path / "image"))
    assert "/worker/v1/runtime.zip" not in [path for _, path in yard.server.requests]


def test_a_server_that_comes_later_is_waited_for(yard: Yard, server: Server) -> None:
    yard.write("def double(x):\n    return 2 * x\n")
    spec = yard.spec("double")
    server.stop()
    with socket.create_server(("127.0.0.1", server.port)) as broken:
        pod = yard.pod(spec, FAIRWAY_RUNTIMES="")
        broken.accept()[0].close()
    server.start()
    assert end_of(pod) == (0, "")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"FAIRWAY_RUNTIME": "0" * 64, "FAIRWAY_PATIENCE_S": "0"}, "its runtime is"),
        ({"FAIRWAY_TOKEN": "", "FAIRWAY_PATIENCE_S": "30"}, "it answers 401"),
        ({"FAIRWAY_URL": "http://127.0.0.1:1", "FAIRWAY_PATIENCE_S": "0"}, "Connection refused"),
    ],
    ids=["another runtime", "a bad token", "no server"],
)
def test_what_is_wrong_is_said_in_one_line(yard: Yard, changed: dict[str, str], said: str) -> None:
    code, text = end_of(yard.pod(yard.spec("double"), FAIRWAY_RUNTIMES="", **changed))
    assert code == 1
    assert said in text and text.startswith("fairway: no runtime from http://") and text.count("\n") == 1


def test_a_home_that_cannot_be_written_is_named(yard: Yard, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    code, text = end_of(yard.pod(yard.spec("double"), home="file/home", FAIRWAY_RUNTIMES=""))
    assert code == 1
    assert text.startswith(f"fairway: cannot unpack the runtime below {tmp_path}/file/home: ") and text.count("\n") == 1


def test_an_old_python_is_told_what_is_needed() -> None:
    code = "import sys; sys.version_info = (3, 9, 2, 'final', 0); exec(sys.stdin.read())"
    done = subprocess.run([sys.executable, "-c", code], input=BOOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "fairway: this image has Python 3.9; steps need 3.11 or newer\n"
