"""Every route, one by one: who may not use it is told so, and nobody sees runs of projects that are not theirs.

A route that is not in the table below fails the first test: say there what it needs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.responses import Response
from starlette.testclient import TestClient

from fairway.spec.artifact import ArtifactRef
from fairway.spec.event import RunOptions
from fairway.web.identity import Identity
from fairway.web.operation import EVENTS, Operation
from fairway.web.pages import load_pages
from fairway.web.pages.page import Page
from fairway.web.routes import OPERATIONS
from tests.web.rig import API, TOKEN, Server, graph, started
from tests.web.served import MemoryEndpoints, busy

PAGES = load_pages()
MINE, THEIRS = "20261124-081503-mine1", "20261125-091604-their"
ROLES = ("view", "run", "admin")
TOKENS = {role: f"u1.{role}.secret" for role in ROLES}

API_NEEDS = {
    "GET /health": "nobody",
    "GET /target": "view",
    "GET /cluster": "view",
    "GET /secrets": "view",
    "POST /session-code": "view",
    "GET /facets": "view",
    "GET /pipelines": "view",
    "GET /pipelines/{pipeline}/stats": "view",
    "GET /cache": "view",
    "POST /cache/find": "view",
    "POST /cache/forget": "admin",
    "GET /runs": "view",
    "POST /runs": "run",
    "GET /runs/{run}": "view",
    "PATCH /runs/{run}": "run",
    "DELETE /runs/{run}": "admin",
    "GET /runs/{run}/summary": "view",
    "GET /runs/{run}/graph": "view",
    "POST /runs/{run}/cancel": "run",
    "POST /runs/{run}/resume": "run",
    "POST /runs/{run}/rerun": "run",
    "POST /runs/{run}/commands": "run",
    "GET /runs/{run}/commands": "view",
    "GET /runs/{run}/digests": "view",
    "GET /runs/{run}/tasks": "view",
    "GET /runs/{run}/tasks/{task:path}": "view",
    "GET /runs/{run}/why": "view",
    "GET /runs/{run}/events": "view",
    "GET /events": "view",
    "GET /runs/{run}/attempts/{attempt}/log": "view",
    "GET /runs/{run}/streams": "view",
    "POST /runs/{run}/streams": "view",
    "GET /runs/{run}/streams/{name:path}": "view",
    "GET /runs/{run}/artifacts": "view",
    "GET /artifacts/{digest}": "view",
    "GET /artifacts/{digest}/preview": "view",
    "GET /artifacts/{digest}/content": "view",
    "GET /artifacts/{digest}/lineage": "view",
    "GET /runs/{run}/metrics": "view",
    "GET /compare": "view",
    "POST /blobs": "view",
    "GET /blobs": "view",
    "GET /blobs/{key:path}": "view",
    "PUT /blobs/{key:path}": "run",
    "POST /gc": "admin",
    "GET /endpoints": "view",
    "POST /endpoints": "run",
    "GET /endpoints/{endpoint}": "view",
    "PATCH /endpoints/{endpoint}": "run",
    "DELETE /endpoints/{endpoint}": "admin",
    "POST /endpoints/{endpoint}/traffic": "run",
    "POST /endpoints/{endpoint}/rollout": "run",
    "POST /endpoints/{endpoint}/rollback": "run",
    "POST /endpoints/{endpoint}/keys": "run",
    "DELETE /endpoints/{endpoint}/keys/{caller}": "run",
    "GET /endpoints/{endpoint}/stats": "view",
    "GET /endpoints/{endpoint}/logs": "view",
    "POST /endpoints/{endpoint}/ask": "run",
}
PAGES_NEED = {
    "GET /": "view",
    "GET /login": "nobody",
    "GET /oidc/start": "nobody",
    "GET /oidc/callback": "nobody",
    "GET /session": "nobody",
    "POST /session": "nobody",
    "POST /logout": "view",
    "GET /live": "view",
    "GET /runs": "view",
    "POST /runs": "run",
    "GET /columns": "view",
    "GET /facets.json": "view",
    "GET /runs/{run}": "view",
    "GET /runs/{run}/graph.json": "view",
    "GET /runs/{run}/timeline.json": "view",
    "GET /runs/{run}/items": "view",
    "GET /runs/{run}/task": "view",
    "GET /runs/{run}/driver": "view",
    "GET /runs/{run}/act": "run",
    "POST /runs/{run}/cancel": "run",
    "POST /runs/{run}/resume": "run",
    "POST /runs/{run}/rerun": "run",
    "POST /runs/{run}/label": "run",
    "POST /runs/{run}/delete": "admin",
    "GET /runs/{run}/attempts/{attempt}/curves.json": "view",
    "GET /runs/{run}/attempts/{attempt}/usage.json": "view",
    "GET /runs/{run}/attempts/{attempt}/rankcurves.json": "view",
    "GET /runs/{run}/attempts/{attempt}/rankuse.json": "view",
    "GET /runs/{run}/log/merged": "view",
    "GET /runs/{run}/tune": "view",
    "GET /runs/{run}/tune.json": "view",
    "GET /runs/{run}/log": "view",
    "GET /runs/{run}/log/line": "view",
    "GET /runs/{run}/log/search": "view",
    "GET /artifacts": "view",
    "GET /artifacts/{digest}": "view",
    "GET /artifacts/{digest}/preview": "view",
    "GET /artifacts/{digest}/table.json": "view",
    "GET /artifacts/{digest}/columns.json": "view",
    "GET /artifacts/{digest}/array.json": "view",
    "GET /artifacts/{digest}/part": "view",
    "GET /artifacts/{digest}/origin": "view",
    "GET /artifacts/{digest}/lineage": "view",
    "GET /artifacts/{digest}/others": "view",
    "GET /artifacts/{digest}/download": "view",
    "GET /pipelines": "view",
    "GET /pipelines/{pipeline:path}": "view",
    "GET /pipelines/{pipeline:path}/steps": "view",
    "POST /pipelines/{pipeline:path}/start": "run",
    "GET /endpoints": "view",
    "GET /endpoints/{endpoint}": "view",
    "GET /endpoints/{endpoint}/revisions/{number}": "view",
    "GET /endpoints/{endpoint}/drift/{number}": "view",
    "GET /endpoints/{endpoint}/series.json": "view",
    "GET /endpoints/{endpoint}/logs": "view",
    "GET /endpoints/{endpoint}/act": "run",
    "POST /endpoints/{endpoint}/traffic": "run",
    "POST /endpoints/{endpoint}/rollback": "run",
    "POST /endpoints/{endpoint}/promote": "run",
    "POST /endpoints/{endpoint}/rollout": "run",
    "POST /endpoints/{endpoint}/rollout/pause": "run",
    "POST /endpoints/{endpoint}/shadow": "run",
    "POST /endpoints/{endpoint}/pause": "run",
    "POST /endpoints/{endpoint}/try": "run",
    "POST /endpoints/{endpoint}/keys": "admin",
    "POST /endpoints/{endpoint}/keys/remove": "admin",
    "POST /endpoints/{endpoint}/delete": "admin",
    "GET /compare": "view",
    "GET /compare/curves.json": "view",
    "GET /compare/runs": "view",
    "GET /system": "view",
    "GET /system/inventory": "view",
    "GET /system/store": "view",
    "GET /system/audit": "admin",
}
BODIES: dict[str, Any] = {
    "POST /runs/{run}/commands": {"kind": "cancel", "body": {"reason": ""}},
    "POST /runs/{run}/streams": {"offsets": {}},
}
GIVEN = {"task": "load", "attempt": "a-1", "q": "x", "what": "cancel"}
"""What a query's fields are given where they are needed."""
FORMS = {"POST /runs": {"action": "archive"}}
STREAMING = {"GET /events", "GET /live"}


