"""The emulator's controllers and admission: workloads, garbage, claims, services, port-forwards, quotas, pod security, scheduling."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.kube.emulator import Emulator, Node
from tests.kube.emulator.rig import Caller, Object, container, ended, log_of, pod, pod_spec, run_pod

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
JOBS = "/apis/batch/v1/namespaces/default/jobs"
MERGE = "application/merge-patch+json"
ECHO = """
import os, socketserver
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(os.environ["NAME"].encode() + b":" + data)
socketserver.ThreadingTCPServer.allow_reuse_address = True
server = socketserver.ThreadingTCPServer(("0.0.0.0", 9000), Echo)
print("up", flush=True)
server.serve_forever()
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with Emulator(Path(tmp_path_factory.mktemp("cluster"))) as made:
        yield made


@pytest.fixture
def call(cluster: Emulator) -> Caller:
    return Caller(cluster)


def job(name: str, *, script: str = "true", **spec: Any) -> Object:
    return {"kind": "Job", "metadata": {"name": name}, "spec": {"template": {"spec": pod_spec(script=script)}} | spec}


def finished(cluster: Emulator, name: str) -> Callable[[], Object | None]:
    def condition() -> Object | None:
        found = cluster.find("Job", name) or {}
        conditions = (found.get("status") or {}).get("conditions") or ()
        return next((each for each in conditions if each["type"] in ("Complete", "Failed")), None)

    return condition


def echo(name: str, labels: dict[str, str]) -> Object:
    env = [{"name": "NAME", "value": name}]
    probe = {"tcpSocket": {"port": 9000}, "periodSeconds": 1}
    one = container("main", "python3", "-c", ECHO, image="python:3.11-slim", env=env, readinessProbe=probe)
    return pod(name, one, labels=labels, terminationGracePeriodSeconds=0)


