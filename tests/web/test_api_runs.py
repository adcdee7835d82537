"""Runs through the API: started, listed, changed, stopped, gone on with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.web.rig import Server, started

RUN = "20261124-081503-x7kq3"


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


@pytest.fixture
def client(server: Server) -> Iterator[TestClient]:
    with server.client() as client:
        yield client


def test_a_run_is_started_and_driven(server: Server, client: TestClient) -> None:
    made = client.post("/runs", json=started(RUN, tags=("nightly",)))
    assert made.status_code == 201, made.text
    assert made.headers["location"] == f"/api/v1/runs/{RUN}"
    assert (made.json()["status"], made.json()["created_by"], made.json()["tags"]) == ("running", "ann", ["nightly"])
    assert server.host.driven == {RUN}
    seen = client.get(f"/runs/{RUN}").json()
    assert [(step["step"], step["status"]) for step in seen["steps"]] == [("load", "running"), ("train", "waiting")]
    assert seen["driven"] is True