def key_of(row: Operation | Page) -> str:
    return f"{row.method} {row.path}"


def ids(row: Operation | Page) -> str:
    return key_of(row)


class World:
    """A server with a run of each of two projects, and users of every role who see only one of them."""

    def __init__(self, folder: Path) -> None:
        self.server = Server(folder, endpoints=MemoryEndpoints(*(busy(f"{one}-model", project=one) for one in ("mine", "theirs"))))
        for role, token in TOKENS.items():
            self.server.users.by_token[token] = Identity(role, role, ("mine",))
        executor = self.server.executor
        executor.free = True
        end = executor.end
        executor.end = lambda id, value=None: end(id, f"made by {id}")  # type: ignore[method-assign]
        self.refs: dict[str, ArtifactRef] = {}

    def begin(self, client: TestClient) -> None:
        for run, project in ((MINE, "mine"), (THEIRS, "theirs")):
            body = started(run, graph=graph(f"{project}-flow"), project=project, options=RunOptions(cache=False))
            answer = client.post("/runs", json=body)
            assert answer.status_code == 201, answer.text
            with client.stream("GET", f"/runs/{run}/events", headers={"accept": EVENTS}) as events:
                assert any("RunEnded" in line for line in events.iter_lines())
            refs = client.get(f"/runs/{run}/artifacts").json()["items"]
            self.refs[run] = ArtifactRef(**refs[0]["ref"])

    def spell(self, path: str, run: str) -> str:
        """The path with names of what belongs to `run`."""
        project = "mine" if run == MINE else "theirs"
        digest = self.refs[run].digest if run in self.refs else "0" * 64
        values = {
            "run": run,
            "task": "load",
            "attempt": f"{run}-load-1",
            "name": "a/log",
            "digest": digest,
            "key": f"sha256/{digest[:2]}/{digest[2:]}",
            "pipeline": f"{project}-flow",
            "endpoint": f"{project}-model",
            "caller": "shop",
            "number": "1",
        }
        return re.sub(r"\{(\w+)(:\w+)?\}", lambda found: values[found[1]], path)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, TestClient]]:
    made = World(tmp_path_factory.mktemp("access"))
    with made.server.client() as client:
        made.begin(client)
        del client.headers["Fairway-Token"]
        yield made, client


