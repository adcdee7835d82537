"""Replicas and gateways as pods of a bare image, which get all that they need from the server of their namespace."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairway.kube import serving_manifests
from fairway.spec.endpoint import ServeSpec
from tests.kube.semantics.rig import Campus
from tests.kube.servingrig import Serving, endpoint_of, table_of


@pytest.fixture(scope="module")
def campus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campus]:
    made = Campus(tmp_path_factory.mktemp("campus"))
    yield made
    made.close()


def test_a_script_is_served_by_pods_of_a_bare_image_that_get_everything_from_the_server(campus: Campus, tmp_path: Path) -> None:
    async def story() -> None:
        async with Serving(campus, tmp_path) as serving:
            endpoint = endpoint_of(ServeSpec("score.py", serving.script(7)))
            await serving.fleet.apply(endpoint, endpoint.revisions[0], 1)
            (replica,) = await serving.ready(1, 1)
            status, text = await serving.ask(replica.address, "POST", "/score", {"x": 1})
            assert (status, json.loads(text)) == (200, {"version": 7, "got": {"x": 1}})
            assert replica.cold_start_s > 0 and replica.where.startswith(replica.id)
            lines = await serving.fleet.logs("risk")
            assert any(line.startswith(replica.id) for line in lines)
            await serving.fleet.remove("risk")
            await serving.until(lambda seen: all(one.state == "draining" for one in seen))

    asyncio.run(story())


def test_a_gateway_takes_its_table_by_its_admin_port_and_asks_for_the_token(campus: Campus, tmp_path: Path) -> None:
    async def story() -> None:
        async with Serving(campus, tmp_path) as serving:
            endpoint = endpoint_of(ServeSpec("score.py", serving.script(1)))
            await serving.fleet.apply(endpoint, endpoint.revisions[0], 1)
            await serving.gateway.apply([endpoint], table_of([], {1: 100.0}, 1))
            replicas = await serving.ready(1, 1)
            while len(serving.gateway.admins()) < 2:  # more than one replica may run: so there are two gateways
                await serving.gateway.wait(10)
            table = table_of(replicas, {1: 100.0}, 2)
            await until_answers(serving, serving.gateway.admins())
            status, _ = await serving.ask(serving.gateway.admins()[0], "PUT", "/table", table, token="guessed")
            assert status == 401
            await serving.push(table)
            for address in serving.gateway.admins():
                front = address.replace(":8082", ":8080")
                status, text = await serving.ask(front, "POST", "/risk/score", {"x": 2})
                assert (status, json.loads(text)["got"]) == (200, {"x": 2})
            await serving.fleet.remove("risk")
            await serving.gateway.apply([], {})

    asyncio.run(story())


def test_a_change_of_revision_loses_no_request_and_nor_does_a_change_of_the_pods_of_one(
    campus: Campus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two replicas of revision 1; then of revision 2, and revision 1 goes; then the pods of revision 2 are replaced, as an upgrade does."""
    monkeypatch.setattr(serving_manifests, "NOTICE_S", 1)  # else three generations of pods take their leave for five seconds each

    async def story() -> None:
        async with Serving(campus, tmp_path) as serving:
            specs = [ServeSpec("score.py", serving.script(number)) for number in (1, 2)]
            endpoint = endpoint_of(*specs)
            await serving.fleet.apply(endpoint, endpoint.revisions[0], 2)
            await serving.gateway.apply([endpoint], table_of([], {1: 100.0}, 1))
            await serving.ready(1, 2)
            while len(serving.gateway.admins()) < 2:
                await serving.gateway.wait(10)
            await until_answers(serving, serving.gateway.admins())
            keeper = Keeper(serving, {1: 100.0})
            keeping = asyncio.create_task(keeper.run())
            await keeper.pushed.wait()
            load = Load(serving)
            callers = [asyncio.create_task(load.run()) for _ in range(4)]
            await load.answered_by(1)

            await serving.fleet.apply(endpoint, endpoint.revisions[1], 2)
            await serving.ready(2, 2)
            keeper.traffic = {2: 100.0}
            await load.answered_by(2)
            await serving.fleet.apply(endpoint, endpoint.revisions[0], 0)
            await serving.until(lambda seen: not [one for one in seen if one.revision == 1])

            before = {one.id for one in await serving.ready(2, 2)}
            serving.fleet.settings.target.pull_secrets = ("another",)  # something of the template, as an upgrade of the server changes it
            await serving.fleet.apply(endpoint, endpoint.revisions[1], 2)
            await serving.until(lambda seen: len(seen) == 2 and not before & {one.id for one in seen if one.state == "ready"})
            load.stop()
            await asyncio.gather(*callers)
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            await serving.fleet.remove("risk")
            await serving.gateway.apply([], {})
            assert load.failures == []
            assert load.counts[1] > 20 and load.counts[2] > 20

    asyncio.run(story())


class Keeper:
    """What the keeper does: it tells the gateways of every change of the replicas."""

    def __init__(self, serving: Serving, traffic: dict[int, float]) -> None:
        self.serving, self.traffic = serving, traffic
        self.pushed = asyncio.Event()

    async def run(self) -> None:
        version, last = 10, None
        while True:
            table = table_of(await self.serving.fleet.observe(), self.traffic, 0)
            if table != last:
                last, version = table, version + 1
                await self.serving.push({**table, "version": version})
                self.pushed.set()
            await self.serving.fleet.wait(0.05)


class Load:
    """Callers of the gateway's Service."""

    def __init__(self, serving: Serving) -> None:
        self.serving = serving
        self.counts: dict[int, int] = {1: 0, 2: 0}
        self.failures: list[str] = []
        self._stopped = False
        service = serving.campus.cluster.find("Service", "fairway-gateway")
        assert service is not None
        self._address = f"{service['spec']['clusterIP']}:80"

    async def run(self) -> None:
        while not self._stopped:
            try:
                status, text = await self.serving.ask(self._address, "POST", "/risk/score", {"x": 1})
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
        while self.counts[revision] < wanted and not self.failures:
            await asyncio.sleep(0)
        assert not self.failures, self.failures[:3]

    def stop(self) -> None:
        self._stopped = True


async def until_answers(serving: Serving, addresses: list[str]) -> None:
    """Until each admin port is open."""
    for address in addresses:
        while True:
            try:
                if (await serving.ask(address, "GET", "/health"))[0] == 200:
                    break
            except OSError:
                await asyncio.sleep(0.02)
