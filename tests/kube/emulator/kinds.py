"""The kinds of objects this cluster knows. Custom resources are there in a cluster that has their group installed."""

from __future__ import annotations

from typing import NamedTuple


class Kind(NamedTuple):
    """One resource of the API. `status`: it has the subresource, so that a plain write leaves the status as it is."""

    kind: str
    plural: str
    group: str = ""
    version: str = "v1"
    namespaced: bool = True
    status: bool = False
    scale: bool = False

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """As messages name it: `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


POD = Kind("Pod", "pods", status=True)
NODE = Kind("Node", "nodes", namespaced=False, status=True)
NAMESPACE = Kind("Namespace", "namespaces", namespaced=False, status=True)
SERVICE = Kind("Service", "services", status=True)
ENDPOINTS = Kind("Endpoints", "endpoints")
SECRET = Kind("Secret", "secrets")
CONFIG_MAP = Kind("ConfigMap", "configmaps")
SERVICE_ACCOUNT = Kind("ServiceAccount", "serviceaccounts")
CLAIM = Kind("PersistentVolumeClaim", "persistentvolumeclaims", status=True)
VOLUME = Kind("PersistentVolume", "persistentvolumes", namespaced=False, status=True)
EVENT = Kind("Event", "events")
QUOTA = Kind("ResourceQuota", "resourcequotas", status=True)
LIMIT_RANGE = Kind("LimitRange", "limitranges")
DEPLOYMENT = Kind("Deployment", "deployments", "apps", status=True, scale=True)
REPLICA_SET = Kind("ReplicaSet", "replicasets", "apps", status=True, scale=True)
JOB = Kind("Job", "jobs", "batch", status=True)
ROLE = Kind("Role", "roles", "rbac.authorization.k8s.io")
ROLE_BINDING = Kind("RoleBinding", "rolebindings", "rbac.authorization.k8s.io")
STORAGE_CLASS = Kind("StorageClass", "storageclasses", "storage.k8s.io", namespaced=False)
PRIORITY_CLASS = Kind("PriorityClass", "priorityclasses", "scheduling.k8s.io", namespaced=False)
DISRUPTION_BUDGET = Kind("PodDisruptionBudget", "poddisruptionbudgets", "policy", status=True)
ENDPOINT_SLICE = Kind("EndpointSlice", "endpointslices", "discovery.k8s.io")
LEASE = Kind("Lease", "leases", "coordination.k8s.io")
AUTOSCALER = Kind("HorizontalPodAutoscaler", "horizontalpodautoscalers", "autoscaling", "v2", status=True)
INGRESS = Kind("Ingress", "ingresses", "networking.k8s.io", status=True)
NETWORK_POLICY = Kind("NetworkPolicy", "networkpolicies", "networking.k8s.io")
LOCAL_QUEUE = Kind("LocalQueue", "localqueues", "kueue.x-k8s.io", "v1beta1", status=True)
CLUSTER_QUEUE = Kind("ClusterQueue", "clusterqueues", "kueue.x-k8s.io", "v1beta1", namespaced=False, status=True)
WORKLOAD = Kind("Workload", "workloads", "kueue.x-k8s.io", "v1beta1", status=True)
CUSTOM = (
    Kind("PodMetrics", "pods", "metrics.k8s.io", "v1beta1"),
    Kind("HTTPRoute", "httproutes", "gateway.networking.k8s.io", status=True),
    Kind("Service", "services", "serving.knative.dev", status=True),
    Kind("InferenceService", "inferenceservices", "serving.kserve.io", "v1beta1", status=True),
    LOCAL_QUEUE,
    CLUSTER_QUEUE,
    WORKLOAD,
)

ALL = (
    *(POD, NODE, NAMESPACE, SERVICE, ENDPOINTS, SECRET, CONFIG_MAP, SERVICE_ACCOUNT, CLAIM, VOLUME, EVENT, QUOTA, LIMIT_RANGE),
    *(DEPLOYMENT, REPLICA_SET, JOB, ROLE, ROLE_BINDING, STORAGE_CLASS, PRIORITY_CLASS, DISRUPTION_BUDGET, ENDPOINT_SLICE, LEASE),
    *(AUTOSCALER, INGRESS, NETWORK_POLICY),
)
REVIEWS = ("selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews")

_by_path = {(kind.group, kind.version, kind.plural): kind for kind in (*ALL, *CUSTOM)}
_by_kind = {("KnativeService" if kind.group == "serving.knative.dev" else kind.kind): kind for kind in (*ALL, *CUSTOM)}


def find_kind(group: str, version: str, plural: str) -> Kind | None:
    return _by_path.get((group, version, plural))


def get_kind(name: str) -> Kind:
    """By the name in an object's `kind`; Knative's Service is "KnativeService"."""
    return _by_kind[name]
