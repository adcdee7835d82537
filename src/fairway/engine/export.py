"""A pipeline with its server as Kubernetes YAML: `kubectl apply -f` alone sets the server up and starts the run, wherever it is said."""

from __future__ import annotations

import base64
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

from fairway.engine.deploy import plan_for
from fairway.engine.gangexport import render_comments
from fairway.engine.manifest_text import render_yaml
from fairway.engine.project import Project
from fairway.errors import UnsupportedError
from fairway.executors.absent import AbsentExecutor
from fairway.kube.server_manifests import API_PORT, BLOBS_PORT, ServerPlan, labels, render_server
from fairway.kube.target import CAPABILITIES
from fairway.spec.artifact import blob_key
from fairway.spec.graph import secrets_of
from fairway.spec.ports import Inventory
from fairway.spec.record import Record, record, replace, to_plain
from fairway.spec.resources import Resources
from fairway.spec.target import TargetSettings, user_secrets
from fairway.spec.tokens import digest_token, make_user_token
from fairway.step.folder import FolderArtifactStore

_USER = "export"
_FOLDER = "/etc/fairway/run"
_LARGEST = 720_000  # a ConfigMap holds a megabyte, and base64 makes four bytes of three
RUN_FILE, BLOBS_FILE = "run.json", "blobs.zip"


@record
class Export(Record):
    """The YAML, the id that the run will have, and what the YAML does not hold: the secrets that its steps take, and, but for comments, the
    objects of those that are gangs, which the server makes."""

    text: str
    run: str
    secrets: tuple[str, ...]
    gangs: tuple[str, ...]


def export(
    project: Project, target: TargetSettings, load: Any, params: Mapping[str, Any], *, namespace: str, name: str = "", source: str = ""
) -> Export:
    """The objects of the server and of a Job that submits the run to it, once. Raises UnsupportedError for a server without an image of its
    own, or for code and inputs that are too large to travel in the YAML; and as `submit.prepare` does."""
    if not target.server_image:
        raise UnsupportedError(
            f"an export needs an image that has Fairway in it: {target.image} is a bare one, into which only `fairway up` can put it",
            hint=f'fairway image build --server --to IMAGE, then server-image = "IMAGE" below [targets.{target.name}]',
        )
    from fairway.engine.submit import make_start
    from fairway.store.runs import new_run_id

    with tempfile.TemporaryDirectory(prefix="fairway-export-") as folder:
        submission, store = _prepare(project, target, load(), params, folder, source)
        run = new_run_id()
        started = make_start(run, submission, replace(project, target=target.name), name=name, triggered_by="export")
        blobs = _pack(store)
    if len(blobs) > _LARGEST:
        raise UnsupportedError(
            f"the code and inputs are {len(blobs) / 1e6:.1f} MB packed, and YAML can hold {_LARGEST / 1e6:.1f}",
            hint="give large inputs by a URL, leave files out of `include`, or use `fairway up` and `fairway run`",
        )
    os_key, token = os.urandom(32).hex(), make_user_token(_USER)
    plan = plan_for(target, namespace, signing_key=os_key, tokens={_USER: digest_token(token)})
    objects = [*render_server(plan), *_submission(plan, run, to_plain(started), blobs, token)]
    secrets = tuple(secrets_of(submission.graph))
    steps = {step.name: step for step in submission.graph.steps.values() if step.gang.replicas}
    comments = "".join(render_comments(step, replace(target, namespace=namespace), run) for step in steps.values())
    return Export(_head(target, run, secrets, tuple(steps)) + render_yaml(objects) + comments, run, secrets, tuple(steps))


def _head(target: TargetSettings, run: str, secrets: Sequence[str], gangs: Sequence[str]) -> str:
    lines = [
        f"Fairway's server and the run {run}: kubectl apply -f THIS-FILE",
        "It holds a key and a token: keep it as you keep passwords. Applied again it changes nothing.",
        "Whoever wants to look on says `fairway up` for a target with this namespace, which gives them a token.",
    ]
    if gangs:
        lines.append("The server makes the pods of steps when the run comes to them, and the objects of gangs, which stand")
        lines.append(f"as comments at the end ({', '.join(gangs)}).")
    if secrets:
        values = " ".join(f"--from-literal={name}=…" for name in secrets)
        lines.append(f"Before: kubectl create secret generic {user_secrets(target.app)} {values}")
    return "".join(f"# {line}\n" for line in lines)


def _submission(plan: ServerPlan, run: str, started: dict[str, Any], blobs: bytes, token: str) -> list[dict[str, Any]]:
    """The ConfigMap with the run, the Secret with the token, and the Job that brings them together."""
    app = plan.target.app
    name = f"{app}-{run.lower()}"
    binary = {BLOBS_FILE: base64.b64encode(blobs).decode()}
    return [
        {
            **_object("v1", "Secret", name, plan),
            "type": "Opaque",
            "data": {"token": base64.b64encode(token.encode()).decode()},
        },
        {**_object("v1", "ConfigMap", name, plan), "data": {RUN_FILE: json.dumps(started, sort_keys=True)}, "binaryData": binary},
        {**_object("batch/v1", "Job", name, plan), "spec": _job(plan, name)},
    ]


