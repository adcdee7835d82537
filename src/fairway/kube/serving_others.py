"""A revision as an InferenceService of KServe or a Service of Knative, where the endpoint asks for one and the cluster has it. Pure.

The pods are the same as everywhere, less what these do not let one say. They scale themselves, to zero too.
"""

from __future__ import annotations

import math
from typing import Any

from fairway.errors import ConfigError
from fairway.kube.manifests import owner_reference
from fairway.kube.serving_manifests import HTTP, READY, REPLICA, Object, Served, Way, render_template, revision_name, serving_labels
from fairway.kube.target import ClusterSettings

GROUPS = {"kserve": "serving.kserve.io", "knative": "serving.knative.dev"}
KINDS = {"kserve": "InferenceService", "knative": "KnativeService"}
SPELT = {"kserve": "KServe", "knative": "Knative Serving"}
_KNATIVE_POD = ("automountServiceAccountToken", "enableServiceLinks", "serviceAccountName", "imagePullSecrets", "volumes")
_KNATIVE_CONTAINER = (
    "name",
    "image",
    "command",
    "workingDir",
    "env",
    "envFrom",
    "resources",
    "volumeMounts",
    "securityContext",
    "terminationMessagePolicy",
)


def check_with(name: str) -> str:
    """The name, if it is one. Raises ConfigError."""
    if name not in GROUPS:
        raise ConfigError(f"an endpoint cannot run with {name!r}", hint=f"one of {', '.join(GROUPS)}, or nothing: Fairway needs neither")
    return name


def render_other(which: str, served: Served, settings: ClusterSettings, way: Way) -> Object:
    """The revision's one object. `which`: "kserve" or "knative"."""
    check_with(which)
    template = render_template(served, settings, way)
    meta: Object = {
        "name": revision_name(settings, served.endpoint, served.revision.number),
        "namespace": settings.namespace,
        "labels": serving_labels(settings, REPLICA, served.endpoint, served.revision.number),
    }
    if served.owner:
        meta["ownerReferences"] = [owner_reference(served.owner)]
    return _inference_service(served, template, meta) if which == "kserve" else _knative_service(served, template, meta)


def address_of(obj: Object) -> str:
    """HOST:PORT at which it is reached from inside the cluster, "" while it is not ready."""
    status: dict[str, Any] = obj.get("status") or {}
    ready = any(one.get("type") == "Ready" and one.get("status") == "True" for one in status.get("conditions") or ())
    url = str((status.get("address") or {}).get("url") or "")
    host = url.partition("://")[2].partition("/")[0]
    return (host if ":" in host else f"{host}:80") if ready and host else ""


def reason_of(obj: Object) -> str:
    """Why it is not ready, in its own words."""
    for one in (obj.get("status") or {}).get("conditions") or ():
        if one.get("type") == "Ready" and one.get("status") == "False":
            return " ".join(part for part in (one.get("reason"), one.get("message")) if part)
    return ""


def _lean(template: Object) -> tuple[Object, Object]:
    """(pod, container) without what Knative refuses: a pod's own security settings (the container has them), placement, probes at start,
    hooks, what is known only of the running pod, a second port."""
    pod = template["spec"]
    (main,) = pod["containers"]
    container = {name: main[name] for name in _KNATIVE_CONTAINER if name in main}
    safe = {name: pod["securityContext"][name] for name in ("runAsNonRoot", "runAsUser", "seccompProfile")}
    container["securityContext"] = {**main["securityContext"], **safe}
    container["env"] = [one for one in main["env"] if "valueFrom" not in one]
    container["ports"] = [{"name": "http1", "containerPort": HTTP, "protocol": "TCP"}]
    container["readinessProbe"] = {"httpGet": {"path": READY}, "periodSeconds": 1}
    return {name: pod[name] for name in _KNATIVE_POD if name in pod}, container


def _knative_service(served: Served, template: Object, meta: Object) -> Object:
    scaling, about = served.scaling, template["metadata"]
    notes = {
        "autoscaling.knative.dev/min-scale": str(scaling.minimum),
        "autoscaling.knative.dev/max-scale": str(max(1, scaling.maximum)),
        "autoscaling.knative.dev/scale-down-delay": f"{math.ceil(scaling.shrink_delay_s)}s",
        "autoscaling.knative.dev/window": f"{max(6, min(3600, math.ceil(scaling.idle_s)))}s",
    }
    if scaling.on == "concurrency":
        notes |= {"autoscaling.knative.dev/metric": "concurrency", "autoscaling.knative.dev/target": f"{max(0.01, scaling.target):g}"}
    pod, container = _lean(template)
    pod |= {"timeoutSeconds": math.ceil(served.revision.spec.limits.deadline_s), "containers": [container]}
    inner = {"metadata": {"labels": about["labels"], "annotations": {**about["annotations"], **notes}}, "spec": pod}
    meta["labels"]["networking.knative.dev/visibility"] = "cluster-local"  # the gateway stands before it
    return {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": meta, "spec": {"template": inner}}


def _inference_service(served: Served, template: Object, meta: Object) -> Object:
    """To zero only where KServe itself stands on Knative; else it makes a Deployment, which every cluster with KServe can."""
    scaling = served.scaling
    is_serverless = scaling.minimum == 0
    if is_serverless:
        pod, container = _lean(template)
    else:
        pod = {name: value for name, value in template["spec"].items() if name != "restartPolicy"}
        (container,) = pod.pop("containers")
    ports = [one for one in container["ports"] if one["containerPort"] == HTTP]
    predictor: Object = {
        **pod,
        "minReplicas": scaling.minimum,
        "maxReplicas": max(1, scaling.minimum, scaling.maximum),
        "timeout": math.ceil(served.revision.spec.limits.deadline_s),
        "labels": template["metadata"]["labels"],
        "containers": [{**container, "name": "kserve-container", "ports": ports}],
    }
    if is_serverless and scaling.on == "concurrency":
        predictor |= {"scaleMetric": "concurrency", "scaleTarget": max(1, math.ceil(scaling.target))}
    meta["annotations"] = {"serving.kserve.io/deploymentMode": "Serverless" if is_serverless else "RawDeployment"}
    meta["labels"]["networking.kserve.io/visibility"] = "cluster-local"
    return {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": meta, "spec": {"predictor": predictor}}
