"""An endpoint's objects as they stand in its namespace, as YAML: to look at, to keep, to apply again where the same server is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fairway.engine.manifest_text import render_yaml
from fairway.errors import FairwayError, NotFoundError
from fairway.kube.serving_gateway import gateway_name
from fairway.kube.serving_manifests import ENDPOINT, serving_selector
from fairway.kube.target import ClusterSettings
from fairway.spec.target import TargetSettings

if TYPE_CHECKING:
    from fairway.kube.client import KubeClient

Object = dict[str, Any]
_KINDS = (
    *("Service", "Deployment", "PodDisruptionBudget", "HorizontalPodAutoscaler", "Ingress"),
    *("HTTPRoute", "InferenceService", "KnativeService"),
)
_GATEWAYS = ("ConfigMap", "Service", "Deployment", "PodDisruptionBudget")
_ASSIGNED = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy", "sessionAffinity")
_NOTES = ("deployment.kubernetes.io/", "kubectl.kubernetes.io/", "autoscaling.alpha.kubernetes.io/")
_HEAD = """# The endpoint {name} of the Fairway server {app!r} in the namespace {namespace}, as it stands.
# Its pods get the model from that server, by the token in it: keep it as you keep a key.
"""


async def export_endpoint(client: KubeClient, target: TargetSettings, name: str) -> str:
    """The YAML: the endpoint's own objects, then those of the gateway. Raises NotFoundError."""
    settings = ClusterSettings(target, client.namespace)
    labels = f"{serving_selector(settings)},{ENDPOINT}={name}"
    own = [obj for kind in _KINDS for obj in await _list(client, kind, labels)]
    if not own:
        raise NotFoundError(f"the namespace {client.namespace} has nothing of an endpoint {name!r}", hint="fairway endpoints lists them")
    shared = [found for kind in _GATEWAYS if (found := await client.find(kind, gateway_name(settings))) is not None]
    head = _HEAD.format(name=name, app=target.app, namespace=client.namespace)
    return head + render_yaml([clean(obj) for obj in (*own, *shared)])


def clean(obj: Object) -> Object:
    """Without what the cluster has written: what is left can be applied."""
    meta = obj["metadata"]
    kept: Object = {key: meta[key] for key in ("name", "namespace", "labels") if key in meta}
    notes = {key: value for key, value in (meta.get("annotations") or {}).items() if not key.startswith(_NOTES)}
    if notes:
        kept["annotations"] = notes
    made: Object = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": kept}
    made.update({key: value for key, value in obj.items() if key not in ("apiVersion", "kind", "metadata", "status", "spec")})
    if "spec" in obj:
        dropped = _ASSIGNED if obj["kind"] == "Service" and obj["apiVersion"] == "v1" else ()
        made["spec"] = {key: value for key, value in obj["spec"].items() if key not in dropped}
    return made


async def _list(client: KubeClient, kind: str, labels: str) -> list[Object]:
    """None of a kind that the cluster does not know, or that the caller may not see."""
    try:
        return await client.list(kind, labels=labels)
    except FairwayError:
        if kind == "Deployment":
            raise
        return []
