"""Attempts as Kubernetes objects. Pure: the same attempt and settings are the same object, on every server and after every restart.

All pods pass the *restricted* Pod Security Standard. An attempt is one pod, named by its id. What a pod writes goes to /fairway and /tmp,
which are empty volumes; the image's own files are read-only unless the step says `writable_root`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from fairway.kube.placing import render_affinity, render_selector, render_tolerations
from fairway.kube.queues import QUEUE_NAME
from fairway.kube.target import ClusterSettings
from fairway.spec.attempt import AttemptSpec
from fairway.spec.placement import Placement, Volume
from fairway.spec.record import Record, record, replace, to_plain
from fairway.spec.resources import Resources
from fairway.step.boot import BOOT
from fairway.step.program import HOME, WORK, checkpoint_path

TMP, SHM = "/tmp", "/dev/shm"
RUN, ATTEMPT, ROLE, POOL = "fairway.dev/run", "fairway.dev/attempt", "fairway.dev/role", "fairway.dev/pool"
TASK, STEP = "fairway.dev/task", "fairway.dev/step"
MAIN, FETCH, SHIP = "main", "fetch", "ship"
_SAFE_TO_EVICT, _DO_NOT_DISRUPT = "cluster-autoscaler.kubernetes.io/safe-to-evict", "karpenter.sh/do-not-disrupt"
_SHIP_GRACE_S = 3600  # how long outputs may take to upload after the program has ended
_START_S = 3600  # what a pod may need before its step begins: pulling an image, making an environment
_TEXT_LENGTH = 200


@record
class Link(Record):
    """How a pod reaches the server: base URLs of the API and of blobs, and the digest of the runtime zip."""

    url: str
    blobs_url: str
    runtime: str


def owner_name(run: str) -> str:
    """The name of a run's ConfigMap, which owns its pods."""
    return f"run-{run.lower()}"


def labels(settings: ClusterSettings) -> dict[str, str]:
    """What every object of this target's server carries."""
    return {
        "app.kubernetes.io/name": "fairway",
        "app.kubernetes.io/managed-by": "fairway",
        "app.kubernetes.io/part-of": settings.target.app,
    }


def selector(settings: ClusterSettings) -> str:
    """The label selector of all worker pods of this server."""
    return f"app.kubernetes.io/managed-by=fairway,app.kubernetes.io/part-of={settings.target.app},{ROLE}"


def render_run_owner(run: str, settings: ClusterSettings, *, pipeline: str = "", user: str = "") -> dict[str, Any]:
    """The run's ConfigMap: it owns the run's pods, and does not grow."""
    data = {"run": run, "pipeline": pipeline[:_TEXT_LENGTH], "user": user[:_TEXT_LENGTH]}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": owner_name(run), "namespace": settings.namespace, "labels": {**labels(settings), RUN: run}},
        "data": {name: value for name, value in data.items() if value},
    }


def render_attempt(spec: AttemptSpec, settings: ClusterSettings, *, link: Link, token: str, owner: Mapping[str, Any]) -> dict[str, Any]:
    """The pod of one attempt of a Python or command step. `owner` is the run's ConfigMap as the API server gave it."""
    placement = spec.step.placement
    main = _container(MAIN, image_of(spec, settings), placement)
    main["command"] = ["python3", "-c", BOOT, "pod"]
    main["env"] = [*_variables(spec, settings, link, token), _variable("FAIRWAY_ATTEMPT", spec.id)]
    main["resources"] = render_resources(spec.resources, settings)
    pod = _pod(spec.id, "attempt", spec, settings)
    pod["metadata"]["ownerReferences"] = [owner_reference(owner)]
    pod["spec"]["containers"] = [main]
    if spec.timeout_s:  # the worker itself keeps the time; this ends a pod whose worker hangs
        pod["spec"]["activeDeadlineSeconds"] = math.ceil(spec.timeout_s + settings.target.grace_s) + _START_S
    return finish(pod, spec, settings)


