"""`fairway serve` as a user starts it: what it says, how it is tried, how it ends."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.waiting import Gate, await_true

SCORE = """
import json


def init():
    global factor
    factor = 3


def run(raw_data):
    return [factor * value for value in json.loads(raw_data)["data"]]
"""
SCHEMA = {"type": "object", "properties": {"data": {"type": "array", "items": {"type": "number"}}}, "required": ["data"]}


@contextmanager
def served(folder: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command at work, and the URL that it prints."""
    log = (folder / "log").open("w")
    argv = [sys.executable, "-m", "fairway", "serve", *words]
    process = subprocess.Popen(argv, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, "NO_COLOR": "1"})
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        assert url.startswith("http"), (folder / "log").read_text()
        yield process, url
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        log.close()


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "fairway", "serve", *words]
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=180, check=False)


def test_a_script_is_served_the_line_that_is_shown_works_and_one_ctrl_c_ends_it(tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text(SCORE)
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    (tmp_path / "example.json").write_text('{"data": [1, 2]}')
    with served(tmp_path, "score.py", "--schema", "schema.json", "--port", "0") as (process, url):
        request = urllib.request.Request(f"{url}/score", b'{"data": [1, 2]}', {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert json.load(answer) == [3, 6]
        with urllib.request.urlopen(f"{url}/docs", timeout=60) as answer:
            assert "<h1>" in answer.read().decode()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        said = (tmp_path / "log").read_text()
        assert f"at {url}" in said and f"try it: {url}/docs" in said
        assert "POST /score 200" in said
        for line in said.splitlines():
            if line.strip().startswith("curl"):
                assert shlex.split(line)[:2] == ["curl", "-s"]


def test_other_machines_are_let_in_only_with_a_token(tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text(SCORE)
    done = run(tmp_path, "score.py", "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 2
    assert "lets other machines in" in done.stderr and "--token-file" in done.stderr


def test_a_port_that_is_taken_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text(SCORE)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = run(tmp_path, "score.py", "--port", str(port))
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nowhere.py",), "nowhere.py"),
        (("score.py", "--limits", "speed=9"), "there is no limit 'speed'"),
        (("score.py", "--limits", "queue=many"), "the limit queue is 'many', expected a whole number of at least 1"),
        (("score.py", "--limits", "queue=1.5"), "expected a whole number"),
        (("score.py", "--limits", "queue=NaN"), "expected a whole number"),
        (("score.py", "--limits", "deadline_s=Infinity"), "expected a number"),
        (("score.py", "--option", "device"), "expected NAME=VALUE"),
    ],
)
def test_what_cannot_be_served_is_said_before_anything_is_loaded(tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    (tmp_path / "score.py").write_text(SCORE.replace("factor = 3", "raise SystemExit('loaded')"))
    done = run(tmp_path, *words, "--port", "0")
    assert done.returncode == 2
    assert message in done.stderr and "loaded" not in done.stderr


def test_the_first_ctrl_c_says_what_it_waits_for_and_what_the_script_logs_is_seen(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    (tmp_path / "score.py").write_text(
        "import logging\n"
        "def init():\n    logging.info('loaded it')\n    logging.getLogger('mine').debug('not this')\n"
        "def run(raw_data):\n    open('asked', 'w').close()\n    logging.getLogger('mine').info('asked')\n"
        f"    {gate.code}\n    return 1\n"
    )
    with served(tmp_path, "score.py", "--port", "0") as (process, url), ThreadPoolExecutor(1) as pool:
        request = urllib.request.Request(f"{url}/score", b"1", {"content-type": "application/json"})
        answer = pool.submit(lambda: urllib.request.urlopen(request, timeout=60).read())
        try:
            await_true((tmp_path / "asked").exists, "the script is asked")
            process.send_signal(signal.SIGINT)
            await_true(lambda: "answering 1 request; Ctrl-C again ends it now" in (tmp_path / "log").read_text(), "it says so")
        finally:
            gate.open()
        assert answer.result(60) == b"1"
        assert process.wait(60) == 0
    said = (tmp_path / "log").read_text()
    assert "INFO:root:loaded it" in said and "INFO:mine:asked" in said and "not this" not in said


def test_a_script_that_configures_its_log_has_it_its_own_way(tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text(
        "import logging\nlogging.basicConfig(level=logging.ERROR, format='own %(message)s')\n"
        "def init():\n    logging.info('not this')\n    logging.error('but this')\ndef run(raw_data):\n    return 1\n"
    )
    with served(tmp_path, "score.py", "--port", "0"):
        said = (tmp_path / "log").read_text()
        assert "own but this" in said and "not this" not in said
