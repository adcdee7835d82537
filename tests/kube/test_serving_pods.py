"""Replicas and gateways as pods of a bare image, which get all that they need from the server of their namespace, and are kept."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from fairway.kube import serving_manifests
from fairway.kube.serving_diagnose import is_ready
from fairway.kube.serving_manifests import SERVES
from fairway.spec.endpoint import Scaling, ServeSpec
from fairway.spec.record import replace, to_plain
from fairway.store.serverapi import ServerApi
from tests.kube.semantics.rig import Campus
from tests.kube.servingrig import Serving, endpoint_of
from tests.waiting import find_files


@pytest.fixture(scope="module")
def campus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campus]:
    made = Campus(tmp_path_factory.mktemp("campus"))
    yield made
    made.close()


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else every pod of these tests takes its leave for five seconds."""
    monkeypatch.setattr(serving_manifests, "NOTICE_S", 1)


def test_a_script_is_served_by_pods_of_a_bare_image_that_get_everything_from_the_server(campus: Campus, tmp_path: Path) -> None:
    async def story() -> None:
        async with Serving(campus, tmp_path) as serving:
            await serving.put(endpoint_of(ServeSpec("score.py", serving.script(7))))
            await serving.until(lambda: serving.replicas(1))
            for front in await serving.fronts():
                status, text = await serving.ask(front, "POST", "/risk/score", {"x": 1})
                assert (status, json.loads(text)) == (200, {"version": 7, "got": {"x": 1}})
            (replica,) = serving.replicas(1)
            assert replica.cold_start_s > 0 and replica.where.startswith(replica.id)
            lines = await serving.fleet.logs("risk")
            assert any(line.startswith(replica.id) for line in lines)

    asyncio.run(story())


def test_a_gateways_own_port_asks_for_the_token_of_the_secret(campus: Campus, tmp_path: Path) -> None:
    async def story() -> None:
        async with Serving(campus, tmp_path) as serving:
            await serving.put(endpoint_of(ServeSpec("score.py", serving.script(1))))
            for front in await serving.fronts():
                admin = front.replace(":8080", ":8082")
                assert (await serving.ask(admin, "GET", "/state", token="guessed"))[0] == 401
                assert (await serving.ask(admin, "GET", "/state", token=serving.gateways.token))[0] == 200

    asyncio.run(story())


def test_the_first_request_starts_a_pod_where_none_runs_and_is_answered(campus: Campus, tmp_path: Path) -> None:
    async def story() -> None:
        async with Serving(campus, tmp_path) as serving:
            await serving.put(endpoint_of(ServeSpec("score.py", serving.script(3)), scaling=Scaling(0, 4, idle_s=1.0, window_s=1.0)))
            (front, _) = await serving.fronts()
            assert serving.replicas(state="") == []
            answers = await asyncio.gather(*(serving.ask(front, "POST", "/risk/score", {"x": n}) for n in range(20)))
            assert [(status, json.loads(text)["got"]["x"]) for status, text in answers] == [(200, n) for n in range(20)]
            await serving.until(lambda: not serving.replicas(state=""))

    asyncio.run(story())


def test_a_change_of_revision_loses_no_request_and_nor_does_a_change_of_the_pods_of_one(campus: Campus, tmp_path: Path) -> None:
    """Two replicas of revision 1, then of revision 2; then the pods of revision 2 are replaced, as an upgrade of the server does."""

    async def story() -> None:
        async with Serving(campus, tmp_path) as serving:
            first, second = (ServeSpec("score.py", serving.script(number)) for number in (1, 2))
            await serving.put(endpoint_of(first, scaling=Scaling(2, 4)))
            await serving.until(lambda: len(serving.replicas(1)) == 2)
            await serving.fronts()
            load = Load(serving)
            callers = [asyncio.create_task(load.run()) for _ in range(4)]
            await load.answered_by(1)
            await serving.put(endpoint_of(first, second, scaling=Scaling(2, 4), traffic=2))
            await load.answered_by(2)
            await serving.until(lambda: not serving.replicas(1, state=""))

            before = {one.id for one in serving.replicas(2)}
            serving.fleet.link = replace(serving.fleet.link, blobs_url=serving.fleet.link.blobs_url + "/")
            found = await serving.endpoints.find_endpoint("risk")
            assert found is not None
            await serving.put(replace(found, scaling=Scaling(2, 5)))
            await serving.until(lambda: len(serving.replicas()) == 2 and not before & {one.id for one in serving.replicas(state="")})
            load.stop()
            await asyncio.gather(*callers)
            assert load.failures == []
            assert load.counts[1] > 20 and load.counts[2] > 20

    asyncio.run(story())


