"""A revision of an endpoint as Kubernetes objects. Pure: the same revision and settings are the same objects, on every server and after
every restart, so that nothing is started anew because somebody looked.

All pods pass the *restricted* Pod Security Standard, with files of their own that cannot be written, and an account without rights.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from fairway.errors import ConfigError
from fairway.kube.manifests import Link, labels, merge, owner_reference, render_resources, restricted_container
from fairway.kube.placing import render_affinity, render_selector, render_tolerations
from fairway.kube.serving_boot import SERVING_BOOT
from fairway.kube.target import ClusterSettings
from fairway.spec.endpoint import Revision, Scaling
from fairway.spec.placement import Placement
from fairway.spec.record import Record, field, from_plain, record, to_plain
from fairway.spec.resources import Resources
from fairway.step.program import HOME

Object = dict[str, Any]
SERVES, ENDPOINT, REVISION = "fairway.dev/serves", "fairway.dev/endpoint", "fairway.dev/revision"
REPLICA, GATEWAY = "replica", "gateway"
HTTP, GRPC = 8080, 8081
LIVE, READY = "/health/live", "/health/ready"
NOTICE_S = 5
"""How long a replica that is to go still answers as if nothing were: until everybody has heard that it goes."""
START_S = 1800
"""What a replica may need before it answers: pulling, installing, loading."""
MAIN = "main"
_WORDS_S = 10  # after the longest request, for closing down
_LONGEST_NAME = 46  # a pod's is 17 longer, and has to fit 63
_SERVED = Resources(cpu=0.5)
CPU_PERCENT = 70
"""Of the processor time that replicas ask for: what an HPA aims at."""
_BUSY = {"type": "Utilization", "averageUtilization": CPU_PERCENT}
_PLACEMENT = 'such as --option placement={"nodes": {"kubernetes.io/arch": "arm64"}, "priority_class": "high"}'
_OURS = ("placement", "python", "env", "workers")  # options that the package itself does not see
_SPREAD = ("kubernetes.io/hostname", "topology.kubernetes.io/zone")


@record
class Served(Record):
    """What a revision's objects depend on. `replicas`: how many are to run now. `owner`: the object with which all of these go (plain, as
    the API server gave it). `is_self_scaled`: Kubernetes sets the number of replicas, and nobody else."""

    endpoint: str
    revision: Revision
    replicas: int
    scaling: Scaling = field(default_factory=Scaling)
    owner: dict[str, Any] = field(default_factory=dict)
    is_self_scaled: bool = False


@record
class Way(Record):
    """How serving pods reach the server, and the token with which they do: one that stays the same, or all would be started anew."""

    link: Link
    token: str


def serving_labels(settings: ClusterSettings, role: str, endpoint: str = "", revision: int = 0) -> dict[str, str]:
    """What the objects of one revision (or of the gateway) carry; pods are found by them."""
    named = {ENDPOINT: endpoint, REVISION: str(revision)} if endpoint else {}
    return {**labels(settings), SERVES: role, **named}


def serving_selector(settings: ClusterSettings, role: str = "") -> str:
    """The label selector of all that serves."""
    return f"app.kubernetes.io/managed-by=fairway,app.kubernetes.io/part-of={settings.target.app},{SERVES}{f'={role}' if role else ''}"


def revision_name(settings: ClusterSettings, endpoint: str, revision: int) -> str:
    """The name of a revision's objects: fits with what Kubernetes puts behind it, and is nobody else's."""
    app = settings.target.app
    name = f"{app}-ep-{endpoint}-{revision}"
    if len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(endpoint.encode()).hexdigest()[:8]
    tail = f"-{digest}-{revision}"
    return f"{app}-ep-{endpoint}"[: _LONGEST_NAME - len(tail)].rstrip("-") + tail


def token_id(endpoint: str, revision: int) -> str:
    """Whom the token of a revision's pods speaks for."""
    return f"ep-{endpoint}-{revision}"


