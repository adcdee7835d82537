"""The gateway in a cluster: a Deployment of its own with a Service, and a ConfigMap with the table from which it starts. Pure.

Its pods keep nothing: the table is pushed to them when it changes, and read from the ConfigMap when one starts anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fairway.kube.manifests import owner_reference
from fairway.kube.serving_boot import SERVING_BOOT
from fairway.kube.serving_manifests import (
    GATEWAY,
    GRPC,
    HTTP,
    NOTICE_S,
    Object,
    Way,
    render_container,
    render_pod,
    render_probes,
    render_spread,
    serving_labels,
    serving_variables,
)
from fairway.kube.target import ClusterSettings
from fairway.spec.placement import Placement
from fairway.spec.record import Record, field, record
from fairway.spec.target import server_secret
from fairway.spec.tokens import GATEWAYS, derive_key

ADMIN = 8082
CONFIG_FOLDER, TABLE = "/etc/fairway/gateway", "table.json"
SECRET_FOLDER, TOKEN_FILE, TLS_FOLDER = "/etc/fairway/admin", "token", "/etc/fairway/tls"
GATEWAY_ID = "gateway"
"""Whom the token of gateway pods speaks for."""
GATEWAY_KEY = "gateway-key"
"""The key of the server's Secret that holds the token for the gateway's admin port; gateway pods get this one and no other."""
_HELD_S = 60.0  # a request may be held for a start, and then take its time
_WORDS_S = 10.0


@record
class GatewayPlan(Record):
    """`replicas`: 2 where somebody relies on it. `longest_s`: of any endpoint's deadlines. `service`: the type of its Service
    ("ClusterIP", "LoadBalancer", "NodePort"). `tls`: a Secret with tls.crt and tls.key, "" for none."""

    replicas: int = 1
    longest_s: float = 30.0
    service: str = "ClusterIP"
    tls: str = ""
    owner: dict[str, Any] = field(default_factory=dict)


def gateway_name(settings: ClusterSettings) -> str:
    return f"{settings.target.app}-gateway"


def gateway_token(signing_key: str) -> str:
    """What the server shows at the admin port. `fairway up` puts it into the Secret, the server knows it by its own key."""
    return derive_key(signing_key, GATEWAYS)


def render_gateway(plan: GatewayPlan, settings: ClusterSettings, way: Way) -> list[Object]:
    """All but its ConfigMap, which changes with every replica."""
    found = [_service(plan, settings), _deployment(plan, settings, way)]
    return [*found, _budget(plan, settings)] if plan.replicas > 1 else found


def render_table(table: Mapping[str, Any], settings: ClusterSettings, owner: Mapping[str, Any] | None = None) -> Object:
    """The ConfigMap. Keys stand in it as digests only, and secrets do not: gateways have the key that they follow from."""
    made = _object("v1", "ConfigMap", settings, owner or {})
    rows = {name: {field: value for field, value in row.items() if field != "secret"} for name, row in table["endpoints"].items()}
    return {**made, "data": {TABLE: json.dumps({**table, "endpoints": rows}, sort_keys=True, separators=(",", ":"))}}


def _object(version: str, kind: str, settings: ClusterSettings, owner: Mapping[str, Any]) -> Object:
    meta: Object = {"name": gateway_name(settings), "namespace": settings.namespace, "labels": serving_labels(settings, GATEWAY)}
    if owner:
        meta["ownerReferences"] = [owner_reference(owner)]
    return {"apiVersion": version, "kind": kind, "metadata": meta}


def _service(plan: GatewayPlan, settings: ClusterSettings) -> Object:
    front = {"name": "https", "port": 443} if plan.tls else {"name": "http", "port": 80}
    ports = [{**front, "targetPort": "http", "protocol": "TCP"}, {"name": "grpc", "port": GRPC, "targetPort": "grpc", "protocol": "TCP"}]
    spec: Object = {"type": plan.service, "selector": serving_labels(settings, GATEWAY), "ports": ports}
    return {**_object("v1", "Service", settings, plan.owner), "spec": spec}


def _budget(plan: GatewayPlan, settings: ClusterSettings) -> Object:
    made = _object("policy/v1", "PodDisruptionBudget", settings, plan.owner)
    return {**made, "spec": {"maxUnavailable": 1, "selector": {"matchLabels": serving_labels(settings, GATEWAY)}}}


def _deployment(plan: GatewayPlan, settings: ClusterSettings, way: Way) -> Object:
    own = serving_labels(settings, GATEWAY)
    made = _object("apps/v1", "Deployment", settings, plan.owner)
    made["spec"] = {
        "replicas": plan.replicas,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "revisionHistoryLimit": 2,
        "selector": {"matchLabels": own},
        "template": {"metadata": {"labels": own}, "spec": _pod(plan, settings, way, own)},
    }
    return made


def _pod(plan: GatewayPlan, settings: ClusterSettings, way: Way, own: Mapping[str, str]) -> Object:
    placement = Placement(nodes=settings.target.nodes, tolerations=settings.target.tolerations)
    container = render_container(settings.target.image, placement)
    container["command"] = ["python3", "-c", SERVING_BOOT, GATEWAY]
    told: Object = {
        "table": f"{CONFIG_FOLDER}/{TABLE}",
        "admin_port": ADMIN,
        "token_file": f"{SECRET_FOLDER}/{TOKEN_FILE}",
        "grpc_port": GRPC,
    }
    if plan.tls:
        told["tls"] = TLS_FOLDER
    container["env"] = [*serving_variables(way, placement), {"name": "FAIRWAY_SERVE", "value": json.dumps(told, sort_keys=True)}]
    container["ports"] = [
        {"name": name, "containerPort": port, "protocol": "TCP"} for name, port in (("http", HTTP), ("grpc", GRPC), ("admin", ADMIN))
    ]
    container["resources"] = {"requests": {"cpu": "100m", "memory": "96Mi"}, "limits": {"memory": "512Mi"}}
    container.update(render_probes("/health/live", "/health/ready"))
    if plan.tls:
        for name in ("startupProbe", "livenessProbe", "readinessProbe"):
            container[name]["httpGet"]["scheme"] = "HTTPS"
    secret = {"secretName": server_secret(settings.target.app), "defaultMode": 0o440, "items": [{"key": GATEWAY_KEY, "path": TOKEN_FILE}]}
    volumes: list[tuple[str, str, Object]] = [
        ("fairway", "/fairway", {"emptyDir": {}}),
        ("tmp", "/tmp", {"emptyDir": {"sizeLimit": "512Mi"}}),
        ("table", CONFIG_FOLDER, {"configMap": {"name": gateway_name(settings), "optional": True}}),
        ("admin", SECRET_FOLDER, {"secret": secret}),
    ]
    if plan.tls:
        volumes.append(("tls", TLS_FOLDER, {"secret": {"secretName": plan.tls, "defaultMode": 0o440}}))
    container["volumeMounts"] = [
        {"name": name, "mountPath": path, **({} if "emptyDir" in source else {"readOnly": True})} for name, path, source in volumes
    ]
    pod = render_pod(placement, settings, grace_s=NOTICE_S + _HELD_S + plan.longest_s + _WORDS_S)
    pod["topologySpreadConstraints"] = render_spread(own)
    pod["volumes"] = [{"name": name, **source} for name, _, source in volumes]
    pod["containers"] = [container]
    return pod
