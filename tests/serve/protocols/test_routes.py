"""Which path leads where, and what is said of those that lead nowhere."""

from __future__ import annotations

import pytest

from fairway.serve.protocols.serving import Route, RouteTable
from fairway.serve.refusal import Refused
from tests.serve.protocols.rig import MemoryServing, sum_rows


def test_a_pattern_gives_what_stands_in_its_braces() -> None:
    route = Route("POST", "/v1/models/{model}:predict", lambda *_: None)
    plain = Route("GET", "/v1/models/{model}", lambda *_: None)
    table = RouteTable((plain, route))
    assert table.find("POST", "/v1/models/a:b:predict") == (route, {"model": "a:b"})
    assert table.find("GET", "/v1/models/ä") == (plain, {"model": "ä"})
    assert table.find("HEAD", "/v1/models/x")[0] is plain


@pytest.mark.parametrize(("method", "path", "status", "said"), [
    ("GET", "/predict", 405, "takes POST"),
    ("DELETE", "/v2/models/risk/infer", 405, "takes POST"),
    ("POST", "/nowhere", 404, "/nowhere"),
    ("POST", "/predict/", 404, "/predict"),
    ("POST", "/v2/models//infer", 404, "there is no"),
    ("POST", "/v2/models/a/b/infer", 404, "there is no"),
    ("POST", "/" + "x" * 5000, 404, "…"),
    ("POST", "/\x00\x1b[2J", 404, "\\x1b"),
])  # fmt: skip
def test_other_paths_and_methods_are_refused_with_what_there_is(method: str, path: str, status: int, said: str) -> None:
    answer = MemoryServing(sum_rows).ask(method, path)
    assert answer.status == status
    assert said in answer.error
    assert len(answer.answer) < 1000
    assert (answer.sent.get(b"allow") == b"POST") == (status == 405)


def test_a_table_refuses_what_it_lacks() -> None:
    with pytest.raises(Refused) as refused:
        RouteTable(()).find("GET", "/")
    assert refused.value.status == 404


def test_health_says_whether_the_model_can_be_asked() -> None:
    serving = MemoryServing(sum_rows)
    for path in ("/health", "/health/ready", "/v2/health/ready", "/v2/models/risk/ready"):
        assert serving.ask("GET", path).status == 200
    serving.ready = False
    for path in ("/health", "/health/ready", "/v2/health/ready", "/v2/models/risk/ready"):
        assert serving.ask("GET", path).status == 503
    for path in ("/health/live", "/v2/health/live"):
        assert serving.ask("GET", path).json["live"] is True


def test_a_browser_is_led_to_the_page_and_a_program_to_the_description() -> None:
    serving = MemoryServing(sum_rows)
    assert serving.ask("GET", "/").json == {"status": "alive"}
    root = serving.ask("GET", "/", accept="text/html,*/*;q=0.8")
    assert (root.status, root.sent[b"location"]) == (302, b"docs")
    assert serving.ask("GET", "/docs").kind.startswith(b"text/html")
    for path in ("/openapi.json", "/swagger.json"):
        assert "/predict" in serving.ask("GET", path).json["paths"]
