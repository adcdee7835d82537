"""How the world outside the cluster reaches an endpoint: an Ingress or a Gateway API route to the gateway, where it names one. Pure.

`expose` of an endpoint holds: `host` (a name that leads to the cluster), `class` (an ingress class), `gateway` ("NAME" or
"NAMESPACE/NAME" of a Gateway), `tls` (a Secret with the host's certificate, for an Ingress; without one, for the gateway itself),
`annotations` (of either), `service` (the type of the gateway's Service), `with` ("kserve", "knative"), `hpa` (false: Fairway counts
replicas itself), `hold_s`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fairway.errors import ConfigError
from fairway.kube.manifests import owner_reference
from fairway.kube.serving_gateway import gateway_name
from fairway.kube.serving_manifests import ENDPOINT, GATEWAY, Object, serving_labels
from fairway.kube.target import ClusterSettings

GATEWAY_API = "gateway.networking.k8s.io"
_KNOWN: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("host", "class", "gateway", "tls", "service", "with"), str),
    "annotations": dict,
    "hpa": bool,
    "hold_s": (int, float),
}
_SERVICES, _WITH = ("ClusterIP", "NodePort", "LoadBalancer"), ("kserve", "knative")
_SPELT = {
    "host": "a name such as risk.example.org",
    "class": "an ingress class: kubectl get ingressclass",
    "gateway": "NAME or NAMESPACE/NAME: kubectl get gateways -A",
    "tls": "the name of a Secret with tls.crt and tls.key",
    "service": f"one of {', '.join(_SERVICES)}",
    "with": f"one of {', '.join(_WITH)}, or nothing: Fairway needs neither",
    "annotations": 'an object, such as {"key": "value"}',
    "hpa": "true or false",
    "hold_s": "seconds",
}
_HOST = re.compile(r"(\*\.)?[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


def check_expose(expose: Mapping[str, Any]) -> None:
    """Raises ConfigError for settings that are not known, cannot be, or do not go together."""
    for name, value in expose.items():
        kind = _KNOWN.get(name)
        if kind is None:
            raise ConfigError(f"exposing an endpoint knows no {name!r}", hint=f"known: {', '.join(_KNOWN)}")
        if value is not None and not isinstance(value, kind):
            raise ConfigError(f"--expose {name}: came {value!r}", hint=_SPELT[name])
    if expose.get("host") and _HOST.fullmatch(expose["host"]) is None:
        raise ConfigError(f"--expose host: {expose['host']!r} is no host's name", hint=_SPELT["host"])
    if expose.get("service") and expose["service"] not in _SERVICES:
        raise ConfigError(f"--expose service: came {expose['service']!r}", hint=_SPELT["service"])
    if expose.get("with") and expose["with"] not in _WITH:
        raise ConfigError(f"an endpoint cannot run with {expose['with']!r}", hint=_SPELT["with"])
    if expose.get("gateway") and expose.get("class"):
        raise ConfigError("an endpoint is exposed by an ingress class or by a gateway, not by both", hint="leave one of them out")
    if expose.get("tls") and expose.get("gateway"):
        raise ConfigError("a Gateway has its certificates itself", hint="leave out `tls`, or name an ingress class instead of a gateway")


def is_routed(expose: Mapping[str, Any]) -> bool:
    """Does anything of it need an object of its own?"""
    return any(expose.get(name) for name in ("host", "class", "gateway")) and not expose.get("with")


def route_name(settings: ClusterSettings, endpoint: str) -> str:
    return f"{settings.target.app}-ep-{endpoint}"


def render_route(endpoint: str, expose: Mapping[str, Any], settings: ClusterSettings, owner: Mapping[str, Any]) -> Object:
    """The Ingress, or the HTTPRoute where a gateway is named. Raises ConfigError."""
    check_expose(expose)
    host = str(expose.get("host") or "")
    path = "/" if host else f"/{endpoint}"  # a host of its own needs no prefix: the gateway knows the endpoint by it
    service = gateway_name(settings)
    meta: Object = {
        "name": route_name(settings, endpoint),
        "namespace": settings.namespace,
        "labels": {**serving_labels(settings, GATEWAY), ENDPOINT: endpoint},
    }
    if owner:
        meta["ownerReferences"] = [owner_reference(owner)]
    if expose.get("annotations"):
        meta["annotations"] = {name: str(value) for name, value in expose["annotations"].items()}
    if expose.get("gateway"):
        space, _, name = str(expose["gateway"]).rpartition("/")
        parent = {"name": name, **({"namespace": space} if space else {})}
        rule: Object = {"matches": [{"path": {"type": "PathPrefix", "value": path}}], "backendRefs": [{"name": service, "port": 80}]}
        spec: Object = {"parentRefs": [parent], "rules": [rule]}
        if host:
            spec["hostnames"] = [host]
        return {"apiVersion": f"{GATEWAY_API}/v1", "kind": "HTTPRoute", "metadata": meta, "spec": spec}
    backend = {"service": {"name": service, "port": {"name": "http"}}}
    ingress: Object = {"http": {"paths": [{"path": path, "pathType": "Prefix", "backend": backend}]}}
    spec = {"rules": [{"host": host, **ingress} if host else ingress]}
    if expose.get("class"):
        spec["ingressClassName"] = str(expose["class"])
    if expose.get("tls"):
        spec["tls"] = [{"secretName": str(expose["tls"]), **({"hosts": [host]} if host else {})}]
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": meta, "spec": spec}