def render_container_step(
    spec: AttemptSpec, settings: ClusterSettings, *, link: Link, token: str, owner: Mapping[str, Any], argv: Sequence[str]
) -> dict[str, Any]:
    """The pod of a container step: `fetch` brings its inputs, the program runs in its own image, the sidecar `ship` takes its outputs away
    once it has ended. `argv` is the command line with paths and values filled in."""
    placement = spec.step.placement
    agent = replace(placement, writable_root=False, variables_from=())
    fetch, ship = (_container(name, settings.target.image, agent) for name in (FETCH, SHIP))
    for container in (fetch, ship):
        container["command"] = ["python3", "-c", BOOT, container["name"]]
        container["env"] = [*_variables(spec, settings, link, token), _variable("FAIRWAY_ATTEMPT", spec.id)]
        container["resources"] = {"requests": {"cpu": "10m", "memory": str(64 << 20)}}
    ship["restartPolicy"] = "Always"  # a native sidecar: it is told to go when the program has ended
    main = _container(MAIN, image_of(spec, settings), placement)
    main["workingDir"] = WORK
    main["command"] = list(argv)
    seed = spec.items[0].seed if spec.items else 0
    main["env"] = [
        *_user_variables(placement),
        _variable("FAIRWAY_SEED", str(seed)),
        *(_variable("FAIRWAY_CHECKPOINTS", checkpoint_path(spec.run, item.task)) for item in spec.items[:1]),
        *(_variable(name, value.replace("$", "$$")) for name, value in spec.environment.variables.items()),
        *(_secret_variable(name, name, settings) for name in spec.secrets),
    ]
    main["resources"] = render_resources(spec.resources, settings)
    pod = _pod(spec.id, "container", spec, settings)
    pod["metadata"]["ownerReferences"] = [owner_reference(owner)]
    pod["spec"]["terminationGracePeriodSeconds"] = _SHIP_GRACE_S
    pod["spec"]["initContainers"] = [ship, fetch]  # `fetch` ends when `ship` is ready to hear that the program has ended
    pod["spec"]["containers"] = [main]
    if spec.timeout_s:
        pod["spec"]["activeDeadlineSeconds"] = math.ceil(spec.timeout_s) + _START_S + _SHIP_GRACE_S
    return finish(pod, spec, settings)


def render_pool_worker(
    name: str, pool: str, spec: AttemptSpec, settings: ClusterSettings, *, link: Link, token: str, owner: Mapping[str, Any]
) -> dict[str, Any]:
    """A warm worker for attempts like `spec`. `owner` is an object that `fairway up` made: pools belong to no single run."""
    placement = spec.step.placement
    main = _container(MAIN, image_of(spec, settings), placement)
    main["command"] = ["python3", "-c", BOOT, "pool"]
    main["env"] = [*_variables(spec, settings, link, token), _variable("FAIRWAY_POOL", pool)]
    main["resources"] = render_resources(spec.resources, settings)
    pod = _pod(name, "pool", spec, settings)
    meta = pod["metadata"]
    meta["labels"] = {**labels(settings), ROLE: "pool", POOL: pool, **placement.labels}
    meta["annotations"] = {STEP: spec.step.name[:_TEXT_LENGTH], **_evictable(True), **placement.annotations}
    meta["ownerReferences"] = [owner_reference(owner)]
    pod["spec"]["containers"] = [main]
    return finish(pod, spec, settings)


def finish(pod: dict[str, Any], spec: AttemptSpec, settings: ClusterSettings) -> dict[str, Any]:
    """The pod with its volumes mounted, its queue, and the step's own patch merged in last."""
    placement = spec.step.placement
    _mount(pod, _volumes(spec, settings))
    queue = placement.queue or settings.target.queue
    if queue and settings.kueue:
        pod["metadata"]["labels"][QUEUE_NAME] = queue
    return merge(pod, placement.patch) if placement.patch else pod