def render_revision(served: Served, settings: ClusterSettings, way: Way) -> list[Object]:
    """Its Service and Deployment, its disruption budget where more than one replica runs, its HPA where Kubernetes scales it."""
    found = [render_service(served, settings), render_deployment(served, settings, way)]
    if served.replicas > 1 or (served.is_self_scaled and served.scaling.minimum > 1):
        found.append(render_budget(served, settings))
    if served.is_self_scaled:
        found.append(render_autoscaler(served, settings))
    return found


def render_service(served: Served, settings: ClusterSettings) -> Object:
    """The gateway talks to replicas by their own addresses; this is for people, and for what else is in the cluster."""
    made = _object("v1", "Service", served, settings)
    ports = [
        {"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"},
        {"name": "grpc", "port": GRPC, "targetPort": "grpc", "protocol": "TCP"},
    ]
    return {**made, "spec": {"selector": _labels(served, settings), "ports": ports}}


def render_deployment(served: Served, settings: ClusterSettings, way: Way) -> Object:
    """Without a number of replicas where Kubernetes itself sets it: what we do not name, we do not change."""
    made = _object("apps/v1", "Deployment", served, settings)
    made["metadata"]["annotations"] = {"fairway.dev/source": served.revision.spec.source[:200]}
    number: Object = {} if served.is_self_scaled else {"replicas": served.replicas}
    made["spec"] = {
        **number,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "revisionHistoryLimit": 2,
        "progressDeadlineSeconds": START_S,
        "selector": {"matchLabels": _labels(served, settings)},
        "template": render_template(served, settings, way),
    }
    return made


def render_budget(served: Served, settings: ClusterSettings) -> Object:
    """Nodes are emptied one replica after another."""
    made = _object("policy/v1", "PodDisruptionBudget", served, settings)
    return {**made, "spec": {"maxUnavailable": 1, "selector": {"matchLabels": _labels(served, settings)}}}


def render_autoscaler(served: Served, settings: ClusterSettings) -> Object:
    """By processor time, which every cluster with metrics-server knows; how eagerly, as the endpoint's scaling says."""
    scaling, made = served.scaling, _object("autoscaling/v2", "HorizontalPodAutoscaler", served, settings)
    period = max(1, min(1800, math.ceil(scaling.window_s)))
    grow: Object = {"type": "Pods", "value": scaling.grow_step} if scaling.grow_step else {"type": "Percent", "value": 100}
    made["spec"] = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": made["metadata"]["name"]},
        "minReplicas": max(1, scaling.minimum),
        "maxReplicas": max(1, scaling.minimum, scaling.maximum),
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": _BUSY}}],
        "behavior": {
            "scaleUp": {"stabilizationWindowSeconds": 0, "policies": [{**grow, "periodSeconds": period}]},
            "scaleDown": {
                "stabilizationWindowSeconds": max(0, min(3600, math.ceil(scaling.shrink_delay_s))),
                "policies": [{"type": "Pods", "value": max(1, scaling.shrink_step), "periodSeconds": period}],
            },
        },
    }
    return made


def render_fence(settings: ClusterSettings, owner: Mapping[str, Any]) -> Object:
    """Replicas are called by the gateway, which asks for keys, and by the server: by nobody else where the network holds to it."""
    own = serving_labels(settings, REPLICA)
    meta: Object = {"name": f"{settings.target.app}-replicas", "namespace": settings.namespace, "labels": own}
    if owner:
        meta["ownerReferences"] = [owner_reference(owner)]
    callers = [serving_labels(settings, GATEWAY), {**labels(settings), "app.kubernetes.io/component": "server"}]
    ingress = [{"from": [{"podSelector": {"matchLabels": one}} for one in callers]}]
    spec: Object = {"podSelector": {"matchLabels": own}, "policyTypes": ["Ingress"], "ingress": ingress}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta, "spec": spec}


