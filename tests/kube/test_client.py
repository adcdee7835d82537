"""The client, against the emulated API server: what it does, what it bears, how it refuses."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fairway.errors import (
    AdmissionRefused,
    ConfigError,
    ConflictError,
    FairwayError,
    ForbiddenError,
    InfraError,
    NotFoundError,
    QuotaExceeded,
)
from fairway.kube.client import KubeClient
from fairway.kube.config import ClientSettings
from fairway.kube.rights import Right
from tests.kube.emulator import Emulator
from tests.kube.emulator.rig import pod
from tests.kube.talk import config_map, settings, talk


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with Emulator(Path(tmp_path_factory.mktemp("client"))) as made:
        yield made


@pytest.fixture
def cluster(shared: Emulator) -> Iterator[Emulator]:
    yield shared
    shared.faults.clear()
    shared.authority.denied.clear()
    for one in shared.list("ConfigMap"):
        shared.call(lambda one=one: shared.memory.delete(_kind("ConfigMap"), shared.namespace, one["metadata"]["name"]))


def _kind(name: str) -> Any:
    from tests.kube.emulator.kinds import get_kind

    return get_kind(name)


def write_kubeconfig(folder: Path, port: int) -> Path:
    """A kubeconfig for an API server on a port of this machine that knows nobody."""
    path = folder / "config"
    cluster = f"{{name: c, cluster: {{server: 'http://127.0.0.1:{port}'}}}}"
    path.write_text(f"current-context: c\ncontexts: [{{name: c, context: {{cluster: c}}}}]\nclusters: [{cluster}]")
    return path


def refusal(cluster: Emulator, work: Any, **more: Any) -> FairwayError:
    with pytest.raises(FairwayError) as caught:
        talk(cluster, work, **more)
    return caught.value


def test_an_object_is_created_read_patched_and_deleted(cluster: Emulator) -> None:
    async def work(client: KubeClient) -> None:
        made = await client.create(config_map("a", x="1"))
        assert made["metadata"]["uid"]
        assert (await client.get("ConfigMap", "a"))["data"] == {"x": "1"}
        assert (await client.patch("ConfigMap", "a", {"data": {"x": None, "y": "2"}}))["data"] == {"y": "2"}
        assert await client.delete("ConfigMap", "a") is True
        assert await client.find("ConfigMap", "a") is None

    talk(cluster, work)


def test_what_is_not_there_is_not_found_or_none_and_deleting_it_is_no_error(cluster: Emulator) -> None:
    async def work(client: KubeClient) -> None:
        with pytest.raises(NotFoundError):
            await client.get("ConfigMap", "none")
        with pytest.raises(NotFoundError):
            await client.patch("ConfigMap", "none", {"data": {}})
        assert await client.find("ConfigMap", "none") is None
        assert await client.delete("ConfigMap", "none") is False

    talk(cluster, work)


def test_creating_what_is_there_is_a_conflict(cluster: Emulator) -> None:
    async def work(client: KubeClient) -> None:
        await client.create(config_map("a"))
        with pytest.raises(ConflictError):
            await client.create(config_map("a"))

    talk(cluster, work)


def test_applying_makes_changes_and_repeats_without_harm(cluster: Emulator) -> None:
    async def work(client: KubeClient) -> None:
        first = await client.apply(config_map("a", x="1", y="1"))
        again = await client.apply(config_map("a", x="1", y="1"))
        assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        changed = await client.apply(config_map("a", x="2"))
        assert changed["data"] == {"x": "2"}
        managers = [one["manager"] for one in changed["metadata"]["managedFields"]]
        assert managers == ["fairway"]

    talk(cluster, work)


def test_applying_takes_a_field_over_that_somebody_else_set_and_leaves_the_others(cluster: Emulator) -> None:
    async def work(client: KubeClient) -> None:
        await client.create(config_map("a", x="theirs", z="theirs"))
        assert (await client.apply(config_map("a", x="ours")))["data"] == {"x": "ours", "z": "theirs"}

    talk(cluster, work)


def test_a_dry_run_changes_nothing(cluster: Emulator) -> None:
    async def work(client: KubeClient) -> None:
        assert (await client.apply(config_map("a", x="1"), dry_run=True))["data"] == {"x": "1"}
        assert await client.find("ConfigMap", "a") is None

    talk(cluster, work)


def test_all_three_kinds_of_patches_are_spoken(cluster: Emulator) -> None:
    async def work(client: KubeClient) -> None:
        await client.create(config_map("a", x="1"))
        json_patch = [{"op": "add", "path": "/data/y", "value": "2"}]
        assert (await client.patch("ConfigMap", "a", json_patch, kind_of_patch="json"))["data"] == {"x": "1", "y": "2"}
        strategic = {"data": {"z": "3"}}
        assert (await client.patch("ConfigMap", "a", strategic, kind_of_patch="strategic"))["data"] == {"x": "1", "y": "2", "z": "3"}

    talk(cluster, work)


def test_a_subresource_is_patched_by_itself(cluster: Emulator) -> None:
    async def work(client: KubeClient) -> None:
        await client.create(pod("p", script="exec sleep 60"))
        condition = {"type": "fairway.dev/seen", "status": "True"}
        patch = {"status": {"conditions": [condition]}}
        patched = await client.patch("Pod", "p", patch, kind_of_patch="strategic", subresource="status")
        assert "fairway.dev/seen" in [one["type"] for one in patched["status"]["conditions"]]
        await client.delete("Pod", "p", grace_s=0)

    talk(cluster, work)


def test_only_the_object_of_that_uid_is_deleted(cluster: Emulator) -> None:
    async def work(client: KubeClient) -> None:
        uid = (await client.create(config_map("a")))["metadata"]["uid"]
        assert await client.delete("ConfigMap", "a", uid="another") is False
        assert await client.find("ConfigMap", "a") is not None
        assert await client.delete("ConfigMap", "a", uid=uid) is True

    talk(cluster, work)


def test_a_list_is_read_in_pages_and_selected_by_labels(cluster: Emulator) -> None:
    for number in range(1001):
        cluster.call(
            lambda n=number: cluster.memory.create(_kind("ConfigMap"), cluster.namespace, config_map(f"m{n}", labels={"odd": str(n % 2)}))
        )

    async def work(client: KubeClient) -> None:
        found = await client.list("ConfigMap", labels="odd")
        assert {one["metadata"]["name"] for one in found} == {f"m{n}" for n in range(1001)}
        assert {one["kind"] for one in found} == {"ConfigMap"}
        assert client.requests["list ConfigMap"] == 3
        assert len(await client.list("ConfigMap", labels="odd=1")) == 500

        rule = cluster.faults.answer(410, "list", "ConfigMap", after=1)  # between two pages
        assert len(await client.list("ConfigMap", labels="odd")) == 1001
        assert rule.met == 1

        await client.delete_all("ConfigMap", labels="odd")
        assert await client.list("ConfigMap", labels="odd") == []

    talk(cluster, work)


def test_a_collection_that_may_not_be_deleted_as_one_is_deleted_one_by_one(cluster: Emulator) -> None:
    cluster.faults.deny("deletecollection", "configmaps")

    async def work(client: KubeClient) -> None:
        await client.create(config_map("a", labels={"x": "1"}))
        await client.create(config_map("b"))
        await client.delete_all("ConfigMap", labels="x=1")
        assert await client.find("ConfigMap", "a") is None
        assert await client.find("ConfigMap", "b") is not None
        with pytest.raises(ConfigError):
            await client.delete_all("ConfigMap", labels="")

    talk(cluster, work)


@pytest.mark.parametrize("code", [429, 500, 503, 504])
def test_what_passes_is_tried_again(cluster: Emulator, code: int) -> None:
    rule = cluster.faults.answer(code, "*", "ConfigMap")
    assert talk(cluster, lambda client: client.create(config_map("a")))["metadata"]["name"] == "a"
    assert rule.met == 1


def test_a_creation_that_collides_over_a_quotas_bookkeeping_is_tried_again(cluster: Emulator) -> None:
    message = (
        'Operation cannot be fulfilled on resourcequotas "q": the object has been modified; please apply your changes to the latest version'
    )
    cluster.faults.refuse(message, 409, "create", "ConfigMap")
    assert talk(cluster, lambda client: client.create(config_map("a")))["metadata"]["name"] == "a"


def test_the_server_is_left_alone_for_as_long_as_it_asks(cluster: Emulator) -> None:
    cluster.faults.answer(429, "get", "ConfigMap", retry_after=1)

    async def work(client: KubeClient) -> float:
        began = asyncio.get_running_loop().time()
        await client.find("ConfigMap", "a")
        return asyncio.get_running_loop().time() - began

    assert talk(cluster, work) >= 1


def test_a_server_that_asks_for_more_than_the_patience_is_not_waited_for(cluster: Emulator) -> None:
    cluster.faults.answer(429, "get", "ConfigMap", times=9, retry_after=30)
    assert isinstance(refusal(cluster, lambda client: client.get("ConfigMap", "a"), patience_s=2.0), InfraError)


def test_a_lost_reply_to_something_repeatable_is_asked_for_again(cluster: Emulator) -> None:
    rule = cluster.faults.lose_reply("apply", "ConfigMap")
    assert talk(cluster, lambda client: client.apply(config_map("a", x="1")))["data"] == {"x": "1"}
    assert rule.met == 1


def test_a_lost_reply_to_a_creation_shows_as_a_conflict_never_as_a_second_object(cluster: Emulator) -> None:
    cluster.faults.lose_reply("create", "ConfigMap")
    assert isinstance(refusal(cluster, lambda client: client.create(config_map("a"))), ConflictError)
    nameless: dict[str, Any] = config_map("x")
    nameless["metadata"] = {"generateName": "made-"}
    cluster.faults.lose_reply("create", "ConfigMap")
    assert isinstance(refusal(cluster, lambda client: client.create(nameless)), InfraError)
    assert len([one for one in cluster.list("ConfigMap") if one["metadata"]["name"].startswith("made-")]) == 1


def test_a_server_that_does_not_answer_is_given_up_and_said_to_be_silent(cluster: Emulator) -> None:
    cluster.faults.hang("get", "ConfigMap", times=9)
    error = refusal(cluster, lambda client: client.get("ConfigMap", "a"), timeout_s=0.1, patience_s=0.1)
    assert isinstance(error, InfraError)
    assert "does not answer in time" in error.message


def test_a_cluster_that_cannot_be_reached_is_said_to_be_so_within_the_patience(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    path = write_kubeconfig(tmp_path, port)

    async def ask() -> None:
        client = KubeClient.from_settings(ClientSettings(kubeconfig=str(path), patience_s=0.0))
        try:
            await client.version()
        finally:
            await client.close()

    with pytest.raises(InfraError, match=f"http://127.0.0.1:{port} cannot be reached"):
        asyncio.run(ask())


def test_credentials_that_the_cluster_does_not_know_are_a_matter_of_settings(cluster: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(cluster.kubeconfig.read_text().replace(cluster.authority.admin_token, "stale"))

    async def ask() -> None:
        client = KubeClient.from_settings(ClientSettings(kubeconfig=str(path), patience_s=0.0))
        try:
            await client.get("ConfigMap", "a")
        finally:
            await client.close()

    with pytest.raises(ConfigError, match="does not know these credentials"):
        asyncio.run(ask())


def test_a_right_that_is_missing_comes_with_the_rule_that_gives_it(cluster: Emulator) -> None:
    cluster.faults.deny("create", "configmaps")
    error = refusal(cluster, lambda client: client.create(config_map("a")))
    assert isinstance(error, ForbiddenError)
    assert error.message.startswith("cannot create ConfigMap a: ")
    assert error.hint.endswith('{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]}')


def test_quotas_and_admission_are_told_apart_from_rights(cluster: Emulator) -> None:
    cluster.faults.refuse('pods "p" is forbidden: exceeded quota: team, requested: pods=1, used: pods=5, limited: pods=5')
    assert isinstance(refusal(cluster, lambda client: client.create(pod("p"))), QuotaExceeded)
    cluster.faults.refuse('pods "p" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true')
    assert isinstance(refusal(cluster, lambda client: client.create(pod("p"))), AdmissionRefused)
    cluster.faults.refuse('admission webhook "policy.example.org" denied the request: no')
    assert isinstance(refusal(cluster, lambda client: client.create(pod("p"))), AdmissionRefused)


def test_an_object_that_cannot_be_is_refused_with_the_servers_words(cluster: Emulator) -> None:
    error = refusal(cluster, lambda client: client.create(config_map("No_Good")))
    assert isinstance(error, ConfigError)
    assert error.message.startswith("cannot create ConfigMap No_Good: ")


def test_missing_rights_are_found_by_asking(cluster: Emulator) -> None:
    cluster.faults.deny("create", "pods")
    cluster.faults.deny("create", "pods/portforward")
    rights = [
        Right("create", "pods"),
        Right("get", "pods"),
        Right("create", "pods", subresource="portforward"),
        Right("list", "deployments", "apps"),
    ]
    missing = talk(cluster, lambda client: client.can(rights))
    assert [right.text for right in missing] == ["create pods", "create pods/portforward"]


def test_the_version_is_read(cluster: Emulator) -> None:
    assert talk(cluster, lambda client: client.version()) == (1, 36)


def test_requests_are_counted_by_verb_and_kind(cluster: Emulator) -> None:
    async def work(client: KubeClient) -> dict[str, int]:
        await client.apply(config_map("a"))
        await client.find("ConfigMap", "a")
        await client.list("Pod")
        return dict(client.requests)

    assert talk(cluster, work) == {"apply ConfigMap": 1, "get ConfigMap": 1, "list Pod": 1}


def test_a_log_is_read_followed_and_cut(cluster: Emulator) -> None:
    async def work(client: KubeClient) -> None:
        await client.create(pod("talks", script="echo one; echo two; read x < /dev/null; echo three"))
        async for change in client.watch("Pod", fields="metadata.name=talks"):
            if change.kind != "synced" and change.obj["status"].get("phase") in {"Running", "Succeeded"}:
                break
        followed = b"".join([piece async for piece in client.logs("talks", follow=True)])
        assert followed == b"one\ntwo\nthree\n"
        assert b"".join([piece async for piece in client.logs("talks", "main", tail=1)]) == b"three\n"
        with pytest.raises(NotFoundError):
            [piece async for piece in client.logs("none")]
        assert "Started" in [one["reason"] for one in await client.events("talks")]
        await client.delete("Pod", "talks", grace_s=0)

    talk(cluster, work)


def test_a_kind_that_is_not_known_is_named() -> None:
    from fairway.kube.kinds import get_kind, kind_of

    with pytest.raises(ConfigError, match="no Kubernetes kind 'Podd'"):
        get_kind("Podd")
    assert get_kind("NetworkPolicy").path("team", "a") == "/apis/networking.k8s.io/v1/namespaces/team/networkpolicies/a"
    assert get_kind("Node").path("team") == "/api/v1/nodes"
    assert get_kind("Pod").path("*") == "/api/v1/pods"
    assert (
        kind_of({"apiVersion": "kueue.x-k8s.io/v1beta2", "kind": "LocalQueue"}).path("t")
        == "/apis/kueue.x-k8s.io/v1beta2/namespaces/t/localqueues"
    )
    with pytest.raises(ConfigError):
        kind_of({"apiVersion": "example.org/v1", "kind": "Pod"})


def test_settings_are_not_read_until_a_client_is_wanted_and_close_ends_it(cluster: Emulator) -> None:
    async def work() -> None:
        client = KubeClient.from_settings(settings(cluster))
        assert (client.namespace, client.requests) == ("default", {})
        await client.close()

    asyncio.run(work())


def test_never_more_than_sixteen_short_requests_are_under_way_however_many_are_wanted(tmp_path: Path) -> None:
    async def work() -> int:
        there: list[int] = [0, 0]  # now, and the most there have been
        full = asyncio.Condition()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while (await reader.read(1 << 16)).startswith(b"GET"):
                async with full:
                    there[0] += 1
                    there[1] = max(there)
                    full.notify_all()
                    await full.wait_for(lambda: there[1] >= 16)  # the first sixteen meet here
                    there[0] -= 1
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        path = write_kubeconfig(tmp_path, server.sockets[0].getsockname()[1])
        client = KubeClient.from_settings(ClientSettings(kubeconfig=str(path), requests_per_s=1000.0))
        await asyncio.gather(*(client.get("Pod", f"p{number}") for number in range(48)))
        await client.close()
        server.close()
        return there[1]

    assert asyncio.run(asyncio.wait_for(work(), 60)) == 16


@pytest.mark.parametrize(("head", "kind"), [("200 OK", ConfigError), ("502 Bad Gateway", InfraError)])
def test_a_server_that_is_no_kubernetes_is_told_apart_from_one_that_fails(tmp_path: Path, head: str, kind: type[FairwayError]) -> None:
    async def work() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1 << 16)
            writer.write(f"HTTP/1.1 {head}\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>".encode())
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        path = write_kubeconfig(tmp_path, server.sockets[0].getsockname()[1])
        client = KubeClient.from_settings(ClientSettings(kubeconfig=str(path), patience_s=0.0))
        with pytest.raises(kind):
            await client.version()
        await client.close()
        server.close()

    asyncio.run(asyncio.wait_for(work(), 60))


def test_whether_an_api_group_is_installed_can_be_asked(cluster: Emulator) -> None:
    async def work(client: KubeClient) -> list[bool]:
        return [await client.serves(group) for group in ("batch", "no.such.group")]

    assert talk(cluster, work) == [True, False]
