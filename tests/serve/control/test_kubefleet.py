"""Replicas in an emulated cluster. Their image's `python3` is a program that answers as an inference server does, and does what the
revision's options say: `{"does": "crash"}`, `{"does": "load"}` (for ever), `{"does": "hang"}` (once there is a file "program.py.hang")."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from fairway.cli.endpointlog import split_line
from fairway.errors import UnsupportedError
from fairway.kube.client import KubeClient
from fairway.kube.manifests import Link
from fairway.kube.target import ClusterSettings
from fairway.serve.control.fleet import Replica
from fairway.serve.control.kubefleet import KubeFleet
from fairway.spec.endpoint import Endpoint, Revision, Scaling, ServeSpec
from fairway.spec.record import replace
from fairway.spec.target import TargetSettings
from fairway.testing.contracts.fleet import FleetContract, FleetSubject
from tests.kube.emulator import Emulator, Image
from tests.kube.emulator.kinds import POD
from tests.serve.control.images import make_image

Object = dict[str, Any]
IMAGE = "serves:1"
NAME = "fairway-ep-risk-1"
SERVER = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "fairway"}, "spec": {"ports": [{"port": 8080}]}}
SETTINGS = ClusterSettings(TargetSettings("campus", "kubernetes", image=IMAGE), "default")
LINK = Link("http://10.0.0.1:8080", "http://10.0.0.1:8081", "ab" * 32)
PROGRAM = """import json, os, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
does = json.loads(os.environ["FAIRWAY_SERVE"]).get("options", {}).get("does", "")
print("loading the model", flush=True)
if does == "crash": sys.exit("ValueError: the model is broken")
if does == "bad": sys.exit("ValueError: no weights at hand")
class Handler(BaseHTTPRequestHandler):
    asked = 0
    def log_message(self, *_): pass
    def do_GET(self):
        if does == "hang" and self.path == "/health/live": Handler.asked += 1
        if does == "hang" and Handler.asked > 2 and os.path.exists(__file__ + ".hang"): return self.send_response(500) or self.end_headers()
        self.send_response(503 if does == "load" and self.path == "/health/ready" else 200); self.end_headers()
ThreadingHTTPServer((os.environ["FAIRWAY_HOST"], 8080), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Image]:
    return [make_image(tmp_path_factory.mktemp("images"), IMAGE, PROGRAM)]


@pytest.fixture
def cluster(tmp_path: Path, images: list[Image]) -> Iterator[Emulator]:
    with _cluster(tmp_path, images) as made:
        yield made


def _cluster(folder: Path, images: list[Image], **more: Any) -> Emulator:
    return Emulator(folder / "cluster", images=images, **more)


def play(cluster: Emulator, story: Callable[[KubeFleet], Awaitable[None]]) -> None:
    """Have a fleet in the cluster for as long as the story goes on."""

    async def run() -> None:
        client = KubeClient.connect(kubeconfig=str(cluster.kubeconfig), requests_per_s=1000.0)
        if cluster.find("Service", "fairway") is None:
            service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "fairway"}, "spec": {"ports": [{"port": 8080}]}}
            await client.create(service)
        settings = ClusterSettings(TargetSettings("campus", "kubernetes", image=IMAGE), "default")
        fleet = KubeFleet(
            client, settings, link=Link("http://10.0.0.1:8080", "http://10.0.0.1:8081", "ab" * 32), sign=lambda id: f"w1.{id}.9.a"
        )
        try:
            async with asyncio.timeout(60):
                await fleet.start()
                await story(fleet)
        finally:
            await fleet.close()
            await client.close()

    asyncio.run(run())


async def until(fleet: KubeFleet, holds: Callable[[Sequence[Replica]], Any]) -> Sequence[Replica]:
    while True:
        seen = await fleet.observe()
        if holds(seen):
            return seen
        await fleet.wait(5)


def ready(number: int) -> Callable[[Sequence[Replica]], Any]:
    return lambda seen: [one.state for one in seen] == ["ready"] * number


