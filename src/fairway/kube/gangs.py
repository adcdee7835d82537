"""A gang as Kubernetes objects: an Indexed Job whose pods are its replicas, what keeps others off their ports, and what tells a scheduler
that they belong together. Pure.

The Job never makes a pod twice: a gang that has lost one starts again as another attempt. Its pods report to the server where they are;
neither a Service nor the cluster's DNS is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fairway.kube import manifests
from fairway.kube.fitting import tolerates
from fairway.kube.manifests import ATTEMPT, ROLE, RUN, STEP, TASK, Link, labels, owner_reference
from fairway.kube.queues import QUEUE_NAME
from fairway.kube.target import ClusterSettings
from fairway.spec.attempt import AttemptSpec
from fairway.spec.record import Record, record
from fairway.step.program import HOME

GANG, GANG_CONTAINER = "gang", "gang-container"
INDEX = "batch.kubernetes.io/job-completion-index"
_MIN_PARALLELISM = "kueue.x-k8s.io/job-min-parallelism"
_SAME_COMPLETIONS = "kueue.x-k8s.io/job-completions-equal-parallelism"
_GROUP = "replicas"
_LOST_S = 60
"""How long a replica stays on a node of which nothing is heard. Kubernetes waits five minutes; all the others stand still for as long."""
_TOLD_VOLUME, _TOLD_FOLDER = "told", "/etc/fairway-gang"  # where `fetch` sees what the kubelet knows of its pod
HOSTS = "etc/hosts"
"""Where in a pod's home `fetch` writes the names of the others."""
TOLD = "gang.fairway.dev"
"""The domain of the annotations that say what a pod's program is told; that of KEY is the world's key, once all of it is said."""
KEY = "key"
Object = dict[str, Any]


@record
class Program(Record):
    """What a container step's gang runs: the command line, and the names of the variables that say who each one is. Their values are known
    when the replicas have met, and stand in annotations of their pods, from where the kubelet takes them when the program starts."""

    argv: tuple[str, ...]
    variables: tuple[str, ...]


def render_gang(
    spec: AttemptSpec, settings: ClusterSettings, *, link: Link, token: str, owner: Mapping[str, Any], scheduler: str = ""
) -> list[Object]:
    """The objects of a gang of a Python or command step, in the order in which they are to be made; the last is its Job. `scheduler`: the
    version of the scheduler's own gang API that the cluster serves ("v1alpha1", "v1alpha2"), "" if none."""
    pod = manifests.render_attempt(spec, settings, link=link, token=token, owner=owner)
    pod["spec"]["containers"][0]["env"].append(_index())
    return wrap(pod, GANG, spec, settings, owner=owner, scheduler=scheduler)


def render_gang_of_programs(
    spec: AttemptSpec,
    settings: ClusterSettings,
    *,
    link: Link,
    token: str,
    owner: Mapping[str, Any],
    program: Program,
    scheduler: str = "",
) -> list[Object]:
    """The same of a container step. Its image need have nothing but the program: who it is stands in its variables, where the others are
    in its /etc/hosts, which `fetch` writes before the program starts. `fetch` ends when the pod's kubelet knows the variables."""
    pod = manifests.render_container_step(spec, settings, link=link, token=token, owner=owner, argv=program.argv)
    (main,) = pod["spec"]["containers"]
    for container in pod["spec"]["initContainers"]:
        container["env"] += [_index(), {"name": "FAIRWAY_TOLD", "value": _TOLD_FOLDER}]
    given = {entry["name"] for entry in main["env"]}
    main["env"] = [*(_told(name) for name in program.variables if name not in given), *main["env"]]
    home = next(mount["name"] for mount in main["volumeMounts"] if mount["mountPath"] == HOME)
    pod["spec"]["volumes"].append({"name": _TOLD_VOLUME, "downwardAPI": {"items": [{"path": KEY, "fieldRef": _field(KEY)}]}})
    for container in pod["spec"]["initContainers"]:
        container["volumeMounts"] = [*container["volumeMounts"], {"name": _TOLD_VOLUME, "mountPath": _TOLD_FOLDER, "readOnly": True}]
    main["volumeMounts"] = [*main["volumeMounts"], {"name": home, "mountPath": "/etc/hosts", "subPath": HOSTS, "readOnly": True}]
    return wrap(pod, GANG_CONTAINER, spec, settings, owner=owner, scheduler=scheduler)