def is_ready(cluster: Emulator, name: str) -> bool:
    conditions = ((cluster.find("Pod", name) or {}).get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


# ---- deployments


def deployment(name: str, text: str = "one", replicas: int = 1, strategy: str = "Recreate", **fields: Any) -> Object:
    one = container("main", script=f"echo {text}; sleep 100", **fields)
    template = {"metadata": {"labels": {"app": name}}, "spec": pod_spec(one, terminationGracePeriodSeconds=0) | {"restartPolicy": "Always"}}
    spec = {"replicas": replicas, "strategy": {"type": strategy}, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def pods_of(cluster: Emulator, app: str) -> list[Object]:
    return [each for each in cluster.list("Pod") if (each["metadata"].get("labels") or {}).get("app") == app]


def available(cluster: Emulator, name: str, number: int = 1) -> bool:
    found = cluster.find("Deployment", name) or {}
    status = found.get("status") or {}
    return (
        status.get("availableReplicas", 0) == status.get("updatedReplicas", 0) == status.get("replicas", 0) == number
        and status["observedGeneration"] == found["metadata"]["generation"]
    )


def test_a_deployment_keeps_its_pods_running(cluster: Emulator, call: Caller) -> None:
    call("POST", DEPLOYMENTS, deployment("keeps", replicas=2))
    cluster.wait(lambda: available(cluster, "keeps", 2))
    first = pods_of(cluster, "keeps")[0]["metadata"]["name"]
    call("DELETE", f"pods/{first}", {"gracePeriodSeconds": 0})
    cluster.wait(lambda: available(cluster, "keeps", 2) and first not in [each["metadata"]["name"] for each in pods_of(cluster, "keeps")])
    call("PATCH", f"{DEPLOYMENTS}/keeps/scale", {"spec": {"replicas": 0}}, kind=MERGE)
    cluster.wait(lambda: not pods_of(cluster, "keeps"))
    assert call("GET", f"{DEPLOYMENTS}/keeps/scale").body["spec"]["replicas"] == 0


def test_a_deployment_that_recreates_ends_the_old_pod_before_it_starts_the_new(cluster: Emulator, call: Caller) -> None:
    call("POST", DEPLOYMENTS, deployment("anew"))
    cluster.wait(lambda: available(cluster, "anew"))
    most = 0

    def settled() -> bool:
        nonlocal most
        found = pods_of(cluster, "anew")
        most = max(most, len(found))
        return available(cluster, "anew") and "echo two" in str(found[0]["spec"]["containers"])

    changed = deployment("anew", "two")
    call("PUT", f"{DEPLOYMENTS}/anew", changed)
    cluster.wait(settled)
    assert most == 1
    call("DELETE", f"{DEPLOYMENTS}/anew")
    cluster.wait(lambda: not pods_of(cluster, "anew"))


def test_a_deployment_says_why_it_has_no_pods(cluster: Emulator, call: Caller) -> None:
    call("POST", DEPLOYMENTS, deployment("refused", securityContext={}))

    def failure() -> Object | None:
        conditions = ((cluster.find("Deployment", "refused") or {}).get("status") or {}).get("conditions") or ()
        return next((each for each in conditions if each["type"] == "ReplicaFailure"), None)

    cluster.wait(failure)
    assert "violates PodSecurity" in failure()["message"]  # type: ignore[index]


# ---- jobs


def test_a_job_runs_to_its_completions(cluster: Emulator, call: Caller) -> None:
    call("POST", JOBS, job("plain", completions=3, parallelism=2))
    cluster.wait(finished(cluster, "plain"))
    status = cluster.find("Job", "plain")["status"]  # type: ignore[index]
    assert (status["succeeded"], status["conditions"][-1]["type"], "active" in status) == (3, "Complete", False)
    assert status["startTime"] and status["completionTime"]


def test_a_job_without_retries_fails_with_its_first_pod(cluster: Emulator, call: Caller) -> None:
    call("POST", JOBS, job("strict", script="exit 4", backoffLimit=0))
    cluster.wait(finished(cluster, "strict"))
    condition = finished(cluster, "strict")()
    assert condition is not None
    assert (condition["type"], condition["reason"]) == ("Failed", "BackoffLimitExceeded")
    assert cluster.find("Job", "strict")["status"]["failed"] == 1  # type: ignore[index]
    (only,) = [each for each in cluster.list("Pod") if each["metadata"]["name"].startswith("strict-")]
    assert only["status"]["phase"] == "Failed"


def test_a_job_tries_again_as_often_as_it_may(cluster: Emulator, call: Caller) -> None:
    call("POST", JOBS, job("stubborn", script="exit 1", backoffLimit=2))
    cluster.wait(finished(cluster, "stubborn"))
    assert cluster.find("Job", "stubborn")["status"]["failed"] == 3  # type: ignore[index]


def test_an_indexed_job_gives_each_pod_its_number(cluster: Emulator, call: Caller) -> None:
    spec = {"completions": 3, "parallelism": 3, "completionMode": "Indexed"}
    call("POST", JOBS, job("ranked", script="echo $JOB_COMPLETION_INDEX $HOSTNAME", **spec))
    cluster.wait(finished(cluster, "ranked"))
    found = [each for each in cluster.list("Pod") if each["metadata"]["name"].startswith("ranked-")]
    assert sorted(log_of(cluster, each["metadata"]["name"]) for each in found) == [f"{n} ranked-{n}\n" for n in range(3)]
    assert cluster.find("Job", "ranked")["status"]["completedIndexes"] == "0-2"  # type: ignore[index]


def test_a_suspended_job_starts_when_it_is_resumed(cluster: Emulator, call: Caller) -> None:
    call("POST", JOBS, job("queued", suspend=True))
    cluster.wait(lambda: ((cluster.find("Job", "queued") or {}).get("status") or {}).get("conditions"))
    assert not [each for each in cluster.list("Pod") if each["metadata"]["name"].startswith("queued-")]
    call("PATCH", f"{JOBS}/queued", {"spec": {"suspend": False}}, kind=MERGE)
    cluster.wait(finished(cluster, "queued"))


def test_a_job_has_a_deadline_and_goes_when_its_time_is_over(cluster: Emulator, call: Caller) -> None:
    call("POST", JOBS, job("late", script="sleep 100", activeDeadlineSeconds=1, ttlSecondsAfterFinished=0))
    seen: list[str] = []

    def gone() -> bool:
        found = finished(cluster, "late")()
        seen.extend([found["reason"]] if found else [])
        return bool(seen) and cluster.find("Job", "late") is None

    cluster.wait(gone)
    assert set(seen) == {"DeadlineExceeded"}


# ---- garbage


def owned(name: str, owner: Object) -> Object:
    meta = owner["metadata"]
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": meta["name"], "uid": meta["uid"], "blockOwnerDeletion": True}
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, "ownerReferences": [reference]}}


def test_dependents_go_after_their_owner(cluster: Emulator, call: Caller) -> None:
    owner = call.create({"kind": "ConfigMap", "metadata": {"name": "owner"}})
    body = pod("owned", script="sleep 100", terminationGracePeriodSeconds=0)
    body["metadata"]["ownerReferences"] = owned("x", owner)["metadata"]["ownerReferences"]
    call.create(body)
    call.create(owned("owned", owner))
    call("DELETE", "configmaps/owner")
    cluster.wait(lambda: not cluster.find("ConfigMap", "owned") and not cluster.find("Pod", "owned"))