@contextmanager
def signed_in(client: TestClient) -> Iterator[str]:
    """A browser's session of somebody who may do everything, while the block lasts; gives what its forms carry."""
    answer = client.post("http://server/session", data={"token": TOKEN}, headers={"accept": "application/json"})
    assert answer.status_code == 200, answer.text
    try:
        found = re.search(r'"X-CSRF-Token": "(\w+)"', client.get("http://server/login").text)
        assert found is not None
        yield found[1]
    finally:
        client.cookies.clear()


def ask(world: tuple[World, TestClient], row: Operation | Page, *, run: str = MINE, token: str = "", **more: Any) -> Response:
    made, client = world
    path = made.spell(row.path, run)
    url = f"{API}{path}" if isinstance(row, Operation) else path
    headers = {"accept": "text/html", **({"Fairway-Token": token} if token else {}), **more.pop("headers", {})}
    if isinstance(row, Operation):
        headers["accept"] = "*/*"
        if row.body is not None:
            more.setdefault("json", BODIES.get(key_of(row), {}))
    return client.request(row.method, f"http://server{url}", headers=headers, follow_redirects=False, **more)  # type: ignore[return-value]


def test_every_route_is_in_the_table() -> None:
    assert {key_of(row): "nobody" if row.public else row.needed for row in OPERATIONS} == API_NEEDS
    assert {key_of(row): "nobody" if row.public else row.role for row in PAGES} == PAGES_NEED


@pytest.mark.parametrize("row", OPERATIONS, ids=ids)
def test_the_api_asks_for_a_token(world: tuple[World, TestClient], row: Operation) -> None:
    for token in ("", "u1.eve.secret"):
        answer = ask(world, row, token=token)
        assert answer.status_code == (200 if row.public else 401), answer.text  # type: ignore[attr-defined]
    assert row.public or ask(world, row, token="w1.a-1.99999999999.00").status_code == 403


@pytest.mark.parametrize("row", PAGES, ids=ids)
def test_pages_lead_strangers_to_the_login(world: tuple[World, TestClient], row: Page) -> None:
    if row.public:
        return
    answer = ask(world, row)
    fragment = ask(world, row, headers={"hx-request": "true"})
    assert fragment.status_code == 401
    if row.method == "GET":
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login")
        assert fragment.headers["hx-redirect"].startswith("/login")
        assert ask(world, row, headers={"accept": "application/json"}).status_code == 401
    else:
        assert answer.status_code == 401
    assert ask(world, row, token="u1.eve.secret").status_code == 401


@pytest.mark.parametrize("row", [*OPERATIONS, *PAGES], ids=ids)
def test_a_lower_role_is_refused(world: tuple[World, TestClient], row: Operation | Page) -> None:
    if row.public:
        return
    needed = row.needed if isinstance(row, Operation) else row.role
    for role in ROLES[: ROLES.index(needed)]:
        answer = ask(world, row, token=TOKENS[role])
        assert answer.status_code == 403, role


