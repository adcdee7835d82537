"""The gateways of an emulated cluster. Their image's `python3` is a program that takes tables at its admin port and tells its news."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fairway.errors import ConfigError
from fairway.kube.client import KubeClient
from fairway.kube.manifests import Link
from fairway.kube.target import ClusterSettings
from fairway.serve.control.changes import Doing, configure
from fairway.serve.control.kubegateways import KubeGateways, plan_gateway
from fairway.serve.gateway.service import host_of
from fairway.spec.endpoint import Endpoint, Limits, Revision, Scaling, ServeSpec
from fairway.spec.record import replace
from fairway.spec.target import TargetSettings
from tests.kube.emulator import Emulator, Image
from tests.serve.control.images import make_image
from tests.waiting import until

Object = dict[str, Any]
IMAGE = "gateway:1"
PROGRAM = """import http.server, json, os
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    table = {"version": -1}
    def log_message(self, *_): pass
    def say(self, status, text=b"{}"):
        self.send_response(status); self.send_header("content-length", str(len(text))); self.end_headers(); self.wfile.write(text)
    def do_GET(self):
        if self.path == "/health": return self.say(200)
        if self.headers.get("authorization") != "Bearer secret": return self.say(401)
        if self.path == "/state": return self.say(200, json.dumps({"table": Handler.table}).encode())
        self.send_response(200); self.send_header("transfer-encoding", "chunked"); self.end_headers()
        line = json.dumps({"table": Handler.table["version"], "at": 1.0}).encode() + b"\\n"
        self.wfile.write(b"%x\\r\\n%b\\r\\n" % (len(line), line))
        while True: self.rfile.read(1) or os._exit(0)
    def do_PUT(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("authorization") != "Bearer secret": return self.say(401)
        Handler.table = json.loads(body); self.say(200)
import threading
front = http.server.ThreadingHTTPServer((os.environ["FAIRWAY_HOST"], 8080), Handler)
threading.Thread(target=front.serve_forever, daemon=True).start()
http.server.ThreadingHTTPServer((os.environ["FAIRWAY_HOST"], 8082), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Image]:
    return [make_image(tmp_path_factory.mktemp("images"), IMAGE, PROGRAM)]


@pytest.fixture
def cluster(tmp_path: Path, images: list[Image]) -> Iterator[Emulator]:
    with Emulator(tmp_path / "cluster", images=images) as made:
        yield made


def play(cluster: Emulator, folder: Path, story: Callable[[KubeGateways], Awaitable[None]]) -> list[tuple[str, Object]]:
    """Have the gateways of the cluster for as long as the story goes on; what they told."""
    told: list[tuple[str, Object]] = []

    async def run() -> None:
        client = KubeClient.connect(kubeconfig=str(cluster.kubeconfig), requests_per_s=1000.0)
        if cluster.find("Service", "fairway") is None:
            await client.create(
                {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "fairway"}, "spec": {"ports": [{"port": 8080}]}}
            )
            secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "fairway-server"}, "data": {"gateway-key": "c2VjcmV0"}}
            await client.create(secret)
        settings = ClusterSettings(TargetSettings("campus", "kubernetes", image=IMAGE), "default")
        link = Link("http://10.0.0.1:8080", "http://10.0.0.1:8081", "ab" * 32)
        table = str(folder / "table.json")
        gateways = KubeGateways(client, settings, link=link, sign=lambda id: f"w1.{id}.9.a", token="secret", table_path=table)
        try:
            async with asyncio.timeout(60):
                await gateways.start(lambda name, news: told.append((name, news)))
                await story(gateways)
        finally:
            await gateways.close()
            await client.close()

    asyncio.run(run())
    return told


def endpoint(name: str = "risk", *, most: int = 1, **expose: Any) -> Endpoint:
    revision = Revision(1, ServeSpec("x", {}, limits=Limits(deadline_s=20.0)))
    return Endpoint(name, revisions=(revision,), traffic=((1, 100.0),), scaling=Scaling(1, most), expose=expose)


def table(version: int) -> bytes:
    return json.dumps({"version": version, "endpoints": {}}).encode()


async def state_of(gateways: KubeGateways) -> list[int]:
    """The versions of the tables that they have."""
    found = [await link.state() for link in list(gateways._links.values())]  # they come and go meanwhile
    return [state["table"]["version"] for state in found if state is not None]


def test_each_gateway_has_every_table_also_one_that_starts_later(cluster: Emulator, tmp_path: Path) -> None:
    async def story(gateways: KubeGateways) -> None:
        await gateways.publish([endpoint()], table(1))
        assert gateways.explain() and gateways.inner == ""
        await until(lambda: len(gateways.heard) == 1)
        assert gateways.explain() == "" and gateways.inner.endswith(":8080")
        await gateways.publish([endpoint(most=4)], table(2))
        await until(lambda: len(gateways.heard) == 2)

        async def have_it() -> bool:
            return await state_of(gateways) == [2, 2]

        await until(have_it)
        assert json.loads(cluster.find("ConfigMap", "fairway-gateway")["data"]["table.json"])["version"] == 2  # type: ignore[index]
        assert json.loads((tmp_path / "table.json").read_text())["version"] == 2

    told = play(cluster, tmp_path, story)
    assert {name for name, _ in told} == {pod["metadata"]["name"] for pod in cluster.list("Pod")}


def test_one_that_is_gone_is_told_of(cluster: Emulator, tmp_path: Path) -> None:
    async def story(gateways: KubeGateways) -> None:
        await gateways.publish([endpoint(most=4)], table(1))
        await until(lambda: len(gateways.heard) == 2)
        first = gateways.heard[0]
        await gateways.client.delete("Pod", first, grace_s=0)
        await until(lambda: len(gateways.heard) == 2 and first not in gateways.heard)

    told = play(cluster, tmp_path, story)
    assert [news for _, news in told if news.get("gone")], "its counts are not waited for any more"


