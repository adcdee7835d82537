"""The server's objects in a namespace: one Deployment, and what it needs. Pure: the same plan is the same YAML, on every machine.

Nothing is cluster-wide, and the pod passes the *restricted* Pod Security Standard.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from fairway.kube.rights import Right
from fairway.kube.server_boot import BOOT
from fairway.kube.serving_gateway import GATEWAY_KEY, gateway_token
from fairway.spec.placement import Toleration
from fairway.spec.record import Record, field, record, to_plain
from fairway.spec.target import TargetSettings, server_secret, user_secrets, volume_claim

HOME, SECRET_FOLDER = "/fairway", "/etc/fairway/server"
API_PORT, BLOBS_PORT = 8080, 8081
SERVER = "server"
"""The pod's one container."""
USER = 65532
SIGNING_KEY = "signing-key"
TOKEN_PREFIX = "token."
VERSION, PLAN = "fairway.dev/version", "fairway.dev/plan"
_REQUESTS = {"cpu": "50m", "memory": "128Mi", "ephemeral-storage": "64Mi"}
_LIMITS = {"cpu": "2", "memory": "1Gi", "ephemeral-storage": "1Gi"}
_RBAC = "rbac.authorization.k8s.io"
_CLIENT_SIDE = ("context", "kubeconfig", "url", "storage", "storage_class")

_WRITTEN = ("create", "get", "list", "watch", "patch", "delete")
SERVER_RULES: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("", ("pods", "configmaps"), _WRITTEN),
    ("batch", ("jobs",), _WRITTEN),
    ("", ("pods/log",), ("get",)),
    ("", ("events",), ("get", "list", "watch")),
    ("", ("services",), _WRITTEN),
    ("apps", ("deployments",), _WRITTEN),
    ("", ("serviceaccounts", "persistentvolumeclaims"), ("get", "list")),
    ("", ("resourcequotas", "limitranges"), ("get", "list")),
)
"""What the server does in its namespace: (API group, resources, verbs). Beside these, it reads the two secrets of its own."""
EXTRA_RULES: dict[str, tuple[str, ...]] = {
    "policy": ("poddisruptionbudgets",),
    "autoscaling": ("horizontalpodautoscalers",),
    "networking.k8s.io": ("ingresses", "networkpolicies"),
    "gateway.networking.k8s.io": ("httproutes",),
    "serving.knative.dev": ("services",),
    "serving.kserve.io": ("inferenceservices",),
    "scheduling.k8s.io": ("podgroups", "workloads"),
    "kueue.x-k8s.io": ("localqueues", "workloads"),
}
"""What endpoints and gangs are better with, and do without: resources by API group, given to the server where who sets it up may."""
_READ_ONLY = ("kueue.x-k8s.io",)
"""Those of them that are others' to write: the server only looks why something waits."""
STANDARD_EXTRAS = ("policy", "autoscaling", "networking.k8s.io")
"""Those of them that every cluster has."""


@record
class ServerPlan(Record):
    """All that the objects depend on. `release` names the server's code where it is put into a bare image (no `server_image`). `tokens`:
    user -> SHA-256 of the token; with the signing key they are what the Secret holds, which is left out while there is no key.
    `extras`: the API groups of EXTRA_RULES that its role has."""

    target: TargetSettings
    namespace: str
    version: str
    release: str = ""
    signing_key: str = ""
    tokens: dict[str, str] = field(default_factory=dict)
    extras: tuple[str, ...] = STANDARD_EXTRAS


def labels(app: str) -> dict[str, str]:
    """What every object of this server carries."""
    return {"app.kubernetes.io/name": "fairway", "app.kubernetes.io/managed-by": "fairway", "app.kubernetes.io/part-of": app}


def pod_labels(app: str) -> dict[str, str]:
    """What the server's own pod carries, and no other."""
    return {**labels(app), "app.kubernetes.io/component": "server"}


def render_server(plan: ServerPlan) -> list[dict[str, Any]]:
    """The objects in the order in which they are to be made."""
    secret = [render_secret(plan)] if plan.signing_key else []
    return [
        *secret,
        _account(plan),
        _role(plan),
        _binding(plan),
        _claim(plan),
        _service(plan),
        _deployment(plan),
    ]