def test_an_owner_deleted_in_the_foreground_goes_last(cluster: Emulator, call: Caller) -> None:
    owner = call.create({"kind": "ConfigMap", "metadata": {"name": "front"}})
    body = owned("front-child", owner)
    body["metadata"]["finalizers"] = ["example.org/hold"]
    call.create(body)
    call("DELETE", "configmaps/front", {"propagationPolicy": "Foreground"})
    cluster.wait(lambda: cluster.find("ConfigMap", "front-child")["metadata"].get("deletionTimestamp"))  # type: ignore[index]
    assert cluster.find("ConfigMap", "front")["metadata"]["finalizers"] == ["foregroundDeletion"]  # type: ignore[index]
    call("PATCH", "configmaps/front-child", {"metadata": {"finalizers": None}}, kind=MERGE)
    cluster.wait(lambda: cluster.find("ConfigMap", "front") is None)


def test_orphans_stay(cluster: Emulator, call: Caller) -> None:
    owner = call.create({"kind": "ConfigMap", "metadata": {"name": "leaves"}})
    call.create(owned("orphan", owner))
    call("DELETE", "configmaps/leaves", {"propagationPolicy": "Orphan"})
    cluster.wait(lambda: cluster.find("ConfigMap", "leaves") is None)
    assert not cluster.find("ConfigMap", "orphan")["metadata"].get("ownerReferences")  # type: ignore[index]


def test_what_names_an_owner_that_is_gone_goes_at_once(cluster: Emulator, call: Caller) -> None:
    owner = call.create({"kind": "ConfigMap", "metadata": {"name": "past"}})
    call("DELETE", "configmaps/past")
    call.create(owned("too-late", owner))
    cluster.wait(lambda: cluster.find("ConfigMap", "too-late") is None)


def test_a_namespace_takes_all_it_has_with_it(cluster: Emulator, call: Caller) -> None:
    call("POST", "/api/v1/namespaces", {"metadata": {"name": "brief"}})
    cluster.wait(lambda: cluster.find("ServiceAccount", "default", "brief"))
    body = pod("inside", script="sleep 100", terminationGracePeriodSeconds=0)
    assert call("POST", "/api/v1/namespaces/brief/pods", body).code == 201
    call("DELETE", "/api/v1/namespaces/brief")
    answer = call("POST", "/api/v1/namespaces/brief/configmaps", {"metadata": {"name": "late"}})
    assert answer.code in (403, 404)
    cluster.wait(lambda: cluster.find("Namespace", "brief") is None)
    assert not cluster.list("Pod", "brief")


# ---- claims


def test_a_claim_in_use_is_not_removed_before_its_pod_has_ended(cluster: Emulator, call: Caller) -> None:
    call.create({"kind": "PersistentVolumeClaim", "metadata": {"name": "used"}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}})
    cluster.wait(lambda: (cluster.find("PersistentVolumeClaim", "used") or {}).get("status", {}).get("phase") == "Bound")
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "used"}}]
    call.create(pod("uses", container(script="sleep 100"), volumes=volumes, terminationGracePeriodSeconds=0))
    cluster.wait(lambda: is_ready(cluster, "uses"))
    assert call("DELETE", "persistentvolumeclaims/used").body["metadata"]["deletionTimestamp"]
    assert call("GET", "persistentvolumeclaims/used").code == 200
    call("DELETE", "pods/uses")
    cluster.wait(lambda: cluster.find("PersistentVolumeClaim", "used") is None)


# ---- network


def test_a_service_leads_to_ready_pods_and_refuses_when_there_is_none(cluster: Emulator, call: Caller) -> None:
    spec = {"selector": {"app": "echo"}, "ports": [{"port": 80, "targetPort": 9000}]}
    made = call.create({"kind": "Service", "metadata": {"name": "echo"}, "spec": spec})
    address = (made["spec"]["clusterIP"], 80)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=60)
    for name in ("echo-1", "echo-2"):
        call.create(echo(name, {"app": "echo"}))
    cluster.wait(lambda: is_ready(cluster, "echo-1") and is_ready(cluster, "echo-2"))
    answers = set()
    for _ in range(4):
        with socket.create_connection(address, timeout=60) as connection:
            connection.sendall(b"hi")
            answers.add(connection.recv(100))
    assert answers == {b"echo-1:hi", b"echo-2:hi"}
    for name in ("echo-1", "echo-2"):
        call("DELETE", f"pods/{name}")
    cluster.wait(lambda: not cluster.find("Pod", "echo-1") and not cluster.find("Pod", "echo-2"))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=60)


