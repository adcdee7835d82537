"""Hooks on a run's end, against a real command and a real HTTP server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from fairway.engine.hooks import render_slack, run_hooks, wants
from fairway.engine.project import Hook
from fairway.spec.summary import RunSummary

SUMMARY = RunSummary(
    "r1", "churn", "failed", project="bank", started_at=100.0, ended_at=112.5, metrics={"auc": 0.71}, error="train failed: <KeyError>"
)


class Received:
    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.answer = 200


@pytest.fixture
def server() -> Iterator[tuple[str, Received]]:
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            received.headers.append(dict(self.headers))
            self.send_response(received.answer)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    http = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}/hook", received
    http.shutdown()
    http.server_close()


def test_a_hook_wants_its_states_and_pipelines() -> None:
    assert wants(Hook("command", ("x",)), SUMMARY)
    assert not wants(Hook("command", ("x",), on=("succeeded",)), SUMMARY)
    assert wants(Hook("command", ("x",), pipelines=("other", "ch*")), SUMMARY)
    assert not wants(Hook("command", ("x",), pipelines=("other",)), SUMMARY)


def test_a_command_gets_the_run_on_its_input_and_as_variables(tmp_path: Path) -> None:
    facts = "[json.load(sys.stdin), os.environ['FAIRWAY_RUN_ID'], os.environ['FAIRWAY_RUN_STATUS'], os.getcwd()]"
    code = f"import sys, os, json; json.dump({facts}, open('said', 'w'))"
    assert run_hooks([Hook("command", (sys.executable, "-c", code))], SUMMARY, root=str(tmp_path)) == []
    payload, run, status, folder = json.loads((tmp_path / "said").read_text())
    assert (run, status, folder) == ("r1", "failed", str(tmp_path))
    assert payload["pipeline"] == "churn"
    assert payload["duration_s"] == 12.5
    assert payload["metrics"] == {"auc": 0.71}


def test_a_webhook_gets_the_run_and_its_headers(server: tuple[str, Received]) -> None:
    url, received = server
    hook = Hook("webhook", ("${URL}",), headers={"Authorization": "Bearer ${TOKEN}"})
    assert run_hooks([hook], SUMMARY, root="/", variables={"URL": url, "TOKEN": "t0p"}) == []
    assert received.bodies[0]["status"] == "failed"
    assert received.headers[0]["Authorization"] == "Bearer t0p"


def test_slack_gets_its_own_format(server: tuple[str, Received]) -> None:
    url, received = server
    assert run_hooks([Hook("slack", (url,))], SUMMARY, root="/") == []
    (body,) = received.bodies
    assert body == render_slack(SUMMARY)
    assert body["text"] == "bank: churn failed after 12 s (r1)"
    assert "auc `0.71`" in body["blocks"][0]["text"]["text"]
    assert "&lt;KeyError&gt;" in body["blocks"][0]["text"]["text"]


def test_what_a_hook_does_wrong_is_one_line_and_the_next_still_runs(tmp_path: Path, server: tuple[str, Received]) -> None:
    url, received = server
    hooks = [
        Hook("command", (sys.executable, "-c", "import sys; sys.exit('no such channel')"), where="fairway.toml:3"),
        Hook("command", ("no-such-program-here",)),
        Hook("command", (sys.executable, "-c", "import threading; threading.Event().wait()"), timeout_s=0.2),
        Hook("webhook", ("${NOT_SET}",)),
        Hook("webhook", (url,)),
    ]
    problems = run_hooks(hooks, SUMMARY, root=str(tmp_path), variables={})
    assert problems[0] == f"fairway.toml:3: the command hook failed: {sys.executable} ended with exit code 1: no such channel"
    assert "there is no program 'no-such-program-here'" in problems[1]
    assert "longer than 0.2 s" in problems[2]
    assert "NOT_SET is not set" in problems[3]
    assert len(problems) == 4
    assert len(received.bodies) == 1


def test_a_server_that_refuses_is_reported_without_its_url(server: tuple[str, Received]) -> None:
    url, received = server
    received.answer = 403
    (problem,) = run_hooks([Hook("webhook", (url,))], SUMMARY, root="/")
    assert "403" in problem
    assert url not in problem


PIPELINE = """
import fairway as fw


@fw.step
def divide(n: int) -> float:
    return 1 / n


@fw.pipeline
def ratio(n: int = 1):
    return divide(n)


@fw.pipeline
def other(n: int = 0):
    return divide(n)
"""

SETTINGS = """
[[hooks]]
webhook = "${HOOK_URL}/all"
on = ["succeeded", "failed", "timeout", "cancelled"]
headers = { Authorization = "Bearer ${TOKEN}" }

[[hooks]]
slack = "${HOOK_URL}/slack"
pipelines = ["rat*"]
on = ["failed"]
"""


def test_runs_tell_a_server_what_the_settings_want(tmp_path: Path, server: tuple[str, Received]) -> None:
    url, received = server
    (tmp_path / "flow.py").write_text(PIPELINE)
    (tmp_path / "fairway.toml").write_text(SETTINGS)
    variables = {name: value for name, value in os.environ.items() if not name.startswith("FAIRWAY_")} | {"HOOK_URL": url, "TOKEN": "t0p"}
    ends: list[tuple[int, list[Any]]] = []
    for words in (["flow.py:ratio"], ["flow.py:ratio", "--n", "0"], ["flow.py:other"]):
        before = len(received.bodies)
        done = subprocess.run(
            [sys.executable, "-m", "fairway", "run", *words], cwd=tmp_path, env=variables, capture_output=True, text=True, check=False
        )
        assert "warning" not in done.stderr
        ends.append((done.returncode, received.bodies[before:]))
    (well, first), (failed, second), (elsewhere, third) = ends
    assert (well, [body["status"] for body in first]) == (0, ["succeeded"])
    assert failed == elsewhere == 3
    assert (second[0]["pipeline"], second[0]["status"]) == ("ratio", "failed")
    assert second[1]["text"].startswith(f"{tmp_path.name}: ratio failed") and "division by zero" in second[1]["blocks"][0]["text"]["text"]
    assert [body.get("pipeline") for body in third] == ["other"]
    assert all(
        headers.get("Authorization") == "Bearer t0p"
        for headers, body in zip(received.headers, received.bodies, strict=True)
        if "pipeline" in body
    )
    assert "t0p" not in "".join(path.read_text("utf-8", "replace") for path in (tmp_path / ".fairway").rglob("*") if path.is_file())