def render_secret(plan: ServerPlan) -> dict[str, Any]:
    """The Secret with the key that signs workers' tokens, and digests of users' tokens."""
    values = {
        SIGNING_KEY: plan.signing_key,
        GATEWAY_KEY: gateway_token(plan.signing_key),
        **{TOKEN_PREFIX + user: digest for user, digest in plan.tokens.items()},
    }
    data = {name: base64.b64encode(value.encode()).decode() for name, value in sorted(values.items())}
    return {**_object("v1", "Secret", server_secret(plan.target.app), plan), "type": "Opaque", "data": data}


def server_rights(target: TargetSettings) -> list[Right]:
    """What the server's own account must be allowed to do; who gives it away must have it too."""
    found: list[Right] = []
    for group, resources, verbs in SERVER_RULES:
        for resource in resources:
            name, _, subresource = resource.partition("/")
            found += [Right(verb, name, group, subresource) for verb in verbs]
    return [*found, *(Right("get", "secrets", name=name) for name in _own_secrets(target))]


def extra_rights(group: str) -> list[Right]:
    """What a server needs for one API group of EXTRA_RULES."""
    return [Right(verb, resource, group) for resource in EXTRA_RULES[group] for verb in _extra_verbs(group)]


def _extra_verbs(group: str) -> tuple[str, ...]:
    return ("get", "list") if group in _READ_ONLY else _WRITTEN


def _own_secrets(target: TargetSettings) -> list[str]:
    return [server_secret(target.app), user_secrets(target.app)]


def _object(version: str, kind: str, name: str, plan: ServerPlan) -> dict[str, Any]:
    metadata = {"name": name, "namespace": plan.namespace, "labels": labels(plan.target.app)}
    return {"apiVersion": version, "kind": kind, "metadata": metadata}


def _account(plan: ServerPlan) -> dict[str, Any]:
    return {**_object("v1", "ServiceAccount", plan.target.app, plan), "automountServiceAccountToken": False}


def _role(plan: ServerPlan) -> dict[str, Any]:
    rules: list[dict[str, Any]] = [
        {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)} for group, resources, verbs in SERVER_RULES
    ]
    rules += [{"apiGroups": [group], "resources": list(EXTRA_RULES[group]), "verbs": list(_extra_verbs(group))} for group in plan.extras]
    rules.append({"apiGroups": [""], "resources": ["secrets"], "resourceNames": _own_secrets(plan.target), "verbs": ["get"]})
    return {**_object(f"{_RBAC}/v1", "Role", plan.target.app, plan), "rules": rules}


def _binding(plan: ServerPlan) -> dict[str, Any]:
    app = plan.target.app
    return {
        **_object(f"{_RBAC}/v1", "RoleBinding", app, plan),
        "roleRef": {"apiGroup": _RBAC, "kind": "Role", "name": app},
        "subjects": [{"kind": "ServiceAccount", "name": app, "namespace": plan.namespace}],
    }


def _claim(plan: ServerPlan) -> dict[str, Any]:
    spec: dict[str, Any] = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": plan.target.storage}}}
    if plan.target.storage_class:
        spec["storageClassName"] = plan.target.storage_class
    return {**_object("v1", "PersistentVolumeClaim", volume_claim(plan.target.app), plan), "spec": spec}


def _service(plan: ServerPlan) -> dict[str, Any]:
    """Workers reach the server through it, by its address. A pod that is not ready counts: they try again anyway, and lose no time so."""
    ports = [{"name": name, "port": port, "targetPort": name, "protocol": "TCP"} for name, port in _ports().items()]
    spec = {"selector": pod_labels(plan.target.app), "ports": ports, "publishNotReadyAddresses": True}
    return {**_object("v1", "Service", plan.target.app, plan), "spec": spec}


def _ports() -> dict[str, int]:
    return {"api": API_PORT, "blobs": BLOBS_PORT}


def _deployment(plan: ServerPlan) -> dict[str, Any]:
    app = plan.target.app
    made = _object("apps/v1", "Deployment", app, plan)
    made["metadata"]["annotations"] = {VERSION: plan.version}
    pod = _pod(plan)
    digest = hashlib.sha256(json.dumps(pod, sort_keys=True).encode()).hexdigest()
    notes = {VERSION: plan.version, PLAN: digest[:16], "cluster-autoscaler.kubernetes.io/safe-to-evict": "true"}
    return {
        **made,
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},  # two servers on one volume would be two writers
            "revisionHistoryLimit": 2,
            "progressDeadlineSeconds": 600,
            "selector": {"matchLabels": pod_labels(app)},
            "template": {"metadata": {"labels": pod_labels(app), "annotations": notes}, "spec": pod},
        },
    }


