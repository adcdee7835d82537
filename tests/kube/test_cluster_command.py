"""`fairway cluster` as a person calls it, on an emulated cluster with two kinds of GPUs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fairway.cli.app import app
from fairway.kube.scaledown import IDLE_SINCE, SAFE_TO_EVICT
from fairway.spec.tokens import make_user_token
from tests.kube.emulator import Emulator, Node
from tests.kube.emulator.kinds import get_kind
from tests.kube.emulator.rig import container, pod

OURS = {"app.kubernetes.io/managed-by": "fairway"}
TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
TOLERATED = [{"key": "nvidia.com/gpu", "operator": "Exists"}]
# Says that one run is under way while the file is there, as the server's API does.
SERVER = """
import json, os, http.server
class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        run = {"run": "R", "status": "running"}
        body = json.dumps({"items": [run] if os.path.exists(os.environ["RUNNING"]) else [], "next": ""}).encode()
        self.send_response(200); self.send_header("Content-Type", "application/json"); self.send_header("Content-Length", str(len(body)))
        self.end_headers(); self.wfile.write(body)
http.server.ThreadingHTTPServer((os.environ["POD_IP"], 8080), Server).serve_forever()
"""


def gpu_node(name: str, count: int, product: str, **labels: str) -> Node:
    return Node(
        name,
        cpu=32,
        memory="256Gi",
        pods=110,
        extra={"nvidia.com/gpu": count},
        labels={"nvidia.com/gpu.product": product, **labels},
        taints=(TAINT,),
    )


def sized(name: str, labels: dict[str, str] | None = None, **requests: str) -> dict[str, Any]:
    requests = {key.replace("__", "/").replace("_", "."): value for key, value in requests.items()}
    main = container(script="exec sleep 600", resources={"requests": requests, "limits": requests})
    return pod(name, main, labels=labels, tolerations=TOLERATED, terminationGracePeriodSeconds=0)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    nodes = [
        Node("cpu-1", cpu=16, memory="64Gi", pods=110),
        gpu_node("gpu-1", 4, "NVIDIA-H100-80GB-HBM3"),
        gpu_node("gpu-2", 1, "Tesla-T4"),
    ]
    with Emulator(Path(tmp_path_factory.mktemp("cluster")), nodes=nodes) as made:
        labels = {**OURS, "fairway.dev/role": "attempt", "fairway.dev/run": "R7"}
        made.create(sized("train-1", labels, cpu="8", memory="64Gi", nvidia_com__gpu="2"))
        made.create(sized("big-1", cpu="8", nvidia_com__gpu="8"))
        made.wait(lambda: running(made, "train-1"))
        yield made


@pytest.fixture
def cluster(shared: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Emulator]:
    monkeypatch.setenv("KUBECONFIG", str(shared.kubeconfig))
    monkeypatch.chdir(tmp_path)
    yield shared
    shared.authority.denied.clear()


def running(cluster: Emulator, name: str) -> bool:
    status = (cluster.find("Pod", name) or {}).get("status") or {}
    return any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions") or [])


def remove(cluster: Emulator, kind: str, *names: str) -> None:
    for name in names:
        if cluster.find(kind, name):
            cluster.call(lambda name=name: cluster.memory.delete(get_kind(kind), cluster.namespace, name, grace_s=0))
    cluster.wait(lambda: not any(cluster.find(kind, name) for name in names))


def fairway(*words: str, status: int = 0) -> Result:
    done = CliRunner().invoke(app, ["cluster", *words], standalone_mode=False)
    assert (done.exception is None) == (status == 0), done.output
    return done


def lines(text: str) -> list[list[str]]:
    """The cells of each line: columns are at least two spaces apart."""
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in text.splitlines()]


def cells(text: str, first: str) -> list[str]:
    return next(row for row in lines(text) if row and row[0] == first)


def test_nodes_are_shown_with_what_is_free_their_accelerators_and_what_waits(cluster: Emulator) -> None:
    done = fairway()
    assert cells(done.stdout, "gpu-1") == ["gpu-1", "24 of 32", "192Gi of 256Gi", "109 of 110", "2 of 4 NVIDIA-H100-80GB-HBM3", "busy"]
    assert cells(done.stdout, "cpu-1") == ["cpu-1", "16 of 16", "64Gi of 64Gi", "110 of 110", "-", "idle"]
    assert cells(done.stdout, "default/big-1") == [
        "default/big-1",
        "8 cpu, 8 nvidia.com/gpu",
        "0/3 nodes are available: 3 Insufficient nvidia.com/gpu",
    ]
    assert done.stderr == "context emulator, namespace default\n"


def test_json_says_the_same_in_numbers(cluster: Emulator) -> None:
    told = json.loads(fairway("-o", "json").stdout)
    node = next(one for one in told["nodes"] if one["name"] == "gpu-1")
    assert (node["free"]["nvidia.com/gpu"], node["total"]["memory"], node["models"]) == (
        2,
        256 * 1024**3,
        {"nvidia.com/gpu": "NVIDIA-H100-80GB-HBM3"},
    )
    assert [one["name"] for one in told["waiting"]] == ["big-1"]
    assert [one["name"] for one in told["idle"]] == ["cpu-1", "gpu-2"]


def test_a_size_is_answered_node_by_node_and_in_all(cluster: Emulator) -> None:
    done = fairway("--fits", "cpu=4,memory=8Gi,accelerator=nvidia.com/gpu:1")
    assert cells(done.stdout, "gpu-1") == ["gpu-1", "2", "4"]
    assert cells(done.stdout, "cpu-1") == ["cpu-1", "0", "0", "too small: nvidia.com/gpu"]
    assert done.stdout.splitlines()[-1] == "3 at once now, on 2 nodes; 5 if nothing else ran"
    assert fairway("--fits", "accelerator=nvidia.com/gpu:8").stdout.splitlines()[-1] == "it fits on no node"
    assert fairway("--fits", "accelerator=nvidia.com/gpu:3").stdout.splitlines()[-1] == "none now; 1 if nothing else ran"
    assert json.loads(fairway("--fits", "cpu=4,accelerator=nvidia.com/gpu:1,accelerator-type=H100", "-o", "json").stdout)["free"] == 2


def test_a_size_that_cannot_be_read_is_refused(cluster: Emulator) -> None:
    assert "--fits knows no 'gpus=3'" in str(fairway("--fits", "gpus=3", status=2).exception)
    assert "ask one at a time" in str(fairway("--fits", "cpu=1", "--scale-down", status=2).exception)


def test_who_may_not_list_nodes_sees_quotas_and_is_told_what_is_not_seen(cluster: Emulator) -> None:
    cluster.faults.deny("list", "nodes")
    assert fairway("--fits", "cpu=1").stdout == "how many fit cannot be said: neither nodes nor a quota can be seen\n"
    cluster.create({"kind": "ResourceQuota", "metadata": {"name": "team"}, "spec": {"hard": {"requests.cpu": "20", "pods": "50"}}})
    cluster.wait(lambda: ((cluster.find("ResourceQuota", "team") or {}).get("status") or {}).get("used"))
    done = fairway()
    assert "You may not list nodes" in done.stderr
    assert "NODE" not in done.stdout
    assert ["team", "requests.cpu", "16", "20"] in lines(done.stdout)
    assert cells(done.stdout, "default/big-1")[-1].startswith("0/3 nodes are available")
    assert "the quota lets 4 in now (bounded by the quota team: requests.cpu)" in fairway("--fits", "cpu=1").stdout  # 16 are asked for
    remove(cluster, "ResourceQuota", "team")


def test_who_may_see_nothing_at_all_is_told_that(cluster: Emulator) -> None:
    for resource in ("nodes", "pods", "resourcequotas", "poddisruptionbudgets"):
        cluster.faults.deny("list", resource)
    done = fairway()
    assert done.stdout == ""
    assert "You may not list pods, not even those of default" in done.stderr


def test_who_sees_one_namespace_only_is_told_so(cluster: Emulator) -> None:
    cluster.create({"kind": "Namespace", "metadata": {"name": "other"}})
    elsewhere = {**sized("theirs", cpu="4")}
    elsewhere["metadata"]["namespace"] = "other"
    cluster.call(lambda: cluster.memory.create(get_kind("Pod"), "other", elsewhere))
    cluster.wait(lambda: (cluster.find("Pod", "theirs", "other") or {}).get("spec", {}).get("nodeName"))
    assert sum(one["used"]["cpu"] for one in json.loads(fairway("-o", "json").stdout)["nodes"]) == 12
    cluster.call(lambda: cluster.memory.delete(get_kind("Pod"), "other", "theirs", grace_s=0))
    cluster.wait(lambda: not cluster.find("Pod", "theirs", "other"))


def test_scaling_down_explains_first_and_changes_nothing_without_a_yes(cluster: Emulator) -> None:
    cluster.create(sized("stray", cpu="1"))
    cluster.wait(lambda: running(cluster, "stray"))
    budget = {"kind": "PodDisruptionBudget", "metadata": {"name": "never", "labels": OURS}, "spec": {"maxUnavailable": 0, "selector": {}}}
    cluster.create(budget)
    done = fairway("--scale-down")
    assert "default/stray: " in done.stdout
    assert cells(done.stdout, "delete")[:2] == ["delete", "poddisruptionbudget/never"]
    assert "nothing changed; --yes does it" in done.stderr
    assert "could not be asked whether a run is under way" in done.stderr
    assert cluster.find("PodDisruptionBudget", "never")
    assert fairway("--scale-down", "--yes").stderr.endswith("done: 1 change\n")
    assert cluster.find("PodDisruptionBudget", "never") is None
    assert cluster.find("Pod", "stray"), "it is not Fairway's"
    assert "there is nothing of Fairway's to change in default" in fairway("--scale-down", "-y").stderr
    remove(cluster, "Pod", "stray")


def test_what_may_be_moved_is_marked_and_idle_endpoints_go_to_zero(cluster: Emulator) -> None:
    server = sized("fairway-0", OURS, cpu="1")
    server["spec"]["volumes"] = [{"name": "tmp", "emptyDir": {}}]
    server["metadata"]["ownerReferences"] = []
    cluster.create(server)
    labels = {**OURS, "fairway.dev/role": "endpoint"}
    template = {"metadata": {"labels": {"app": "e"}}, "spec": sized("e", cpu="1")["spec"] | {"restartPolicy": "Always"}}
    endpoint = {
        "kind": "Deployment",
        "metadata": {"name": "e", "labels": labels, "annotations": {IDLE_SINCE: "2026-11-24T10:00:00Z"}},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "e"}}, "template": template},
    }
    cluster.create(endpoint)
    cluster.wait(lambda: running(cluster, "fairway-0"))
    done = fairway("--scale-down", "--yes", "-o", "json")
    assert [(one["verb"], one["name"]) for one in json.loads(done.stdout)["actions"]] == [("annotate", "fairway-0"), ("scale to zero", "e")]
    assert cluster.find("Pod", "fairway-0")["metadata"]["annotations"][SAFE_TO_EVICT] == "true"  # type: ignore[index]
    assert cluster.find("Deployment", "e")["spec"]["replicas"] == 0  # type: ignore[index]
    assert "nothing of Fairway's to change" in fairway("--scale-down", "--yes").stderr
    remove(cluster, "Deployment", "e")
    remove(cluster, "Pod", "fairway-0")


def test_one_change_that_is_not_allowed_does_not_keep_the_others_from_being_made(cluster: Emulator) -> None:
    for name in ("a", "b"):
        spec = {"maxUnavailable": 0, "selector": {}}
        cluster.create({"kind": "PodDisruptionBudget", "metadata": {"name": name, "labels": OURS}, "spec": spec})
    cluster.faults.answer(422, "delete", "PodDisruptionBudget", name="a")
    done = fairway("--scale-down", "--yes", status=2)
    assert "delete poddisruptionbudget/a: " in done.stderr
    assert "done: 1 change" in done.stderr
    remove(cluster, "PodDisruptionBudget", "a")


def test_pools_go_when_the_server_says_that_no_run_is_under_way(cluster: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIRWAY_TOKEN", make_user_token("ann"))
    (tmp_path / "fairway.toml").write_text(f'[targets.lab]\nkind = "kubernetes"\nkubeconfig = "{cluster.kubeconfig}"\n')
    flag = tmp_path / "running"
    flag.touch()
    variables = [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}, {"name": "RUNNING", "value": str(flag)}]
    probe = {"tcpSocket": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 1000}
    main = container("main", "python3", "-c", SERVER, env=variables, image="python:3.11-slim", readinessProbe=probe)
    cluster.create(pod("server", main, labels={"app": "fairway"}, terminationGracePeriodSeconds=0))
    ports = [{"name": "api", "port": 8080}, {"name": "blobs", "port": 8081}]
    cluster.create({"kind": "Service", "metadata": {"name": "fairway"}, "spec": {"selector": {"app": "fairway"}, "ports": ports}})
    cluster.create(sized("pool-1", {**OURS, "fairway.dev/role": "pool"}, cpu="1"))
    cluster.wait(lambda: running(cluster, "server") and running(cluster, "pool-1"))

    busy = fairway("--on", "lab", "--scale-down", "--yes")
    assert "there is nothing of Fairway's to change" in busy.stderr
    assert "could not be asked" not in busy.stderr
    flag.unlink()
    assert cells(fairway("--scale-down", "--yes").stdout, "delete")[1] == "pod/pool-1"  # the only cluster of the project is meant
    cluster.wait(lambda: not cluster.find("Pod", "pool-1"))
    remove(cluster, "Pod", "server")
    remove(cluster, "Service", "fairway")


def test_a_target_that_is_no_cluster_is_refused(cluster: Emulator, tmp_path: Path) -> None:
    (tmp_path / "fairway.toml").write_text('[targets.far]\nkind = "server"\nurl = "https://fairway.example.org"\n')
    assert "reached by a URL" in str(fairway("--on", "far", status=2).exception)