def endpoint(scaling: Scaling | None = None, *, expose: Object | None = None, does: str = "", **spec: Any) -> Endpoint:
    options = {"does": does} if does else {}
    made = ServeSpec("winner", {"digest": "cd" * 32, "size_bytes": 1, "format": "model"}, options=options, **spec)
    return Endpoint("risk", revisions=(Revision(1, made),), scaling=scaling or Scaling(), expose=expose or {})


def deployment(cluster: Emulator) -> Object:
    found = cluster.find("Deployment", NAME)
    assert found is not None
    return found


def test_replicas_come_and_are_told_with_their_addresses(cluster: Emulator) -> None:
    async def story(fleet: KubeFleet) -> None:
        one = endpoint()
        await fleet.apply(one, one.revisions[0], 2)
        seen = await until(fleet, ready(2))
        assert {each.address for each in seen} == {f"{pod['status']['podIP']}:8080" for pod in cluster.list("Pod")}
        assert all(each.grpc.endswith(":8081") and each.cold_start_s > 0 and (each.endpoint, each.revision) == ("risk", 1) for each in seen)

    play(cluster, story)


def test_a_replica_is_ready_when_it_says_so_and_not_when_its_kubelet_looks_again(tmp_path: Path, images: list[Image]) -> None:
    with _cluster(tmp_path, images, pace=1000.0) as slow:  # a second of a probe's period takes a quarter of an hour

        async def story(fleet: KubeFleet) -> None:
            one = endpoint()
            await fleet.apply(one, one.revisions[0], 1)
            await until(fleet, ready(1))

        play(slow, story)


def test_one_that_loads_is_not_ready(cluster: Emulator) -> None:
    async def story(fleet: KubeFleet) -> None:
        one = endpoint(does="load")
        await fleet.apply(one, one.revisions[0], 1)
        await until(fleet, lambda seen: seen and cluster.find("Pod", seen[0].id)["status"]["phase"] == "Running")  # type: ignore[index]
        async with asyncio.timeout(60):
            while not any("loading" in line for line in await fleet.logs("risk")):
                await fleet.wait(0.05)
        assert [each.state for each in await fleet.observe()] == ["starting"]
        replica, when, text = split_line((await fleet.logs("risk"))[0])
        assert replica.startswith("fairway-") and len(when) == 24 and "loading" in text

    play(cluster, story)


def test_what_stands_as_it_should_is_not_written_again(cluster: Emulator) -> None:
    async def story(fleet: KubeFleet) -> None:
        one = endpoint()
        await fleet.apply(one, one.revisions[0], 1)
        await until(fleet, ready(1))
        before = dict(fleet.client.requests)
        await fleet.apply(one, one.revisions[0], 1)
        assert dict(fleet.client.requests) == before

    play(cluster, story)


def test_one_that_goes_is_draining_from_the_first_moment_and_keeps_its_address(cluster: Emulator) -> None:
    async def story(fleet: KubeFleet) -> None:
        one = endpoint()
        await fleet.apply(one, one.revisions[0], 1)
        (before,) = await until(fleet, ready(1))
        await fleet.apply(one, one.revisions[0], 0)
        (after,) = await until(fleet, lambda seen: seen and seen[0].state == "draining")
        assert after.address == before.address

    play(cluster, story)


def test_the_next_fleet_finds_everything_and_writes_nothing_anew(cluster: Emulator) -> None:
    async def first(fleet: KubeFleet) -> None:
        one = endpoint()
        await fleet.apply(one, one.revisions[0], 1)
        await until(fleet, ready(1))

    async def second(fleet: KubeFleet) -> None:
        one = endpoint()
        before = await until(fleet, ready(1))
        generation = deployment(cluster)["metadata"]["generation"]
        await fleet.apply(one, one.revisions[0], 1)
        assert [each.id for each in await fleet.observe()] == [each.id for each in before]
        assert deployment(cluster)["metadata"]["generation"] == generation

    play(cluster, first)
    play(cluster, second)