def render_template(served: Served, settings: ClusterSettings, way: Way) -> Object:
    """The pods of a revision."""
    spec, placement, resources = served.revision.spec, placement_of(served.revision), resources_of(served.revision)
    own = _labels(served, settings)
    container = render_container(spec.image or settings.target.image, placement)
    container["command"] = ["python3", "-c", SERVING_BOOT, REPLICA]
    container["env"] = [
        *serving_variables(way, placement),
        _variable("FAIRWAY_SERVE", json.dumps(describe_replica(served), sort_keys=True)),
    ]
    container["ports"] = [
        {"name": "http", "containerPort": HTTP, "protocol": "TCP"},
        {"name": "grpc", "containerPort": GRPC, "protocol": "TCP"},
    ]
    container["resources"] = render_resources(resources, settings)
    container.update(render_probes())
    if placement.variables_from:
        container["envFrom"] = [_variables_from(source) for source in placement.variables_from]
    pod = render_pod(placement, settings, grace_s=NOTICE_S + spec.limits.deadline_s + _WORDS_S)
    optional: Object = {
        "nodeSelector": render_selector(resources, placement, settings.target.nodes),
        "tolerations": render_tolerations(resources, placement, settings.target.tolerations),
        "affinity": render_affinity(resources, placement, settings.gpu_products),
    }
    pod.update({key: value for key, value in optional.items() if value})
    pod["topologySpreadConstraints"] = render_spread(own)
    volumes = [("fairway", HOME, {}), ("tmp", "/tmp", {})]
    if resources.shared_memory_bytes:
        volumes.append(("shm", "/dev/shm", {"medium": "Memory", "sizeLimit": str(resources.shared_memory_bytes)}))
    pod["volumes"] = [{"name": name, "emptyDir": empty} for name, _, empty in volumes]
    container["volumeMounts"] = [{"name": name, "mountPath": path} for name, path, _ in volumes]
    pod["containers"] = [container]
    template = {"metadata": {"labels": {**own, **placement.labels}, "annotations": dict(placement.annotations)}, "spec": pod}
    return merge(template, placement.patch) if placement.patch else template


def describe_replica(served: Served) -> Object:
    """What the program in the pod is told of its revision."""
    spec = served.revision.spec
    told: Object = {
        "name": served.endpoint,
        "version": str(served.revision.number),
        "package": spec.package,
        "lock": spec.lock,
        "python": spec.options.get("python", ""),
        "schema": spec.schema,
        "options": {name: value for name, value in spec.options.items() if name not in _OURS},
        "workers": spec.options.get("workers", 0),
        "variables": spec.options.get("env") or {},
        "limits": to_plain(spec.limits),
        "grpc_port": GRPC,
    }
    return {name: value for name, value in told.items() if value or name == "package"}


def placement_of(revision: Revision) -> Placement:
    """Where its pods may run and what they are given: the option "placement", as steps say it. Raises ConfigError."""
    given: Any = revision.spec.options.get("placement") or {}
    if not isinstance(given, dict):
        raise ConfigError(f"the option placement is to be an object, came {given!r}", hint=_PLACEMENT)
    usual, named = Placement(), dict[str, Any](given)
    for name, value in named.items():
        if name not in Placement.record_fields:
            raise ConfigError(f"the option placement knows no {name!r}", hint=_PLACEMENT)
        wanted = type(getattr(usual, name))
        if not isinstance(value, (list, tuple) if wanted is tuple else wanted):
            raise ConfigError(
                f"placement {name}: came {value!r}, expected a {'list' if wanted is tuple else wanted.__name__}", hint=_PLACEMENT
            )
    try:
        return from_plain(Placement, named)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise ConfigError(f"the option placement cannot be read: {error}", hint=_PLACEMENT) from error


