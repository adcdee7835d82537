"""A project with a cluster as its target, and the commands that set a server up there, in this process."""

from __future__ import annotations

import contextlib
import io
import json
import os
from pathlib import Path
from typing import Any

from fairway.cli import main
from fairway.engine.project import load_project
from fairway.spec.target import TargetSettings
from tests.kube.emulator import Emulator


class Said:
    """What a command wrote, and its exit status."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    @property
    def text(self) -> str:
        return self.out + self.err


class Campus:
    """One namespace of the cluster, and a person with a project and a config folder of their own."""

    def __init__(self, folder: Path, cluster: Emulator, namespace: str, settings: str = "", *, make: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.cluster, self.namespace = folder, cluster, namespace
        self.config = folder / "config"
        if make and cluster.find("Namespace", namespace) is None:
            labels = {"pod-security.kubernetes.io/enforce": "restricted"}
            cluster.create({"kind": "Namespace", "metadata": {"name": namespace, "labels": labels}})
        self.write(settings)

    def write(self, settings: str) -> None:
        """The target's settings beside its kind, place and image."""
        head = f'[targets.campus]\nkind = "kubernetes"\nnamespace = "{self.namespace}"\nkubeconfig = "{self.cluster.kubeconfig}"\n'
        (self.folder / "fairway.toml").write_text(head + settings)

    @property
    def target(self) -> TargetSettings:
        return load_project(str(self.folder), variables={}).targets["campus"]

    def ask(self, *words: str, stdin: str | None = None) -> Said:
        """`fairway WORDS` in the project, with `stdin` as what is piped into it."""
        out, err = io.StringIO(), io.StringIO()
        kept = {"FAIRWAY_CONFIG": os.environ.get("FAIRWAY_CONFIG")}
        os.environ["FAIRWAY_CONFIG"] = str(self.config)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _stdin(stdin or ""):
                status = main(["-C", str(self.folder), *words])
        finally:
            for name, value in kept.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
        return Said(status, out.getvalue(), err.getvalue())

    @property
    def token(self) -> str:
        """The caller's token."""
        (path,) = (self.config / "tokens").iterdir()
        return path.read_text().strip()

    def find(self, kind: str, name: str) -> Any:
        return self.cluster.find(kind, name, self.namespace)

    def names(self, kind: str) -> list[str]:
        return sorted(one["metadata"]["name"] for one in self.cluster.list(kind, self.namespace))

    def versions(self) -> dict[str, str]:
        """Kind and name -> what is asked for in it, of all that `fairway up` makes; a resourceVersion tells of its status, too."""
        kinds = ("Secret", "ServiceAccount", "Role", "RoleBinding", "PersistentVolumeClaim", "Service", "Deployment")
        return {
            f"{kind} {one['metadata']['name']}": json.dumps(
                [one["metadata"] | {"resourceVersion": ""}, one | {"metadata": {}, "status": {}}]
            )
            for kind in kinds
            for one in self.cluster.list(kind, self.namespace)
            if one["metadata"]["name"].startswith("fairway")
        }

    def everything(self) -> str:
        """All objects of the namespace as text."""
        kinds = ("ServiceAccount", "Role", "RoleBinding", "PersistentVolumeClaim", "Service", "Deployment", "Pod", "ReplicaSet", "Event")
        return json.dumps([self.cluster.list(kind, self.namespace) for kind in (*kinds, "Secret", "ConfigMap")])

    def pod(self) -> Any:
        """The server's pod."""
        (only,) = [one for one in self.cluster.list("Pod", self.namespace) if not one["metadata"].get("deletionTimestamp")]
        return only


@contextlib.contextmanager
def _stdin(text: str) -> Any:
    import sys

    before, sys.stdin = sys.stdin, io.StringIO(text)
    try:
        yield
    finally:
        sys.stdin = before
