"""What tests of the emulator say often: pods that pass the restricted standard, and plain requests."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from tests.kube.emulator.cluster import Emulator

Object = dict[str, Any]
SAFE = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
SAFE_POD = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}


def container(name: str = "main", *words: str, script: str = "", **fields: Any) -> Object:
    """A container that runs the words, or a shell script."""
    command = ["sh", "-c", script] if script else list(words)
    return {"name": name, "image": "busybox:1.37", "command": command, "securityContext": SAFE, **fields}


def pod(name: str, *containers: Object, script: str = "true", labels: dict[str, str] | None = None, **spec: Any) -> Object:
    """A pod that is not restarted; one container with the script unless others are given."""
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": pod_spec(*containers, script=script, **spec),
    }


def pod_spec(*containers: Object, script: str = "true", **spec: Any) -> Object:
    made = {"restartPolicy": "Never", "securityContext": SAFE_POD, "automountServiceAccountToken": False}
    return made | {"containers": list(containers) or [container(script=script)]} | spec


class Answer:
    """The answer to one request."""

    def __init__(self, code: int, headers: Any, text: bytes) -> None:
        self.code, self.headers, self.text = code, headers, text

    @property
    def body(self) -> Any:
        return json.loads(self.text)


class Caller:
    """Plain HTTP to the cluster's API, in its namespace: paths are below it unless they begin with a slash."""

    def __init__(self, cluster: Emulator, token: str = "") -> None:
        self.cluster, self.token = cluster, token or cluster.authority.admin_token

    def __call__(self, method: str, path: str, body: Any = None, *, kind: str = "application/json") -> Answer:
        request = urllib.request.Request(
            self.cluster.url + self.path(path),
            method=method,
            data=None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": kind},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.headers, error.read())

    def path(self, path: str) -> str:
        return path if path.startswith("/") else f"/api/v1/namespaces/{self.cluster.namespace}/{path}"

    def create(self, body: Object) -> Object:
        """Create a pod, config map, secret, … of the core group; it must succeed."""
        plural = {
            "Pod": "pods",
            "ConfigMap": "configmaps",
            "Secret": "secrets",
            "Service": "services",
            "PersistentVolumeClaim": "persistentvolumeclaims",
        }
        answer = self("POST", plural[body["kind"]], body)
        assert answer.code == 201, answer.text
        return answer.body


def phase(cluster: Emulator, name: str) -> str:
    return ((cluster.find("Pod", name) or {}).get("status") or {}).get("phase", "")


def ended(cluster: Emulator, name: str) -> Callable[[], bool]:
    return lambda: phase(cluster, name) in ("Succeeded", "Failed")


def run_pod(cluster: Emulator, body: Object) -> Object:
    """Run a pod to its end; the object then."""
    cluster.create(body)
    name = body["metadata"]["name"]
    cluster.wait(ended(cluster, name))
    found = cluster.find("Pod", name)
    assert found is not None
    return found


def log_of(cluster: Emulator, name: str, container: str = "") -> str:
    query = f"?container={container}" if container else ""
    answer = Caller(cluster)("GET", f"pods/{name}/log{query}")
    assert answer.code == 200, answer.text
    return answer.text.decode()