def test_what_somebody_deleted_or_scaled_is_made_again(cluster: Emulator) -> None:
    async def story(fleet: KubeFleet) -> None:
        one = endpoint()
        await fleet.apply(one, one.revisions[0], 1)
        await until(fleet, ready(1))
        await fleet.client.patch("Deployment", NAME, {"spec": {"replicas": 3}})
        await until(fleet, ready(3))
        await fleet.apply(one, one.revisions[0], 1)
        assert deployment(cluster)["spec"]["replicas"] == 1
        await fleet.client.delete("Deployment", NAME)
        await until(fleet, lambda seen: all(each.state == "draining" for each in seen))
        await fleet.apply(one, one.revisions[0], 1)
        await until(fleet, lambda seen: any(each.state == "ready" for each in seen))

    play(cluster, story)


def test_removing_leaves_nothing(cluster: Emulator) -> None:
    async def story(fleet: KubeFleet) -> None:
        one = endpoint()
        await fleet.apply(one, one.revisions[0], 2)
        await until(fleet, ready(2))
        await fleet.remove("risk")
        await fleet.remove("risk")
        kinds = ("Deployment", "PodDisruptionBudget", "HorizontalPodAutoscaler")
        assert [each["metadata"]["name"] for kind in kinds for each in cluster.list(kind)] == []
        assert [each["metadata"]["name"] for each in cluster.list("Service")] == ["fairway"]

    play(cluster, story)


def test_all_of_it_goes_with_the_server(cluster: Emulator) -> None:
    """`fairway down` removes the Service; what belongs to it is the cluster's to remove."""

    async def story(fleet: KubeFleet) -> None:
        one = endpoint()
        await fleet.apply(one, one.revisions[0], 2)
        await until(fleet, ready(2))
        await fleet.client.delete("Service", "fairway")
        await until(fleet, lambda seen: not seen)
        kinds = ("Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy")
        assert [each["metadata"]["name"] for kind in kinds for each in cluster.list(kind)] == []

    play(cluster, story)


class _Owning(KubeFleet):
    """With a client of its own."""

    async def close(self) -> None:
        await super().close()
        await self.client.close()


class TestContract(FleetContract):
    @pytest.fixture
    def subject(self, cluster: Emulator) -> FleetSubject:
        async def open_fleet() -> KubeFleet:
            client = KubeClient.connect(kubeconfig=str(cluster.kubeconfig), requests_per_s=1000.0)
            if cluster.find("Service", "fairway") is None:
                await client.create(SERVER)
            fleet = _Owning(client, SETTINGS, link=LINK, sign=lambda id: f"w1.{id}.9.a")
            await fleet.start()
            return fleet

        async def kill(replica: Replica) -> None:
            await asyncio.to_thread(cluster.call, lambda: cluster.memory.delete(POD, "default", replica.id, grace_s=0))

        return FleetSubject(open_fleet, lambda kind: endpoint(does="" if kind == "good" else kind).revisions[0].spec, kill)


# Why not


def failing(cluster: Emulator, one: Endpoint) -> Replica:
    """The replica of the endpoint, once it has failed."""
    found: list[Replica] = []

    async def story(fleet: KubeFleet) -> None:
        await fleet.apply(one, one.revisions[0], 1)
        found.extend(await until(fleet, lambda seen: seen and any(each.state == "failed" for each in seen)))

    play(cluster, story)
    return next(one for one in found if one.state == "failed")


def test_a_program_that_ends_tells_its_last_line(cluster: Emulator) -> None:
    found = failing(cluster, endpoint(does="crash"))
    assert found.reason == "the process ended with exit code 1: ValueError: the model is broken"
    assert found.address == ""