async def _forward(cluster: Emulator, name: str, port: int, payload: bytes) -> tuple[list[tuple[int, bytes]], int | None]:
    url = f"{cluster.url}/api/v1/namespaces/default/pods/{name}/portforward?ports={port}"
    headers = {"Authorization": f"Bearer {cluster.authority.admin_token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.ws_connect(url, protocols=("v4.channel.k8s.io",)) as stream,
    ):
        assert stream.protocol == "v4.channel.k8s.io"
        if payload:
            await stream.send_bytes(b"\0" + payload)
        found: list[tuple[int, bytes]] = []
        async for message in stream:
            found.append((message.data[0], message.data[1:]))
            if payload and found[-1][1].endswith(payload):
                break
        return found, stream.close_code


def test_a_port_forward_speaks_the_kubelets_channels(cluster: Emulator, call: Caller) -> None:
    call.create(echo("forwarded", {}))
    cluster.wait(lambda: is_ready(cluster, "forwarded"))
    frames, _ = asyncio.run(_forward(cluster, "forwarded", 9000, b"hi"))
    number = (9000).to_bytes(2, "little")
    assert frames == [(0, number), (1, number), (0, b"forwarded:hi")]


def test_a_port_forward_to_a_port_nobody_listens_on_says_so_on_the_error_channel(cluster: Emulator, call: Caller) -> None:
    with suppress(AssertionError):
        call.create(echo("forwarded", {}))
    cluster.wait(lambda: is_ready(cluster, "forwarded"))
    frames, code = asyncio.run(_forward(cluster, "forwarded", 9001, b""))
    assert frames[-1][0] == 1
    assert b"error forwarding port 9001 to pod" in frames[-1][1]
    assert code == 1000


def test_a_port_forward_to_a_pod_that_does_not_run_is_refused(cluster: Emulator, call: Caller) -> None:
    run_pod(cluster, pod("over"))
    answer = call("GET", "pods/over/portforward?ports=80")
    assert answer.code == 400
    assert answer.body["message"] == "unable to forward port because pod is not running. Current status=Succeeded"


# ---- quotas and pod security


def test_a_quota_counts_and_refuses_what_is_over(tmp_path: Path) -> None:
    with Emulator(tmp_path) as cluster:
        call = Caller(cluster)
        call("POST", "resourcequotas", {"metadata": {"name": "small"}, "spec": {"hard": {"pods": "2", "requests.cpu": "1"}}})
        answer = call("POST", "pods", pod("says-nothing"))
        assert answer.body["message"] == 'pods "says-nothing" is forbidden: failed quota: small: must specify requests.cpu for: main'
        half = container(script="sleep 100", resources={"requests": {"cpu": "600m"}})
        call.create(pod("first", half, terminationGracePeriodSeconds=0))
        cluster.wait(lambda: cluster.find("ResourceQuota", "small")["status"]["used"]["pods"] == "1")  # type: ignore[index]
        answer = call("POST", "pods", pod("second", half))
        words = "exceeded quota: small, requested: requests.cpu=600m, used: requests.cpu=600m, limited: requests.cpu=1"
        assert (answer.code, answer.body["message"]) == (403, f'pods "second" is forbidden: {words}')
        call("DELETE", "pods/first")
        cluster.wait(lambda: not cluster.find("Pod", "first"))
        assert call("POST", "pods", pod("second", half)).code == 201


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"securityContext": {}}, 'runAsNonRoot != true (pod or container "main" must set securityContext.runAsNonRoot=true)'),
        (
            {"volumes": [{"name": "h", "hostPath": {"path": "/"}}]},
            'restricted volume types (volume "h" uses restricted volume type "hostPath")',
        ),
        ({"hostNetwork": True}, "host namespaces (hostNetwork=true)"),
        ({"containers": [container() | {"securityContext": {}}]}, 'unrestricted capabilities (container "main" must set'),
        ({"containers": [container() | {"securityContext": {"privileged": True}}]}, "allowPrivilegeEscalation != false"),
    ],
)
def test_a_pod_that_breaks_the_restricted_standard_is_refused(call: Caller, changes: Object, words: str) -> None:
    answer = call("POST", "pods", pod("bad") | {"spec": pod("bad")["spec"] | changes})
    assert answer.code == 403
    assert answer.body["message"].startswith('pods "bad" is forbidden: violates PodSecurity "restricted:latest": ')
    assert words in answer.body["message"]