def pool_of(spec: AttemptSpec, settings: ClusterSettings) -> str:
    """The pool that can run an attempt: equal for all that could be run by the same pod."""
    made_of = {
        "environment": to_plain(spec.environment),
        "image": image_of(spec, settings),
        "resources": to_plain(spec.resources),
        "placement": to_plain(spec.step.placement),
        "secrets": sorted(spec.secrets),
    }
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:10]


def image_of(spec: AttemptSpec, settings: ClusterSettings) -> str:
    """The image that the attempt's main container runs."""
    if spec.step.kind == "container":
        return spec.step.image
    return spec.environment.built or spec.environment.image or settings.target.image


def owner_reference(owner: Mapping[str, Any]) -> dict[str, Any]:
    """A reference by which the object goes when its owner does."""
    meta = owner["metadata"]
    return {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": meta["name"], "uid": meta["uid"]}


def render_resources(resources: Resources, settings: ClusterSettings) -> dict[str, Any]:
    """Requests and limits. Cores are asked for and not capped; of memory, disk and devices one has what one asked for."""
    requests: dict[str, str] = {"cpu": f"{max(1, round(resources.cpu * 1000))}m"}
    limits: dict[str, str] = {}
    disk = resources.disk_bytes or settings.target.disk_bytes
    capped = {"memory": resources.memory_bytes, "ephemeral-storage": disk, **resources.accelerators}
    for name, amount in capped.items():
        if amount:
            requests[name] = limits[name] = str(amount)
    return {"requests": requests, "limits": limits} if limits else {"requests": requests}


def merge(value: Any, patch: Any) -> Any:
    """`value` with a JSON merge patch applied (RFC 7386)."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(value) if isinstance(value, Mapping) else {}
    for name, change in patch.items():
        if change is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), change)
    return merged


def _pod(name: str, role: str, spec: AttemptSpec, settings: ClusterSettings) -> dict[str, Any]:
    """A pod without containers."""
    placement, target = spec.step.placement, settings.target
    own = {**labels(settings), RUN: spec.run, ATTEMPT: spec.id, ROLE: role, **placement.labels}
    notes = {TASK: _task_text(spec), STEP: spec.step.name[:_TEXT_LENGTH], **_evictable(placement.spot), **placement.annotations}
    body: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": max(1, math.ceil(target.grace_s)) + 5,  # the agent ships the last lines after the step has ended
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": placement.user,
            "runAsGroup": placement.user,
            "fsGroup": placement.user,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    optional: dict[str, Any] = {
        "serviceAccountName": placement.service_account or target.service_account,
        "priorityClassName": placement.priority_class,
        "nodeSelector": render_selector(spec.resources, placement, target.nodes),
        "tolerations": render_tolerations(spec.resources, placement, target.tolerations),
        "affinity": render_affinity(spec.resources, placement, settings.gpu_products),
        "imagePullSecrets": [{"name": secret} for secret in dict.fromkeys((*placement.pull_secrets, *target.pull_secrets))],
    }
    body.update({key: value for key, value in optional.items() if value})
    meta = {"name": name, "namespace": settings.namespace, "labels": own, "annotations": notes}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": body}


def restricted_container(name: str, image: str, placement: Placement) -> dict[str, Any]:
    """A container of the restricted Pod Security Standard, which works in its home."""
    return {
        "name": name,
        "image": image,
        "workingDir": HOME,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": not placement.writable_root,
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _container(name: str, image: str, placement: Placement) -> dict[str, Any]:
    container = restricted_container(name, image, placement)
    if placement.variables_from:
        container["envFrom"] = [_variables_from(source) for source in placement.variables_from]
    return container


def _variables(spec: AttemptSpec, settings: ClusterSettings, link: Link, token: str) -> list[dict[str, Any]]:
    """What the agent is told. Secrets come by reference: no value of one stands in a manifest."""
    found = [
        _variable("FAIRWAY_URL", link.url),
        _variable("FAIRWAY_BLOBS_URL", link.blobs_url),
        _variable("FAIRWAY_RUNTIME", link.runtime),
        _variable("FAIRWAY_TOKEN", token),
        _variable("FAIRWAY_HOME", HOME),
        _variable("FAIRWAY_GRACE_S", f"{settings.target.grace_s:g}"),
        *_user_variables(spec.step.placement),
        {"name": "FAIRWAY_POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "FAIRWAY_NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    ]
    return [*found, *(_secret_variable(f"FAIRWAY_SECRET_{name}", name, settings) for name in spec.secrets)]


def _user_variables(placement: Placement) -> list[dict[str, Any]]:
    """A numeric user has no entry in /etc/passwd: HOME and USER say what that would."""
    return [_variable("HOME", placement.home or TMP), _variable("USER", "fairway"), _variable("LOGNAME", "fairway")]


def _variables_from(source: str) -> dict[str, Any]:
    kind, _, name = source.partition(":")
    return {"configMapRef" if kind == "config" else "secretRef": {"name": name}}


def _variable(name: str, value: str) -> dict[str, Any]:
    return {"name": name, "value": value}


def _secret_variable(name: str, key: str, settings: ClusterSettings) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": settings.secrets, "key": key}}}


def _evictable(evictable: bool) -> dict[str, str]:
    """May an autoscaler end the pod to empty its node? Attempts would be done again, so only where that was agreed to."""
    notes = {_SAFE_TO_EVICT: "true" if evictable else "false"}
    return notes if evictable else {**notes, _DO_NOT_DISRUPT: "true"}


def _task_text(spec: AttemptSpec) -> str:
    """The tasks of an attempt in a line that does not grow with them."""
    first = spec.items[0].task if spec.items else spec.node
    return (first if len(spec.items) <= 1 else f"{first} and {len(spec.items) - 1} more")[:_TEXT_LENGTH]


def _volumes(spec: AttemptSpec, settings: ClusterSettings) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """(volume, mount) for what is always there and what the step asks for; a step's own volume takes the place of ours at the same path."""
    shared = spec.resources.shared_memory_bytes
    wanted = [Volume(HOME, empty_bytes=-1), Volume(TMP, empty_bytes=-1)]
    if shared:
        wanted.append(Volume(SHM, empty_bytes=shared, memory=True))
    own = {volume.path.rstrip("/") for volume in spec.step.placement.volumes}
    wanted = [volume for volume in wanted if volume.path not in own]
    found: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for number, volume in enumerate([*wanted, *spec.step.placement.volumes]):
        name = {HOME: "fairway", TMP: "tmp", SHM: "shm"}.get(volume.path) or f"volume-{number}"
        mount: dict[str, Any] = {"name": name, "mountPath": volume.path}
        if volume.read_only or volume.secret or volume.config_map:
            mount["readOnly"] = True
        if volume.sub_path:
            mount["subPath"] = volume.sub_path
        found.append(({"name": name, **_source(volume)}, mount))
    return found


def _source(volume: Volume) -> dict[str, Any]:
    if volume.claim:
        return {"persistentVolumeClaim": {"claimName": volume.claim, "readOnly": True} if volume.read_only else {"claimName": volume.claim}}
    if volume.secret:
        return {"secret": {"secretName": volume.secret, "defaultMode": 0o440}}
    if volume.config_map:
        return {"configMap": {"name": volume.config_map, "defaultMode": 0o440}}
    empty: dict[str, Any] = {"medium": "Memory"} if volume.memory else {}
    return {"emptyDir": {**empty, "sizeLimit": str(volume.empty_bytes)} if volume.empty_bytes > 0 else empty}


def _mount(pod: dict[str, Any], volumes: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    pod["spec"]["volumes"] = [volume for volume, _ in volumes]
    for container in (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]):
        container["volumeMounts"] = [mount for _, mount in volumes]