def _object(version: str, kind: str, name: str, plan: ServerPlan) -> dict[str, Any]:
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": name, "namespace": plan.namespace, "labels": labels(plan.target.app)},
    }


def _job(plan: ServerPlan, name: str) -> dict[str, Any]:
    (deployment,) = [one for one in render_server(plan) if one["kind"] == "Deployment"]
    server = deployment["spec"]["template"]["spec"]
    user = server["securityContext"]
    container = {
        "name": "submit",
        "image": plan.target.server_image,
        "command": ["python3", "-m", "fairway.engine.stamp", _FOLDER],
        "workingDir": "/tmp",
        "env": [
            {"name": "HOME", "value": "/tmp"},
            {"name": "FAIRWAY_SERVER", "value": plan.target.app},
            {"name": "FAIRWAY_PORTS", "value": f"{API_PORT},{BLOBS_PORT}"},
            {"name": "FAIRWAY_TOKEN", "valueFrom": {"secretKeyRef": {"name": name, "key": "token"}}},
        ],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}},
        "securityContext": server["containers"][0]["securityContext"],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": "run", "mountPath": _FOLDER, "readOnly": True}, {"name": "tmp", "mountPath": "/tmp"}],
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {key: value for key, value in user.items() if not key.startswith("fsGroup")},
        "containers": [container],
        "volumes": [{"name": "run", "configMap": {"name": name}}, {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}],
    }
    placed = {key: server[key] for key in ("nodeSelector", "tolerations", "imagePullSecrets") if key in server}
    return {"backoffLimit": 6, "template": {"metadata": {"labels": labels(plan.target.app)}, "spec": {**pod, **placed}}}


def _prepare(
    project: Project, target: TargetSettings, pipeline: Any, params: Mapping[str, Any], folder: str, source: str
) -> tuple[Any, Any]:
    """(the submission, the store with all that it needs)."""
    from fairway.engine.services import Services
    from fairway.engine.submit import prepare
    from fairway.spec.layout import BLOBS, DATABASE, STREAMS
    from fairway.step.folder import FolderStreamStore
    from fairway.store import open_journal

    store = FolderArtifactStore(os.path.join(folder, BLOBS))
    os.makedirs(project.home, exist_ok=True)
    services = Services(
        home=project.home,
        journal=open_journal(os.path.join(folder, DATABASE)),  # nothing is written to it
        artifacts=store,
        streams=FolderStreamStore(os.path.join(folder, STREAMS)),
        executor=_Elsewhere(),
        python=target.python,
        place=_Parcel(project, store),
    )
    return prepare(pipeline, params, replace(project, target=target.name), services, source=source), store


def _pack(store: Any) -> bytes:
    """All blobs of the store as one zip, by key."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for key in sorted(stat.key for stat in store.list("")):
            entry = zipfile.ZipInfo(key)
            entry.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(entry, store.get(key))
    return out.getvalue()


class _Parcel:
    """See `engine.services.Place`: a place that nobody can ask, so all that it will need is taken along."""

    machine = "the cluster"

    def __init__(self, project: Project, store: Any) -> None:
        self._home, self._store = project.home, store

    def check_graph(self, graph: Any) -> None:
        """Nothing is known of it."""

    def check_secrets(self, wanted: Mapping[str, str]) -> None:
        """They are named in the YAML's head."""

    def accept(self, graph: Any, bundle: str, folder: str, secrets: Sequence[str], facts: Mapping[str, Any]) -> None:
        """Take the code and the locks along."""
        from pathlib import Path

        from fairway.envs.resolve import get_lock_text
        from fairway.step.bundles import bundle_key, pack_bundle

        if bundle:
            self._store.put(bundle_key(bundle), pack_bundle(bundle, self._home))
        locks = {step.environment.lock for step in graph.steps.values()}
        locks |= {str(plain.get("lock", "")) for plain in facts.get("environments", {}).values()}
        for lock in sorted(locks - {""}):
            self._store.put(blob_key(lock), get_lock_text(lock, Path(self._home)).encode())


class _Elsewhere(AbsentExecutor):
    """What a submission may ask of the executor of a cluster that is not known yet."""

    name = "export"
    refusal = ("nothing runs while a pipeline is exported", "")
    capabilities = CAPABILITIES

    async def inventory(self) -> Inventory:
        """It may have anything."""
        most = Resources(cpu=float("inf"), memory_bytes=1 << 62, accelerators=_Any())
        return Inventory(most, most, most, {})


class _Any(dict[str, int]):
    """Accelerators of every kind."""

    def get(self, key: str, default: Any = None) -> int:
        return 1 << 30