def resources_of(revision: Revision) -> Resources:
    """What one replica asks for: nothing of what training asked for, unless the user says so."""
    return from_plain(Resources, revision.spec.resources) if revision.spec.resources else _SERVED


def render_pod(placement: Placement, settings: ClusterSettings, *, grace_s: float) -> Object:
    """What all pods that serve have in common."""
    target = settings.target
    pod: Object = {
        "restartPolicy": "Always",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": math.ceil(grace_s),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": placement.user,
            "runAsGroup": placement.user,
            "fsGroup": placement.user,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    optional: Object = {
        "serviceAccountName": placement.service_account or target.service_account,
        "priorityClassName": placement.priority_class,
        "imagePullSecrets": [{"name": secret} for secret in dict.fromkeys((*placement.pull_secrets, *target.pull_secrets))],
    }
    return pod | {key: value for key, value in optional.items() if value}


def render_container(image: str, placement: Placement) -> Object:
    """A container of the restricted standard that is told to go only once everybody has heard of it."""
    return {
        **restricted_container(MAIN, image, placement),
        # A pod is taken out of tables and Services while it is being ended, not before: so it answers for a moment more.
        "lifecycle": {"preStop": {"exec": {"command": ["python3", "-c", f"import time; time.sleep({NOTICE_S})"]}}},
    }


def render_probes(live: str = LIVE, ready: str = READY) -> Object:
    """Patient while it starts, quick to see that it is ready, slow to kill what may only be busy."""
    return {
        "startupProbe": _probe(live, periodSeconds=1, timeoutSeconds=2, failureThreshold=START_S),
        "livenessProbe": _probe(live, periodSeconds=10, timeoutSeconds=10, failureThreshold=6),
        "readinessProbe": _probe(ready, periodSeconds=1, timeoutSeconds=2, failureThreshold=3),
    }


def render_spread(own: Mapping[str, str]) -> list[Object]:
    """Over nodes and zones, as far as there is room."""
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": dict(own)},
            "matchLabelKeys": ["pod-template-hash"],
        }
        for key in _SPREAD
    ]


def serving_variables(way: Way, placement: Placement) -> list[Object]:
    """What the program in a serving pod finds around it."""
    given = {
        "FAIRWAY_URL": way.link.url,
        "FAIRWAY_BLOBS_URL": way.link.blobs_url,
        "FAIRWAY_RUNTIME": way.link.runtime,
        "FAIRWAY_TOKEN": way.token,
        "FAIRWAY_HOME": HOME,
        "FAIRWAY_HOST": "0.0.0.0",
        "HOME": placement.home or "/tmp",
        "USER": "fairway",
        "LOGNAME": "fairway",
        "PYTHONUNBUFFERED": "1",
    }
    fields = {"FAIRWAY_POD": "metadata.name", "FAIRWAY_NODE": "spec.nodeName", "POD_IP": "status.podIP"}
    found = [_variable(name, value) for name, value in given.items()]
    return found + [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()]


def _labels(served: Served, settings: ClusterSettings) -> dict[str, str]:
    return serving_labels(settings, REPLICA, served.endpoint, served.revision.number)


def _object(version: str, kind: str, served: Served, settings: ClusterSettings) -> Object:
    meta: Object = {
        "name": revision_name(settings, served.endpoint, served.revision.number),
        "namespace": settings.namespace,
        "labels": _labels(served, settings),
    }
    if served.owner:
        meta["ownerReferences"] = [owner_reference(served.owner)]
    return {"apiVersion": version, "kind": kind, "metadata": meta}


def _probe(path: str, **timing: int) -> Object:
    return {"httpGet": {"path": path, "port": "http"}, **timing}


def _variable(name: str, value: str) -> Object:
    return {"name": name, "value": value.replace("$", "$$")}


def _variables_from(source: str) -> Object:
    kind, _, name = source.partition(":")
    return {"configMapRef" if kind == "config" else "secretRef": {"name": name}}