def test_pods_that_make_no_sense_are_refused(call: Caller) -> None:
    assert call("POST", "pods", pod("none") | {"spec": {"containers": []}}).code == 422
    two = pod("two", container(), container())
    assert 'Duplicate value: "main"' in call("POST", "pods", two).body["message"]
    mounts = pod("mounts", container(volumeMounts=[{"name": "nope", "mountPath": "/x"}]))
    assert 'Not found: "nope"' in call("POST", "pods", mounts).body["message"]
    numbers = pod("numbers", container(env=[{"name": "A", "value": 1}]))
    assert call("POST", "pods", numbers).code == 400
    asks = pod("asks", container(resources={"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}))
    assert "must be less than or equal to memory limit" in call("POST", "pods", asks).body["message"]
    accounts = call("POST", "pods", pod("accounts", serviceAccountName="nobody"))
    assert (accounts.code, 'serviceaccount "nobody" not found' in accounts.body["message"]) == (403, True)
    priority = call("POST", "pods", pod("priority", priorityClassName="top"))
    assert priority.body["message"] == 'pods "priority" is forbidden: no PriorityClass with name top was found'


def test_a_running_pods_specification_is_fixed(call: Caller) -> None:
    call.create(pod("rigid", script="sleep 100", terminationGracePeriodSeconds=0))
    answer = call("PATCH", "pods/rigid", {"spec": {"restartPolicy": "Always"}}, kind=MERGE)
    assert answer.code == 422
    assert "pod updates may not change fields" in answer.body["message"]
    call("DELETE", "pods/rigid")


# ---- scheduling


def unschedulable(cluster: Emulator, name: str) -> str:
    def found() -> str:
        conditions = ((cluster.find("Pod", name) or {}).get("status") or {}).get("conditions") or ()
        return next((each["message"] for each in conditions if each.get("reason") == "Unschedulable"), "")

    cluster.wait(found)
    return found()


def asking(name: str, wanted: dict[str, str], **spec: Any) -> Object:
    return pod(
        name, container(script="sleep 100", resources={"requests": wanted, "limits": wanted}), terminationGracePeriodSeconds=0, **spec
    )


def test_a_pod_that_fits_nowhere_says_which_resource_and_how_many_nodes(tmp_path: Path) -> None:
    nodes = [
        Node("a", cpu=2, memory="4Gi"),
        Node(
            "b", cpu=8, memory="2Gi", extra={"nvidia.com/gpu": 1}, taints=({"key": "nvidia.com/gpu", "value": "y", "effect": "NoSchedule"},)
        ),
    ]
    with Emulator(tmp_path, nodes=nodes) as cluster:
        call = Caller(cluster)
        call.create(asking("wide", {"cpu": "16"}))
        assert unschedulable(cluster, "wide") == (
            "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s). "
            "no new claims to deallocate, preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
        )
        call.create(asking("gpu", {"nvidia.com/gpu": "1"}, tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists"}]))
        cluster.wait(lambda: is_ready(cluster, "gpu"))
        call.create(asking("gpu-2", {"nvidia.com/gpu": "1"}, tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists"}]))
        assert unschedulable(cluster, "gpu-2") == (
            "0/2 nodes are available: 2 Insufficient nvidia.com/gpu. no new claims to deallocate, preemption: 0/2 nodes are available: "
            "1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling."
        )
        call.create(asking("picky", {"cpu": "1"}, nodeSelector={"zone": "moon"}))
        assert "node(s) didn't match Pod's node affinity/selector" in unschedulable(cluster, "picky")
        call("DELETE", "pods/gpu")
        cluster.wait(lambda: is_ready(cluster, "gpu-2"))
        assert cluster.find("Pod", "gpu-2")["spec"]["nodeName"] == "b"  # type: ignore[index]


def test_a_pod_waits_for_a_claim_and_for_a_node(tmp_path: Path) -> None:
    with Emulator(tmp_path, nodes=()) as cluster:
        call = Caller(cluster)
        call.create(pod("claims", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "none"}}]))
        assert 'persistentvolumeclaim "none" not found' in unschedulable(cluster, "claims")
        call.create({"kind": "PersistentVolumeClaim", "metadata": {"name": "none"}, "spec": {}})
        cluster.wait(lambda: "no nodes available to schedule pods" in str(cluster.find("Pod", "claims")))
        cluster.call(lambda: cluster.add_node(Node("late")))
        cluster.wait(ended(cluster, "claims"))
