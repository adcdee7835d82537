"""The API of endpoints over a real keeper: what is answered, what is refused, who sees what."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from fairway.engine.bus import Bus
from fairway.testing.memory import MemoryArtifactStore, MemoryEndpointStore
from fairway.web.identity import Identity
from fairway.web.keeping import LateEndpoints
from tests.serve.control.rig import MemoryGateways, make_memory_fleet
from tests.web.rig import Server


def spec(digest: str = "0") -> dict[str, Any]:
    return {"source": "model", "package": {"digest": digest * 64}}


@pytest.fixture
def server(tmp_path: Path) -> Server:
    late = LateEndpoints(MemoryEndpointStore(), MemoryArtifactStore(), str(tmp_path), Bus(), make_memory_fleet)
    return Server(tmp_path / "home", endpoints=late.port)


@pytest.fixture
def client(server: Server) -> Iterator[TestClient]:
    with server.client() as client:
        yield client


def deploy(client: TestClient, digest: str = "0", **more: Any) -> Any:
    answer = client.post("/endpoints", json={"name": "risk", "spec": spec(digest), **more})
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


def test_an_endpoint_is_made_once_and_its_key_shown_once(client: TestClient) -> None:
    settings = {"scaling": {"minimum": 1, "maximum": 3}}
    answer = client.post("/endpoints", json={"name": "risk", "spec": spec(), "settings": settings, "with_key": True})
    made = answer.json()
    assert (answer.status_code, answer.headers["location"], made["revision"], made["is_new"]) == (201, "/api/v1/endpoints/risk", 1, True)
    assert made["key"].startswith("fk1.first.")
    again = client.post("/endpoints", json={"name": "risk", "spec": spec()})
    assert (again.status_code, again.json()["revision"], again.json()["key"]) == (200, 1, "")
    view = client.get("/endpoints/risk").json()
    assert (view["state"], view["replicas"], view["endpoint"]["scaling"]["maximum"]) == ("ready", 1, 3)
    assert view["endpoint"]["created_by"] == "ann"
    assert [key["digest"] for key in view["endpoint"]["keys"]] == [""], "a digest is nobody's business"
    assert made["key"] not in client.get("/endpoints").text


def test_open_endpoints_have_no_key(client: TestClient) -> None:
    assert deploy(client, settings={"is_open": True})["key"] == ""


def test_a_revision_gets_traffic_or_none_as_asked(client: TestClient) -> None:
    deploy(client)
    assert deploy(client, "1", moves=False, only="known")["endpoint"]["traffic"] == [[1, 100.0]]
    assert deploy(client, "2")["endpoint"]["traffic"] == [[3, 100.0]]
    assert client.post("/endpoints", json={"name": "risk", "spec": spec(), "only": "new"}).status_code == 409
    assert client.post("/endpoints", json={"name": "other", "spec": spec(), "only": "known"}).status_code == 404


def test_traffic_rollouts_and_the_way_back(client: TestClient) -> None:
    deploy(client)
    deploy(client, "1", moves=False)
    assert client.post("/endpoints/risk/traffic", json={"traffic": [[1, 60], [2, 40]], "sticky": "key"}).json()["sticky"] == "key"
    wrong = client.post("/endpoints/risk/traffic", json={"traffic": [[1, 60], [2, 30]]})
    assert (wrong.status_code, "add up to 90" in wrong.json()["detail"]) == (422, True)
    assert client.post("/endpoints/risk/traffic", json={"traffic": [[9, 100]]}).status_code == 404
    going = client.post("/endpoints/risk/rollout", json={"revision": 2, "steps": [50, 100], "step_s": 5})
    assert going.json()["rollout"]["steps"] == [50, 100]
    assert client.post("/endpoints/risk/rollout", json={"revision": 2}).status_code == 409
    assert client.post("/endpoints/risk/rollout", json={"action": "pause"}).json()["rollout"]["state"] == "paused"
    assert client.post("/endpoints/risk/rollback", json={}).json()["traffic"] == [[1, 60.0], [2, 40.0]]
    assert client.post("/endpoints/risk/rollout", json={"action": "promote", "revision": 2}).json()["traffic"] == [[2, 100.0]]


def test_keys_are_made_and_made_void(client: TestClient) -> None:
    deploy(client)
    made = client.post("/endpoints/risk/keys", json={"name": "shop", "rate": 5})
    assert (made.status_code, made.json()["key"].startswith("fk1.shop.")) == (201, True)
    assert client.post("/endpoints/risk/keys", json={"name": "shop"}).status_code == 409
    assert client.delete("/endpoints/risk/keys/shop").status_code == 204
    assert client.delete("/endpoints/risk/keys/shop").status_code == 404


def test_figures_and_logs(client: TestClient) -> None:
    deploy(client)
    stats = client.get("/endpoints/risk/stats").json()
    assert (stats["name"], stats["state"], [one["state"] for one in stats["running"]]) == ("risk", "ready", ["ready"])
    assert client.get("/endpoints/risk/logs").json()["lines"] == ["risk-1-1  ready"]
    asked = client.post("/endpoints/risk/ask", json={"body": "{}"})
    assert "no gateway runs" in asked.json()["detail"]


def test_what_is_deleted_is_gone(client: TestClient) -> None:
    deploy(client)
    assert client.delete("/endpoints/risk").status_code == 204
    assert client.get("/endpoints/risk").status_code == 404
    assert client.get("/endpoints").json() == {"items": []}


def test_endpoints_of_other_projects_are_not_there(server: Server, client: TestClient) -> None:
    deploy(client, project="theirs")
    server.users.by_token["u1.bob.secret"] = Identity("bob", "admin", ("mine",))
    headers = {"Fairway-Token": "u1.bob.secret"}
    assert client.get("/endpoints", headers=headers).json() == {"items": []}
    for method, path, body in (
        ("GET", "/endpoints/risk", None),
        ("GET", "/endpoints/risk/stats", None),
        ("GET", "/endpoints/risk/logs", None),
        ("PATCH", "/endpoints/risk", {"paused": True}),
        ("POST", "/endpoints/risk/traffic", {"traffic": [[1, 100]]}),
        ("POST", "/endpoints/risk/rollout", {"revision": 1}),
        ("POST", "/endpoints/risk/rollback", {}),
        ("POST", "/endpoints/risk/keys", {"name": "x"}),
        ("POST", "/endpoints/risk/ask", {}),
        ("DELETE", "/endpoints/risk/keys/first", None),
        ("DELETE", "/endpoints/risk", None),
        ("POST", "/endpoints", {"name": "risk", "spec": spec("1"), "project": "mine"}),
    ):
        answer = client.request(method, path, headers=headers, json=body)
        assert answer.status_code == 404, (method, path, answer.text)
    assert client.post("/endpoints", headers=headers, json={"name": "x", "spec": spec(), "project": "theirs"}).status_code == 403
    assert client.get("/endpoints/risk").json()["endpoint"]["paused"] is False


def test_where_alarms_go_is_kept_and_shown_without_what_may_be_a_secret(client: TestClient) -> None:
    deploy(client, settings={"notify": ["slack+https://hooks.slack.com/services/T0/secret"]})
    document = client.get("/endpoints/risk").json()["endpoint"]
    assert document["notify"] == ["slack+https://hooks.slack.com/…"] and "secret" not in client.get("/endpoints").text
    changed = client.patch("/endpoints/risk", json={"notify": []})
    assert changed.status_code == 200 and changed.json()["notify"] == []
    assert [entry["what"] for entry in changed.json()["history"]][-1] == "notify changed"


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("command:true", "starts no programs"),
        ("ftp://example.org", "cannot be sent to ftp"),
        ("https://example.org/${HOME}", "HOME is not set"),
        ("smtp://mail.example.org", "to whom"),
    ],
)
def test_alarms_go_nowhere_that_whoever_deploys_could_abuse(
    client: TestClient, target: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemoryGateways, "is_local", False)
    deploy(client)
    answer = client.patch("/endpoints/risk", json={"notify": [target]})
    assert answer.status_code == 422 and says in answer.text, answer.text
    assert client.get("/endpoints/risk").json()["endpoint"]["notify"] == []
