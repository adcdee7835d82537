"""Endpoints from the command line, with a server, a gateway and replicas that are all real."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fairway.cli import main
from fairway.cli.deploy import parse_floor, parse_target
from fairway.cli.endpointlog import find_new, split_line
from fairway.cli.endpoints import print_endpoint
from fairway.cli.rollout import read_bounds
from fairway.cli.serving import parse_weights, spell_curl
from fairway.engine.localserver import find_server, stop_server
from fairway.engine.processes import is_process
from fairway.errors import ConfigError
from fairway.serve.control.view import RevisionView
from fairway.spec.endpoint import Floor
from fairway.spec.record import replace
from fairway.step.freeports import free_ports, ports_of_connections
from fairway.web.records import full
from tests.waiting import await_true
from tests.web.served import busy

SCRIPT = """
import json

def init():
    print("model loaded")

def run(raw_data):
    return [factor * x for x in json.loads(raw_data)["data"]]

factor = {factor}
"""


class Place:
    """A project of its own, whose server and endpoints end with the test."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self._capsys = root, capsys
        self.out = self.err = ""
        (root / "fairway.toml").touch()

    def write(self, name: str, factor: int) -> str:
        path = self.root / name
        path.write_text(SCRIPT.replace("{factor}", str(factor)))
        return str(path)

    def run(self, *words: str, status: int = 0) -> str:
        """What the command writes to stdout; what it says stands in `err`."""
        code = main(["-C", str(self.root), *words])
        self.out, self.err = self._capsys.readouterr()
        assert code == status, self.err
        return self.out

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "-o", "json"))

    def ask(self, url: str, key: str, data: list[int]) -> tuple[int, Any]:
        headers = {"content-type": "application/json", **({"authorization": f"Bearer {key}"} if key else {})}
        request = urllib.request.Request(f"{url}/score", json.dumps({"data": data}).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)