def wrap(pod: Object, role: str, spec: AttemptSpec, settings: ClusterSettings, *, owner: Mapping[str, Any], scheduler: str) -> list[Object]:
    """The pod of an attempt as the pattern of a gang's Job."""
    gang, meta, body = spec.step.gang, pod["metadata"], pod["spec"]
    if "activeDeadlineSeconds" in body:
        body["activeDeadlineSeconds"] += int(gang.start_timeout_s)
    body["tolerations"] = _bounded(body.get("tolerations") or [])
    queue = meta["labels"].pop(QUEUE_NAME, "")
    job_meta: Object = {
        "name": spec.id,
        "namespace": settings.namespace,
        "labels": {**labels(settings), RUN: spec.run, ATTEMPT: spec.id, ROLE: role},
        "annotations": {name: meta["annotations"][name] for name in (TASK, STEP)},
        "ownerReferences": [owner_reference(owner)],
    }
    if queue:
        job_meta["labels"][QUEUE_NAME] = queue
        if gang.fewest < gang.replicas:
            job_meta["annotations"] |= {_MIN_PARALLELISM: str(gang.fewest), _SAME_COMPLETIONS: "true"}
    group = [] if queue or not scheduler else [_pod_group(spec, settings, body, owner, scheduler)]
    template: Object = {
        "metadata": {"labels": {**meta["labels"], ROLE: role}, "annotations": meta["annotations"]},
        "spec": body,
    }
    job: Object = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": job_meta,
        "spec": {
            "completionMode": "Indexed",
            "completions": gang.replicas,
            "parallelism": gang.replicas,
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "template": template,
        },
    }
    if queue:
        job["spec"]["suspend"] = True  # Kueue starts it, when all of it has room
    return [*group, render_fence(spec, settings, owner), job]


def render_fence(spec: AttemptSpec, settings: ClusterSettings, owner: Mapping[str, Any]) -> Object:
    """Only its own pods may connect to a gang's: most frameworks let in whoever reaches their ports. Nothing else calls its pods (agents
    call the server), and what these call is not restrained. A policy beside it can allow more: Kubernetes adds them up."""
    own: Object = {"podSelector": {"matchLabels": {ATTEMPT: spec.id}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _meta(spec, settings, owner),
        "spec": {**own, "policyTypes": ["Ingress"], "ingress": [{"from": [own]}]},
    }


def index_of(pod: Mapping[str, Any]) -> int:
    """Which replica a pod is."""
    meta = pod["metadata"]
    return int((meta.get("annotations") or {}).get(INDEX) or meta["labels"].get(INDEX) or 0)


def job_uid_of(pod: Mapping[str, Any]) -> str:
    """The uid of the Job that has made it."""
    return next((owner["uid"] for owner in pod["metadata"].get("ownerReferences") or () if owner.get("kind") == "Job"), "")


def has_place(pod: Mapping[str, Any]) -> bool:
    """Does it hold room on a node?"""
    return bool(pod["spec"].get("nodeName"))


def _bounded(tolerations: list[Object]) -> list[Object]:
    """A node that is lost is tolerated for a while, unless it is already said for how long."""
    lost = [{"key": f"node.kubernetes.io/{name}", "effect": "NoExecute"} for name in ("not-ready", "unreachable")]
    unsaid = [taint for taint in lost if not any(tolerates(one, taint) for one in tolerations)]
    return [*tolerations, *({"operator": "Exists", **taint, "tolerationSeconds": _LOST_S} for taint in unsaid)]


def _field(name: str) -> Object:
    return {"fieldPath": f"metadata.annotations['{TOLD}/{name}']"}


def _told(name: str) -> Object:
    return {"name": name, "valueFrom": {"fieldRef": _field(name)}}


def _index() -> Object:
    return {"name": "FAIRWAY_REPLICA", "valueFrom": {"fieldRef": {"fieldPath": f"metadata.annotations['{INDEX}']"}}}


def _pod_group(spec: AttemptSpec, settings: ClusterSettings, body: Object, owner: Mapping[str, Any], version: str) -> Object:
    """What the scheduler must know, as of Kubernetes 1.35 (v1alpha1: a Workload) and 1.36 (v1alpha2: a PodGroup); the pods name it."""
    policy = {"gang": {"minCount": spec.step.gang.fewest}}
    meta = _meta(spec, settings, owner)
    if version == "v1alpha1":
        body["workloadRef"] = {"name": spec.id, "podGroup": _GROUP}
        wanted: Object = {"podGroups": [{"name": _GROUP, "policy": policy}]}
        return {"apiVersion": "scheduling.k8s.io/v1alpha1", "kind": "Workload", "metadata": meta, "spec": wanted}
    body["schedulingGroup"] = {"podGroupName": spec.id}
    return {"apiVersion": "scheduling.k8s.io/v1alpha2", "kind": "PodGroup", "metadata": meta, "spec": {"schedulingPolicy": policy}}


def _meta(spec: AttemptSpec, settings: ClusterSettings, owner: Mapping[str, Any]) -> Object:
    """Of what is beside a gang's Job."""
    return {
        "name": spec.id,
        "namespace": settings.namespace,
        "labels": {**labels(settings), RUN: spec.run},
        "ownerReferences": [owner_reference(owner)],
    }