def test_one_that_takes_too_much_memory_says_what_it_had(cluster: Emulator) -> None:
    async def story(fleet: KubeFleet) -> None:
        one = endpoint(resources={"cpu": 0.5, "memory_bytes": 1 << 30})
        await fleet.apply(one, one.revisions[0], 1)
        (before,) = await until(fleet, ready(1))
        cluster.call(lambda: cluster.mishaps.out_of_memory(before.id))
        (after,) = await until(fleet, lambda seen: seen and seen[0].state == "failed")
        assert "it had asked for 1 GiB" in after.reason and "--memory" in after.reason

    play(cluster, story)


def test_one_that_answers_no_more_is_killed_by_its_probe_and_says_so(cluster: Emulator, images: list[Image]) -> None:
    async def story(fleet: KubeFleet) -> None:
        one = endpoint(does="hang")
        await fleet.apply(one, one.revisions[0], 1)
        await until(fleet, ready(1))
        Path(images[0].python).with_name("program.py.hang").touch()
        await until(fleet, lambda seen: seen and seen[0].state == "failed" and "failed probe: Liveness" in seen[0].reason)

    play(cluster, story)


def test_an_image_that_cannot_be_pulled_says_what_the_registry_said(cluster: Emulator) -> None:
    async def story(fleet: KubeFleet) -> None:
        one = endpoint(image="ghcr.io/nobody/nothing:1")
        await fleet.apply(one, one.revisions[0], 1)
        (found,) = await until(fleet, lambda seen: seen and seen[0].reason)
        assert found.state == "starting" and "'ghcr.io/nobody/nothing:1' cannot be pulled" in found.reason

    play(cluster, story)


def test_no_node_with_room_says_so(cluster: Emulator) -> None:
    async def story(fleet: KubeFleet) -> None:
        one = endpoint(resources={"cpu": 900.0})
        await fleet.apply(one, one.revisions[0], 1)
        (found,) = await until(fleet, lambda seen: seen and seen[0].reason)
        assert "no node has room" in found.reason

    play(cluster, story)