def test_the_next_keeper_finds_them(cluster: Emulator, tmp_path: Path) -> None:
    async def first(gateways: KubeGateways) -> None:
        await gateways.publish([endpoint()], table(1))
        await until(lambda: gateways.heard)

    async def second(gateways: KubeGateways) -> None:
        await until(lambda: gateways.heard)
        assert await state_of(gateways) == [1]

    play(cluster, tmp_path, first)
    before = [pod["metadata"]["name"] for pod in cluster.list("Pod")]
    play(cluster, tmp_path, second)
    assert [pod["metadata"]["name"] for pod in cluster.list("Pod")] == before


def test_without_endpoints_nothing_is_left(cluster: Emulator, tmp_path: Path) -> None:
    async def story(gateways: KubeGateways) -> None:
        await gateways.publish([endpoint(most=4, **{"class": "nginx"})], table(1))
        await until(lambda: gateways.heard)
        await gateways.stop()
        kinds = ("Deployment", "ConfigMap", "PodDisruptionBudget", "Ingress")
        left = [one["metadata"]["name"] for kind in kinds for one in cluster.list(kind)]
        assert [name for name in left if name.startswith("fairway")] == []

    play(cluster, tmp_path, story)


def test_a_route_comes_and_goes_with_what_the_endpoint_asks(cluster: Emulator, tmp_path: Path) -> None:
    async def story(gateways: KubeGateways) -> None:
        one = endpoint(host="risk.example.org", **{"class": "nginx"})
        await gateways.publish([one, endpoint("churn")], table(1))
        assert [route["metadata"]["name"] for route in cluster.list("Ingress")] == ["fairway-ep-risk"]
        assert gateways.url(one) == "http://risk.example.org"
        assert gateways.url(endpoint("churn")) == "http://fairway-gateway.default.svc/churn"
        await gateways.publish([endpoint(), endpoint("churn")], table(2))
        assert cluster.list("Ingress") == []

    play(cluster, tmp_path, story)


def test_routes_of_endpoints_that_went_while_nobody_looked_go_too(cluster: Emulator, tmp_path: Path) -> None:
    async def first(gateways: KubeGateways) -> None:
        await gateways.publish([endpoint(**{"class": "nginx"})], table(1))

    async def second(gateways: KubeGateways) -> None:
        await gateways.publish([endpoint("churn")], table(2))
        assert cluster.list("Ingress") == []

    play(cluster, tmp_path, first)
    play(cluster, tmp_path, second)


def test_a_route_that_cannot_be_made_keeps_nothing_else_from_being_made(cluster: Emulator, tmp_path: Path) -> None:
    async def story(gateways: KubeGateways) -> None:
        await gateways.publish([endpoint(gateway="infra/public"), endpoint("churn", clas="x")], table(1))
        assert "no Gateway API" in gateways.troubles["risk"] and "'clas'" in gateways.troubles["churn"]
        assert "no Gateway API" in gateways.unexposed(endpoint()) and gateways.unexposed(endpoint("other")) == ""
        assert cluster.find("Deployment", "fairway-gateway") is not None

    play(cluster, tmp_path, story)


def test_what_cannot_be_is_refused_when_it_is_deployed() -> None:
    with pytest.raises(ConfigError, match="'clas'"):
        configure(endpoint(), Doing("ada", 1.0), expose={"clas": "nginx"})
    assert configure(endpoint(), Doing("ada", 1.0), expose={"class": "nginx"}).expose == {"class": "nginx"}


def test_a_right_that_is_missing_is_named_with_the_command_that_gives_it(cluster: Emulator, tmp_path: Path) -> None:
    cluster.faults.deny("*", "ingresses")

    async def story(gateways: KubeGateways) -> None:
        await gateways.publish([endpoint(**{"class": "nginx"})], table(1))
        assert (
            "may not make the Ingress fairway-ep-risk" in gateways.troubles["risk"]
            and "fairway up --on campus" in gateways.troubles["risk"]
        )

    play(cluster, tmp_path, story)


def test_what_somebody_deleted_is_made_again(cluster: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairway.serve.control.kubegateways._AGAIN_S", 0.0)

    async def story(gateways: KubeGateways) -> None:
        await gateways.publish([endpoint()], table(1))
        await gateways.client.delete("Deployment", "fairway-gateway")
        await gateways.look()
        assert cluster.find("Deployment", "fairway-gateway") is not None

    play(cluster, tmp_path, story)


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("unix:/tmp/risk.sock", b"fairway"),
        ("10.0.0.7:8080", b"fairway"),
        ("[fd00::7]:8080", b"fairway"),
        ("risk-1.team.svc.cluster.local:80", b"risk-1.team.svc.cluster.local"),
    ],
)
def test_what_goes_by_names_sees_its_own(address: str, host: bytes) -> None:
    assert host_of(address) == host


def test_two_gateways_where_an_endpoint_may_have_more_than_one_replica() -> None:
    assert plan_gateway([endpoint()], {}).replicas == 1
    plan = plan_gateway([endpoint(), endpoint(most=2, service="LoadBalancer", tls="cert")], {})
    assert (plan.replicas, plan.service, plan.tls, plan.longest_s) == (2, "LoadBalancer", "cert", 20.0)
    behind = replace(endpoint(), expose={"class": "nginx", "tls": "cert"})
    assert plan_gateway([behind], {}).tls == "", "that one is the Ingress's"