def _pod(plan: ServerPlan) -> dict[str, Any]:
    target = plan.target
    spec: dict[str, Any] = {
        "serviceAccountName": target.app,
        "automountServiceAccountToken": True,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(plan)],
        "volumes": [
            {"name": "home", "persistentVolumeClaim": {"claimName": volume_claim(target.app)}},
            {"name": "secret", "secret": {"secretName": server_secret(target.app), "defaultMode": 0o440}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "512Mi"}},
        ],
    }
    optional: dict[str, Any] = {
        "nodeSelector": dict(target.nodes),
        "tolerations": [_toleration(one) for one in target.tolerations],
        "imagePullSecrets": [{"name": name} for name in target.pull_secrets],
    }
    return spec | {key: value for key, value in optional.items() if value}


def _container(plan: ServerPlan) -> dict[str, Any]:
    target = plan.target
    container: dict[str, Any] = {
        "name": SERVER,
        "image": target.server_image or target.image,
        "command": ["python3", "-m", "fairway.web"] if target.server_image else ["python3", "-c", BOOT],
        "workingDir": HOME,
        "env": _variables(plan),
        "ports": [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in _ports().items()],
        "resources": {"requests": dict(_REQUESTS), "limits": dict(_LIMITS)},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "livenessProbe": _probe("/livez", initialDelaySeconds=10, periodSeconds=15, timeoutSeconds=10, failureThreshold=6),
        # Often: clients come back through a port-forward to a pod that is ready, and wait for as long as this takes to notice.
        "readinessProbe": _probe("/readyz", periodSeconds=1, timeoutSeconds=5, failureThreshold=15),
        "volumeMounts": [
            {"name": "home", "mountPath": HOME},
            {"name": "secret", "mountPath": SECRET_FOLDER, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }
    if target.store_secret:
        container["envFrom"] = [{"secretRef": {"name": target.store_secret}}]
    return container


def _probe(path: str, **timing: int) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": "api"}, **timing}


def _variables(plan: ServerPlan) -> list[dict[str, Any]]:
    target = plan.target
    given = {
        "FAIRWAY_HOME": HOME,
        "HOME": HOME,
        "USER": "fairway",
        "PYTHONUNBUFFERED": "1",
        "FAIRWAY_SERVER": target.app,
        "FAIRWAY_SECRETS": SECRET_FOLDER,
        "FAIRWAY_HOST": "0.0.0.0",  # a port-forward arrives at the pod's loopback
        "FAIRWAY_PORT": str(API_PORT),
        "FAIRWAY_BLOBS_PORT": str(BLOBS_PORT),
        "FAIRWAY_TARGET": render_target(target),
    }
    if not target.server_image:
        given["FAIRWAY_RELEASE"] = plan.release
    if target.store:
        given["FAIRWAY_STORE"] = target.store
    fields = {"FAIRWAY_NAMESPACE": "metadata.namespace", "FAIRWAY_POD": "metadata.name", "POD_IP": "status.podIP"}
    found: list[dict[str, Any]] = [{"name": name, "value": value} for name, value in given.items()]
    found += [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()]
    for variable, reference in (("FAIRWAY_JOURNAL", target.journal), ("FAIRWAY_OIDC_SECRET", target.oidc.client_secret)):
        if reference:
            name, _, key = reference.removeprefix("secret:").partition("/")
            found.append({"name": variable, "valueFrom": {"secretKeyRef": {"name": name, "key": key}}})
    return found


def render_target(target: TargetSettings) -> str:
    """The settings that the server itself needs, as the JSON of a TargetSettings."""
    known = {name: value for name, value in to_plain(target).items() if name not in _CLIENT_SIDE}
    return json.dumps(known, sort_keys=True)


def _toleration(one: Toleration) -> dict[str, Any]:
    given: Mapping[str, Any] = {"key": one.key, "operator": one.operator, "value": one.value, "effect": one.effect}
    made = {name: value for name, value in given.items() if value}
    return {**made, "tolerationSeconds": one.seconds} if one.seconds >= 0 else made