def test_a_pod_that_is_evicted_fails_nothing_and_one_that_is_killed_what_it_has_in_hand(campus: Campus, tmp_path: Path) -> None:
    async def story() -> None:
        async with Serving(campus, tmp_path) as serving:
            await serving.put(endpoint_of(ServeSpec("score.py", serving.script(1)), scaling=Scaling(2, 4)))
            await serving.until(lambda: len(serving.replicas(1)) == 2)
            await serving.fronts()
            load = Load(serving)
            callers = [asyncio.create_task(load.run()) for _ in range(4)]
            await load.answered_by(1)
            evicted, killed = (one.id for one in serving.replicas(1))
            await serving.client.delete("Pod", evicted)
            await serving.until(lambda: evicted not in {one.id for one in serving.replicas(state="")} and len(serving.replicas(1)) == 2)
            await load.answered_by(1)
            assert load.failures == []
            await asyncio.to_thread(campus.cluster.call, lambda: campus.cluster.mishaps.kill_process(killed))
            wanted = load.counts[1] + 30
            await serving.until(lambda: load.counts[1] > wanted and len(serving.replicas(1)) == 2)
            load.stop()
            await asyncio.gather(*callers)
            assert len(load.failures) <= 4 and all(one.startswith("502") for one in load.failures), load.failures

    asyncio.run(story())


class Load:
    """Callers of the gateway's Service."""

    def __init__(self, serving: Serving) -> None:
        self.serving, self.address = serving, serving.service
        self.counts: dict[int, int] = {1: 0, 2: 0}
        self.failures: list[str] = []
        self._stopped = False

    async def run(self) -> None:
        while not self._stopped:
            try:
                status, text = await self.serving.ask(self.address, "POST", "/risk/score", {"x": 1})
            except (OSError, ValueError, IndexError, TimeoutError) as error:
                self.failures.append(repr(error))
                continue
            if status == 200:
                self.counts[json.loads(text)["version"]] += 1
            else:
                self.failures.append(f"{status} {text}")

    async def answered_by(self, revision: int) -> None:
        """Until so many more answers came from it."""
        wanted = self.counts[revision] + 30
        await self.serving.until(lambda: self.counts[revision] >= wanted or self.failures)
        assert not self.failures, self.failures[:3]

    def stop(self) -> None:
        self._stopped = True


def test_a_cluster_goes_on_answering_while_its_server_is_killed(campus: Campus, tmp_path: Path) -> None:
    """By the server's own API and its own keeper; the next server finds everything as it was."""
    serving = Serving(campus, tmp_path)
    (token,) = (campus.config / "tokens").iterdir()
    api = ServerApi(f"http://{serving.server}:8080", token.read_text().strip(), patience_s=60)
    spec = to_plain(ServeSpec("score.py", serving.script(5)))
    made = api.send("POST", "/endpoints", {"name": "risk", "spec": spec, "settings": {"is_open": True}})

    def view() -> Any:
        return api.get("/endpoints/risk")

    def wait_until_ready() -> None:
        campus.cluster.wait(
            lambda: any(is_ready(pod) for pod in campus.cluster.list("Pod") if SERVES in pod["metadata"]["labels"]), timeout_s=60
        )
        until = time.monotonic() + 60
        while view()["state"] != "ready":
            assert time.monotonic() < until, view()

    assert made["revision"] == 1
    wait_until_ready()
    said = campus.fairway("export", "--endpoint", "risk", "--on", "campus")
    exported = list(yaml.safe_load_all(said.stdout))
    assert {"Deployment", "Service", "ConfigMap"} <= {one["kind"] for one in exported} and not any("status" in one for one in exported)
    for one in exported:
        kubernetes_validate.validate(one, "1.36", strict=True)
    status, text = asyncio.run(serving.ask(serving.service, "POST", "/risk/feedback", {"id": "a1", "label": 1}))
    assert status == 200, text
    kept = [json.loads(line) for path in find_files(campus.folder, "serve/spool/risk/feedback-*.jsonl") for line in path.open()]
    assert [(one["id"], one["label"]) for one in kept] == [("a1", 1)], "on the server's volume before it is acknowledged"
    (server,) = [pod for pod in campus.cluster.list("Pod") if SERVES not in pod["metadata"]["labels"]]
    campus.cluster.call(lambda: campus.cluster.mishaps.kill_process(server["metadata"]["name"]))
    status, text = asyncio.run(serving.ask(serving.service, "POST", "/risk/score", {"x": 4}))
    assert (status, json.loads(text)) == (200, {"version": 5, "got": {"x": 4}})
    before = {pod["metadata"]["name"] for pod in campus.cluster.list("Pod") if SERVES in pod["metadata"]["labels"]}
    wait_until_ready()
    assert {pod["metadata"]["name"] for pod in campus.cluster.list("Pod") if SERVES in pod["metadata"]["labels"]} == before
    api.send("DELETE", "/endpoints/risk")
    campus.cluster.wait(lambda: not any(SERVES in one["metadata"]["labels"] for one in campus.cluster.list("Deployment")), timeout_s=60)