@pytest.fixture
def place(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    for name in ("FAIRWAY_HOME", "FAIRWAY_TARGET", "FAIRWAY_JOURNAL"):
        monkeypatch.delenv(name, raising=False)
    made = Place(tmp_path, capsys)
    yield made
    home = str(tmp_path / ".fairway")
    if find_server(home) is not None:
        for one in made.json("endpoints"):
            made.run("endpoints", one["endpoint"]["name"], "--delete", "--yes")
        stop_server(home)
    running = [json.loads(path.read_text()) for path in (tmp_path / ".fairway" / "serve").glob("replicas/*.json")]
    await_true(lambda: not any(is_process(one["pid"], one["process"]) for one in running), "a replica was left behind")


def test_from_a_script_to_a_url_and_back(place: Place) -> None:
    url = place.run("deploy", place.write("score.py", 2), "--name", "risk", "--min", "1").strip()
    assert "fk1." not in place.err, "on this machine nobody needs a key until there is one"
    assert place.ask(url, "", [1, 2]) == (200, [2, 4])
    key = place.run("endpoints", "key", "add", "risk", "first").strip()
    assert url.startswith("http://127.0.0.1:") and url.endswith("/risk")
    first, last = ports_of_connections()
    assert not first <= int(url.split(":")[2].partition("/")[0]) <= last, "nobody's connection takes it while the gateway is away"
    assert place.ask(url, key, [1, 2]) == (200, [2, 4])
    assert place.ask(url, "", [1, 2])[0] == 401
    assert place.ask(url, key.replace("fk1.first", "fk1.other"), [1, 2])[0] == 401
    assert json.loads(place.run("test", "risk", "--path", "/score", "--data", '{"data": [3]}')) == [6]
    assert "200 from revision 1" in place.err
    place.run("test", "risk", "--path", "/score", "--data", '{"wrong": 1}', status=3)

    assert "revision 1" in (place.run("deploy", place.write("score.py", 2), "--name", "risk") and place.err), "the same again is the same"
    place.run("deploy", place.write("score.py", 5), "--name", "risk")
    assert "revision 2" in place.err
    assert place.ask(url, key, [1]) == (200, [5])
    place.run("rollback", "risk")
    assert place.ask(url, key, [1]) == (200, [2])
    place.run("traffic", "risk", "1=50", "2=50", "--sticky", "header:x-user")
    assert place.json("traffic", "risk") == {"traffic": [[1, 50.0], [2, 50.0]], "shadow": 0, "sticky": "header:x-user"}
    view = place.json("endpoints", "risk")
    assert {one["number"]: one["state"] for one in view["revisions"]} == {1: "ready", 2: "ready"}
    assert [one["source"].rpartition("/")[2] for one in (r["spec"] for r in view["endpoint"]["revisions"])] == ["score.py", "score.py"]
    said = [split_line(line) for line in place.run("logs", "risk").splitlines()]
    assert all(when for _, when, _ in said), said
    assert {replica[:7] for replica, when, text in said if when and text == "model loaded"} == {"risk-1-", "risk-2-"}
    assert view["cold_starts"] and [name for name, _ in view["cold_starts"][-1]["phases"]][:4] == [
        "process",
        "libraries",
        "model",
        "warm-up",
    ]
    text = place.run("endpoints", "risk")
    assert "50 %" in text and "score.py" in text and "first" in text

    made = place.run("endpoints", "key", "add", "risk", "shop", "--rate", "5").strip()
    assert place.ask(url, made, [1])[0] == 200
    assert [row["name"] for row in place.json("endpoints", "key", "list", "risk")] == ["first", "shop"]
    place.run("endpoints", "key", "remove", "risk", "shop")
    assert place.ask(url, made, [1])[0] == 401
    place.run("endpoints", "risk", "--delete", "--yes")
    assert place.run("endpoints") == ""
    assert "there are no endpoints" in place.err


def test_a_schema_goes_with_what_is_rolled_out(place: Place) -> None:
    place.run("deploy", place.write("score.py", 2), "--name", "risk", "--min", "1")
    schema = place.root / "elsewhere" / "given.json"
    schema.parent.mkdir()
    schema.write_text('{"inputs": {"age": "integer"}}')
    place.run("rollout", "risk", "1", "--schema", str(schema), status=2)
    assert "--schema goes with a model" in place.err
    place.run("rollout", "risk", "score.py", "--schema", str(schema), "--blue-green")
    assert "age" in json.dumps(place.json("endpoints", "risk")["schema"])
    place.run("test", "risk", status=3)  # the script wants something else than its schema says
    assert """made up from the schema: {"inputs": [{"age": 1}]}""" in place.err and "500 from revision 2" in place.err
    place.run("logs", "nope", status=2)
    assert "there is neither a run nor an endpoint 'nope'" in place.err


def test_the_settings_say_where_endpoints_answer(place: Place) -> None:
    port, grpc = free_ports(2)
    (place.root / "fairway.toml").write_text(f"[serving]\nport = {port}\ngrpc-port = {grpc}\n")
    url = place.run("deploy", place.write("score.py", 2), "--name", "risk").strip()
    assert url == f"http://127.0.0.1:{port}/risk"
    assert place.ask(url, "", [1]) == (200, [2])
    with socket.create_connection(("127.0.0.1", grpc), timeout=60) as link:
        link.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        assert link.recv(9)[3] == 4, "HTTP/2 settings come back"
    (place.root / "fairway.toml").write_text(f"[serving]\nport = {port + 70000}\n")
    place.run("deploy", "score.py", "--name", "risk", status=2)
    assert "fairway.toml:2" in place.err and "serving.port must be a port" in place.err
    (place.root / "fairway.toml").write_text(f"[serving]\nport = {port}\ngrpc-port = {grpc}\n")


def test_a_model_that_does_not_start_says_why_and_what_served_still_does(place: Place) -> None:
    url = place.run("deploy", place.write("score.py", 2), "--name", "risk", "--open").strip()
    bad = place.root / "bad.py"
    bad.write_text("def init():\n    raise ValueError('no weights at hand')\ndef run(raw_data):\n    return 1\n")
    place.run("deploy", str(bad), "--name", "risk", status=3)
    assert "revision 2 of 'risk' does not start: " in place.err
    assert place.err.count("ValueError: no weights at hand") == 1, place.err
    assert "    raise ValueError('no weights at hand')" in place.err and '"ready"' not in place.err
    assert "ValueError: no weights at hand" in place.err
    assert "bad.py" in place.err, "the user's own line"
    assert "what served before still does" in place.err
    assert place.ask(url, "", [1]) == (200, [2])
    assert place.json("endpoints", "risk")["state"] == "ready"
    place.run("deploy", str(bad), "--name", "fresh", status=3)
    assert "nothing answers its callers yet" in place.err


def test_a_server_that_was_killed_takes_nothing_with_it(place: Place) -> None:
    url = place.run("deploy", place.write("score.py", 2), "--name", "risk", "--open").strip()
    server = find_server(str(place.root / ".fairway"))
    assert server is not None
    os.kill(server.pid, signal.SIGKILL)
    os.waitpid(server.pid, 0)
    assert place.ask(url, "", [4]) == (200, [8])
    view = place.json("endpoints", "risk")
    assert (view["url"], view["state"]) == (url, "ready")
    assert [one["state"] for one in view["running"]] == ["ready"]
    assert place.ask(url, "", [4]) == (200, [8])


def test_without_a_name_or_an_endpoint_it_says_what_to_do(place: Place) -> None:
    place.run("deploy", "score.py", status=2)
    assert "--name NAME" in place.err
    place.run("deploy", place.write("score.py", 1), "--name", "v2", status=2)
    assert "v2-model" in place.err
    place.run("test", "risk", status=2)
    assert "there is no endpoint 'risk'" in place.err and "fairway deploy" in place.err
    place.run("deploy", place.write("score.py", 1), "--name", "risk", "--min", "3", "--max", "2", status=2)
    assert "--min" in place.err


def test_settings_are_read_as_they_are_written() -> None:
    assert parse_target("8") == ("concurrency", 8.0)
    assert parse_target("200ms") == ("latency", 200.0)
    assert parse_floor("2@08:00-18:00") == Floor(2, "08:00", "18:00", ())
    assert parse_floor("2@22:00-06:00/fri-mon/Europe/Berlin") == Floor(2, "22:00", "06:00", ("fri", "sat", "sun", "mon"), "Europe/Berlin")
    assert parse_floor("1@00:00-24:00/mon,wed").days == ("mon", "wed")
    assert parse_weights(["3=95", "v4=5%"]) == [[3, 95.0], [4, 5.0]]
    for wrong in ("two@08:00-18:00", "2", "2@08:00"):
        with pytest.raises(ConfigError):
            parse_floor(wrong)
    for weights in (["3"], ["x=5"], ["3=lots"]):
        with pytest.raises(ConfigError):
            parse_weights(weights)


def test_the_line_for_curl_is_one_that_a_shell_takes() -> None:
    endpoint = {"keys": [{"name": "a"}], "is_open": False}
    view: dict[str, Any] = {"url": "http://127.0.0.1:9/risk", "example": {"inputs": ["it's"]}, "endpoint": endpoint}
    line = spell_curl(view)
    script = f"KEY=fk1; curl() {{ printf '%s\\n' \"$@\"; }}; {line}"
    shown = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    words = shown.stdout.splitlines()
    assert words[-1] == json.dumps(view["example"])
    assert "authorization: Bearer fk1" in words
    assert spell_curl({**view, "example": None}) == ""


def test_following_shows_each_line_once() -> None:
    before = ["a  1", "a  2", "b  1"]
    assert find_new(before, ["a  1", "a  2", "a  3", "b  1", "c  1"]) == ["a  3", "c  1"]
    assert find_new(["a  1", "a  2"], ["a  1", "a  2"]) == []
    assert find_new([], ["a  1"]) == ["a  1"]


def test_the_metric_of_a_rollout_has_bounds_on_either_side() -> None:
    assert read_bounds(["accuracy>=0.9"]) == {"metric": "accuracy", "min_metric": 0.9}
    assert read_bounds(["mean absolute error <= 2.5"]) == {"metric": "mean absolute error", "max_metric": 2.5}
    assert read_bounds(["bias>=-1", "bias<=1"]) == {"metric": "bias", "min_metric": -1.0, "max_metric": 1.0}
    for wrong in (["accuracy"], ["accuracy>0.9"], ["<=2"], ["a<=x"], ["a>=1", "b<=2"]):
        with pytest.raises(ConfigError):
            read_bounds(wrong)


def test_who_scales_and_what_is_not_exposed_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    print_endpoint(full(replace(busy(), unexposed="there is no Gateway API", scaled_by="the cluster on CPU")))
    said = capsys.readouterr().out
    assert "not exposed  there is no Gateway API" in said and "scaled by    the cluster on CPU" in said
    print_endpoint(full(busy()))
    said = capsys.readouterr().out
    assert "not exposed" not in said and "scaled by" not in said


def test_a_revision_that_failed_or_went_back_says_why_though_no_traffic_goes_there(capsys: pytest.CaptureFixture[str]) -> None:
    seen = busy()
    revisions = [*seen.revisions[:-2], RevisionView(2, 0.0, "went back", "too slow"), RevisionView(1, 0.0, "failed", "no weights")]
    print_endpoint(full(replace(seen, revisions=tuple(revisions))))
    rows = capsys.readouterr().out.splitlines()
    assert any(row.split()[0] == "2" and "went back" in row and row.endswith(": too slow") for row in rows if row.strip())
    assert any(row.split()[0] == "1" and "failed" in row and row.endswith(": no weights") for row in rows if row.strip())
