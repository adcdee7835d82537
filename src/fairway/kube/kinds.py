"""Which path of the Kubernetes API serves which kind."""

from __future__ import annotations

from fairway.errors import ConfigError
from fairway.spec.record import Record, record


@record
class ApiKind(Record):
    """`version` as in an object's `apiVersion` ("v1", "apps/v1"); `plural` as in its path."""

    name: str
    version: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        return self.version.partition("/")[0] if "/" in self.version else ""

    def in_version(self, version: str) -> ApiKind:
        """The same kind in another version of its group ("v1beta2"); "" is this one."""
        return ApiKind(self.name, f"{self.group}/{version}", self.plural, self.namespaced) if version else self

    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        """The path below the API server's root; `namespace` "*" means all of them."""
        parts = ["apis" if "/" in self.version else "api", self.version]
        if self.namespaced and namespace != "*":
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part]
        return "/" + "/".join(parts)


def _table() -> dict[str, ApiKind]:
    namespaced = {
        "v1": "ConfigMap Endpoints Event LimitRange PersistentVolumeClaim Pod ResourceQuota Secret Service ServiceAccount",
        "apps/v1": "DaemonSet Deployment ReplicaSet StatefulSet",
        "batch/v1": "CronJob Job",
        "autoscaling/v2": "HorizontalPodAutoscaler",
        "coordination.k8s.io/v1": "Lease",
        "discovery.k8s.io/v1": "EndpointSlice",
        "networking.k8s.io/v1": "Ingress NetworkPolicy",
        "policy/v1": "PodDisruptionBudget",
        "rbac.authorization.k8s.io/v1": "Role RoleBinding",
        "jobset.x-k8s.io/v1alpha2": "JobSet",
        "kueue.x-k8s.io/v1beta1": "LocalQueue Workload",
        "scheduling.k8s.io/v1alpha2": "PodGroup",
        "gateway.networking.k8s.io/v1": "HTTPRoute",
        "serving.knative.dev/v1": "Revision",
        "serving.kserve.io/v1beta1": "InferenceService",
    }
    everywhere = {
        "v1": "Namespace Node PersistentVolume",
        "apiextensions.k8s.io/v1": "CustomResourceDefinition",
        "authentication.k8s.io/v1": "SelfSubjectReview",
        "authorization.k8s.io/v1": "SelfSubjectAccessReview",
        "kueue.x-k8s.io/v1beta1": "ClusterQueue ResourceFlavor",
        "node.k8s.io/v1": "RuntimeClass",
        "rbac.authorization.k8s.io/v1": "ClusterRole ClusterRoleBinding",
        "scheduling.k8s.io/v1": "PriorityClass",
        "storage.k8s.io/v1": "CSINode StorageClass",
    }
    table: dict[str, ApiKind] = {}
    for scoped, kinds in ((True, namespaced), (False, everywhere)):
        for version, names in kinds.items():
            for name in names.split():
                table[name] = ApiKind(name, version, _plural(name), scoped)
    table["KnativeService"] = ApiKind("Service", "serving.knative.dev/v1", "services")
    table["GangWorkload"] = ApiKind("Workload", "scheduling.k8s.io/v1alpha1", "workloads")
    return table


def _plural(kind: str) -> str:
    lower = kind.lower()
    if lower.endswith("s"):
        return lower if lower == "endpoints" else lower + "es"
    return lower[:-1] + "ies" if lower.endswith("y") else lower + "s"


KINDS = _table()


def get_kind(name: str) -> ApiKind:
    """The kind of that name, as objects spell it ("Pod"). Raises ConfigError."""
    kind = KINDS.get(name)
    if kind is None:
        raise ConfigError(f"Fairway knows no Kubernetes kind {name!r}", hint=f"known: {', '.join(sorted(KINDS))}")
    return kind


def kind_of(obj: dict[str, object]) -> ApiKind:
    """The kind of an object, by its `apiVersion` and `kind`. Raises ConfigError for one that is not in the table."""
    version, name = str(obj.get("apiVersion", "")), str(obj.get("kind", ""))
    kind = KINDS.get(name)
    if kind is not None and kind.version == version:
        return kind
    for other in KINDS.values():
        if (other.name, other.version) == (name, version):
            return other
    if kind is not None and kind.group == (version.partition("/")[0] if "/" in version else ""):
        return ApiKind(name, version, kind.plural, kind.namespaced)  # another version of a group that is known
    raise ConfigError(f"Fairway knows no Kubernetes kind {version} {name}")
