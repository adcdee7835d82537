"""Captured traffic of a server: handed in by a gateway elsewhere, gathered there, read from here by who may see it."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fairway as fw
from fairway.errors import NotFoundError
from fairway.kube.serving_boot import SPOOL
from fairway.kube.serving_gateway import GATEWAY_ID
from fairway.serve.feedback.remote import RemoteSpool
from fairway.spec.tokens import digest_token, make_user_token, sign_token
from tests.waiting import await_true
from tests.web.process import KEY, ServerProcess

HER, HIS = make_user_token("her"), make_user_token("his")


@pytest.fixture(params=["with pyarrow", "without"])
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    made = ServerProcess(tmp_path / "server")
    for name, token, project in (("her", HER, "shop"), ("his", HIS, "bank")):
        kept = {"digest": digest_token(token), "role": "view", "projects": [project]}
        (made.folder / "secrets" / f"token.{name}").write_text(json.dumps(kept))
    if request.param == "without":
        (tmp_path / "shim").mkdir()
        (tmp_path / "shim" / "pyarrow.py").write_text("raise ModuleNotFoundError(\"No module named 'pyarrow'\", name='pyarrow')")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "shim"))
    made.start()
    try:
        yield made
    finally:
        made.stop()


def hand_in(server: ServerProcess, folder: Path) -> None:
    spool = RemoteSpool(f"{server.url}{SPOOL}", sign_token(KEY, GATEWAY_ID, time.time() + 600), str(folder))
    spool.write("risk", {"id": "a", "at": time.time(), "revision": 1, "status": 200, "request": b'[{"x": 1}]', "answer": b"[3]"})
    spool.close_now()
    assert spool.counts.written == 1


def test_traffic_of_a_server_is_read_by_who_may_see_its_project(
    server: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAIRWAY_TOKEN", server.token)
    project = tmp_path / "project"
    project.mkdir()
    (project / "fairway.toml").write_text(server.settings())
    monkeypatch.chdir(project)
    with pytest.raises(NotFoundError, match="is kept at campus"):
        fw.traffic("risk", on="campus")
    hand_in(server, tmp_path / "gateway")
    spec = {"source": "m", "package": {"digest": "0" * 64, "size_bytes": 1, "format": "dir"}}
    settings = {"scaling": {"minimum": 0}, "capture": {"share": 1.0}}
    server.api.send("POST", "/endpoints", {"name": "risk", "project": "shop", "spec": spec, "settings": settings})

    def traffic() -> Any:
        with contextlib.suppress(NotFoundError):
            return fw.traffic("risk", on="campus")

    await_true(traffic, "the traffic never came")
    data = traffic()
    assert [(row["id"], row["answer"]) for row in data.table().to_pylist()] == [("a", "[3]")]
    monkeypatch.setenv("FAIRWAY_TOKEN", HER)
    assert fw.traffic("risk", on="campus").table().num_rows == 1
    monkeypatch.setenv("FAIRWAY_TOKEN", HIS)
    with pytest.raises(NotFoundError, match="is kept at campus"):
        fw.traffic("risk", on="campus")
    server.api.send("DELETE", "/endpoints/risk")  # with it goes the gateway