def test_a_quota_that_lets_no_pod_be_made_is_told_though_there_is_none(cluster: Emulator) -> None:
    cluster.create({"kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"pods": "0"}}})
    found = failing(cluster, endpoint())
    assert found.id == NAME and "quota" in found.reason


# Who scales


@pytest.fixture
def metered(tmp_path: Path, images: list[Image]) -> Iterator[Emulator]:
    with _cluster(tmp_path, images, groups=("metrics.k8s.io", "serving.knative.dev", "serving.kserve.io")) as made:
        yield made


def test_where_metrics_are_an_autoscaler_sets_replicas_and_nobody_else(metered: Emulator) -> None:
    async def story(fleet: KubeFleet) -> None:
        one = endpoint(Scaling(2, 4))
        assert fleet.scales_itself(one) and "the cluster on CPU, aiming at 70 %" in fleet.scaled_by(one)
        await fleet.apply(one, one.revisions[0], 2)
        await until(fleet, ready(2))
        assert metered.find("HorizontalPodAutoscaler", NAME)["spec"]["minReplicas"] == 2  # type: ignore[index]
        metered.call(lambda: metered.memory.change(*_key(metered), lambda it: it["spec"].update(replicas=3)))  # as its controller does
        await until(fleet, ready(3))
        await fleet.apply(one, one.revisions[0], 2)
        assert deployment(metered)["spec"]["replicas"] == 3

        to_zero = replace(one, scaling=Scaling(0, 4))
        assert not fleet.scales_itself(to_zero) and fleet.scaled_by(to_zero) == ""
        await fleet.apply(to_zero, one.revisions[0], 1)
        assert metered.find("HorizontalPodAutoscaler", NAME) is None
        assert deployment(metered)["spec"]["replicas"] == 1

    play(metered, story)


def _key(cluster: Emulator) -> tuple[Any, str, str]:
    from tests.kube.emulator.kinds import DEPLOYMENT

    return DEPLOYMENT, "default", NAME


def test_an_endpoint_that_is_handed_over_keeps_its_replicas(metered: Emulator) -> None:
    async def story(fleet: KubeFleet) -> None:
        one = endpoint(Scaling(0, 4))
        await fleet.apply(one, one.revisions[0], 3)
        await until(fleet, ready(3))
        handed = replace(one, scaling=Scaling(1, 4))
        await fleet.apply(handed, one.revisions[0], 1)
        assert deployment(metered)["spec"]["replicas"] == 3, "the autoscaler begins with what is there"

    play(metered, story)


@pytest.mark.parametrize(
    ("scaling", "expose"), [(Scaling(0, 4), {}), (Scaling(2, 2), {}), (Scaling(1, 4), {"hpa": False})], ids=["zero", "fixed", "unwanted"]
)
def test_elsewhere_the_keeper_scales(metered: Emulator, scaling: Scaling, expose: Object) -> None:
    async def story(fleet: KubeFleet) -> None:
        assert not fleet.scales_itself(endpoint(scaling, expose=expose))

    play(metered, story)


def test_without_metrics_the_keeper_scales(cluster: Emulator) -> None:
    async def story(fleet: KubeFleet) -> None:
        assert not fleet.scales_itself(endpoint(Scaling(1, 4)))

    play(cluster, story)


def test_what_the_server_may_not_make_is_left_out_and_told(metered: Emulator) -> None:
    metered.faults.deny("*", "horizontalpodautoscalers")
    metered.faults.deny("*", "poddisruptionbudgets")

    async def story(fleet: KubeFleet) -> None:
        one = endpoint(Scaling(2, 4))
        await fleet.apply(one, one.revisions[0], 2)
        await until(fleet, ready(2))
        assert set(fleet.lacking) == {"HorizontalPodAutoscaler", "PodDisruptionBudget"}
        assert not fleet.scales_itself(one)
        await fleet.apply(one, one.revisions[0], 3)
        assert deployment(metered)["spec"]["replicas"] == 3

    play(metered, story)


def test_a_server_that_may_not_follow_deployments_says_so_and_serves(cluster: Emulator, capfd: pytest.CaptureFixture[str]) -> None:
    cluster.faults.deny("watch", "deployments")
    cluster.faults.deny("list", "deployments")

    async def story(fleet: KubeFleet) -> None:
        one = endpoint()
        await fleet.apply(one, one.revisions[0], 1)
        await until(fleet, ready(1))

    play(cluster, story)
    assert "Deployment objects are not followed" in capfd.readouterr().err


# Others


@pytest.mark.parametrize(("which", "name"), [("kserve", "KServe"), ("knative", "Knative Serving")])
def test_what_is_not_installed_is_refused_in_plain_words(cluster: Emulator, which: str, name: str) -> None:
    async def story(fleet: KubeFleet) -> None:
        one = endpoint(expose={"with": which})
        with pytest.raises(UnsupportedError, match=f"the cluster has no {name}"):
            await fleet.apply(one, one.revisions[0], 1)

    play(cluster, story)


@pytest.mark.parametrize(("which", "kind"), [("kserve", "InferenceService"), ("knative", "KnativeService")])
def test_what_is_installed_runs_the_revision_and_counts_as_one_replica_at_its_address(metered: Emulator, which: str, kind: str) -> None:
    async def story(fleet: KubeFleet) -> None:
        one = endpoint(Scaling(0, 4), expose={"with": which})
        assert fleet.scales_itself(one)
        await fleet.apply(one, one.revisions[0], 1)
        (found,) = await until(fleet, len)
        assert (found.state, metered.list("Deployment")) == ("starting", [])
        conditions = [{"type": "Ready", "status": "True"}]
        status = {"conditions": conditions, "address": {"url": f"http://{NAME}.default.svc.cluster.local"}}
        await fleet.client.patch(kind, NAME, {"status": status}, subresource="status")
        (found,) = await until(fleet, ready(1))
        assert found.address == f"{NAME}.default.svc.cluster.local:80"
        await fleet.remove("risk")
        await until(fleet, lambda seen: not seen)

    play(metered, story)