def names_a_run(row: Operation | Page) -> bool:
    kinds = [row.query, row.body if isinstance(row, Operation) else row.form]
    fields = {field.name for kind in kinds if kind is not None for field in msgspec.structs.fields(kind)}
    return "{run}" in row.path or bool(fields & {"run", "runs"})


def query_of(row: Operation | Page, run: str) -> dict[str, Any]:
    """A query that the route takes, about `run` if it can be about one."""
    if row.path == "/compare":
        return {"run": [MINE, run]}
    fields = {field.name: field.required for field in msgspec.structs.fields(row.query)}
    return {name: run if name == "run" else GIVEN[name] for name, required in fields.items() if required or name == "run"}


@pytest.mark.parametrize("row", [row for row in (*OPERATIONS, *PAGES) if names_a_run(row) and key_of(row) != "POST /gc"], ids=ids)
def test_runs_of_other_projects_are_not_there(world: tuple[World, TestClient], row: Operation | Page) -> None:
    named = {} if "{run}" in row.path else {"run": THEIRS}
    form = {"data": {**named, **FORMS.get(key_of(row), {})}} if isinstance(row, Page) and row.form is not None else {}
    answer = ask(world, row, run=THEIRS, token=TOKENS["admin"], params=query_of(row, THEIRS), **form)
    assert answer.status_code == 404


@pytest.mark.parametrize("row", [row for row in (*OPERATIONS, *PAGES) if row.method == "GET" and key_of(row) not in STREAMING], ids=ids)
def test_nothing_that_is_answered_names_them(world: tuple[World, TestClient], row: Operation | Page) -> None:
    answer = ask(world, row, token=TOKENS["admin"], params=query_of(row, MINE))
    text = answer.text  # type: ignore[attr-defined]
    assert answer.status_code < 500, text
    assert THEIRS not in text and "theirs-flow" not in text and "theirs-model" not in text


@pytest.mark.parametrize("row", [row for row in (*OPERATIONS, *PAGES) if row.method == "GET" and "{" in row.path], ids=ids)
def test_names_of_theirs_lead_to_nothing(world: tuple[World, TestClient], row: Operation | Page) -> None:
    """A pipeline, a digest, a key of theirs, asked for through a run of one's own where a run is to be named."""
    answer = ask(world, row, run=THEIRS, token=TOKENS["admin"], params=query_of(row, MINE))
    text = answer.text  # type: ignore[attr-defined]
    secrets = [THEIRS, "made by"]
    assert answer.status_code < 500, text
    assert [
        secret
        for secret in secrets
        if secret in text.replace(f"there is no run &#39;{THEIRS}&#39;", "").replace(f"there is no run '{THEIRS}'", "")
    ] == []


@pytest.mark.parametrize("row", [row for row in PAGES if row.method == "POST" and not row.public], ids=ids)
def test_a_form_without_its_token_is_refused(world: tuple[World, TestClient], row: Page) -> None:
    with signed_in(world[1]) as form_token:
        answer = ask(world, row, data={"x": "1"})
        assert (answer.status_code, "not from a page of your session" in answer.text) == (403, True)  # type: ignore[attr-defined]
        for data in ({"csrf": form_token[:-1]}, {"csrf": ""}):
            assert ask(world, row, data=data).status_code == 403
        for headers in (
            {"sec-fetch-site": "same-site"},
            {"sec-fetch-site": "cross-site"},
            {"origin": "http://server:81"},
            {"origin": "null"},
        ):
            assert ask(world, row, data={"csrf": form_token}, headers=headers).status_code == 403


@pytest.mark.parametrize("row", [row for row in OPERATIONS if row.method != "GET"], ids=ids)
def test_a_session_writes_by_the_api_only_with_its_token(world: tuple[World, TestClient], row: Operation) -> None:
    with signed_in(world[1]) as form_token:
        answer = ask(world, row)
        assert (answer.status_code, answer.json()["detail"]) == (403, "this form is not from a page of your session")  # type: ignore[attr-defined]
        if row.path not in ("/gc", "/session-code"):
            spelled = {"headers": {"x-csrf-token": form_token}, "run": "20260101-000000-none0"}
            assert b"not from a page of your session" not in ask(world, row, **spelled).content  # type: ignore[attr-defined]
