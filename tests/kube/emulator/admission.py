"""What the API server does to an object before it stores it: defaults, validation, the restricted Pod Security Standard."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.kube.emulator.failure import ApiError, invalid
from tests.kube.emulator.kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    JOB,
    NAMESPACE,
    POD,
    PRIORITY_CLASS,
    REPLICA_SET,
    SECRET,
    SERVICE_ACCOUNT,
    Kind,
)
from tests.kube.emulator.memory import Object

if TYPE_CHECKING:
    from tests.kube.emulator.cluster import Cluster

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_LABEL_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_NAME_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_POD_SPECS = {DEPLOYMENT, REPLICA_SET, JOB}
_SAFE_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret", "image"}


class Admission:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def admit(self, kind: Kind, new: Object, old: Object | None, subresource: str) -> None:
        if subresource in ("status", "all"):
            return
        _check_meta(kind, new)
        if kind in _POD_SPECS:
            _default_workload(kind, new)
            _default_pod_spec(new["spec"]["template"].setdefault("spec", {}))
            _check_workload(kind, new, old)
        elif kind is POD:
            self._admit_pod(new, old)
        elif kind is SECRET:
            _default_secret(new, old)
        elif kind is CONFIG_MAP and old is not None and old.get("immutable") and new.get("data") != old.get("data"):
            raise invalid("ConfigMap", new["metadata"]["name"], "data", "Forbidden: field is immutable when `immutable` is set")
        elif kind is NAMESPACE and old is None:
            new.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
            new.setdefault("metadata", {}).setdefault("labels", {})["kubernetes.io/metadata.name"] = new["metadata"]["name"]
            new["status"] = {"phase": "Active"}

    def _admit_pod(self, new: Object, old: Object | None) -> None:
        spec, meta = new.setdefault("spec", {}), new["metadata"]
        if old is not None:
            _check_pod_update(new, old)
            return
        _default_pod_spec(spec)
        self._default_account(meta["namespace"], new)
        self._default_priority(new)
        _check_pod_spec(meta["name"], spec)
        if meta["namespace"] in self._restricted():
            violations = restricted_violations(spec)
            if violations:
                words = f'pods "{meta["name"]}" is forbidden: violates PodSecurity "restricted:latest": {", ".join(violations)}'
                raise ApiError(403, words, details={"name": meta["name"], "kind": "pods"})
        new["status"] = {"phase": "Pending", "qosClass": "BestEffort"}

    def _restricted(self) -> set[str]:
        label = "pod-security.kubernetes.io/enforce"
        spaces = self._cluster.memory.list(NAMESPACE)
        return {space["metadata"]["name"] for space in spaces if (space["metadata"].get("labels") or {}).get(label) == "restricted"}

    def _default_account(self, namespace: str, pod: Object) -> None:
        spec = pod["spec"]
        name = spec.setdefault("serviceAccountName", spec.get("serviceAccount") or "default")
        spec["serviceAccount"] = name
        account = self._cluster.memory.find(SERVICE_ACCOUNT, namespace, name)
        if account is None:
            words = f'pods "{pod["metadata"]["name"]}" is forbidden: error looking up service account {namespace}/{name}: '
            words += f'serviceaccount "{name}" not found'
            raise ApiError(403, words, details={"name": pod["metadata"]["name"], "kind": "pods"})
        if account.get("imagePullSecrets") and not spec.get("imagePullSecrets"):
            spec["imagePullSecrets"] = account["imagePullSecrets"]
        if spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True)):
            volume = f"kube-api-access-{self._cluster.memory.suffix()}"
            sources = [{"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}}, _NAMESPACE_FILE]
            spec.setdefault("volumes", []).append({"name": volume, "projected": {"sources": sources, "defaultMode": 420}})
            for container in spec["containers"] + (spec.get("initContainers") or []):
                mount = {"name": volume, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": True}
                container.setdefault("volumeMounts", []).append(mount)

    def _default_priority(self, pod: Object) -> None:
        name = pod["spec"].get("priorityClassName")
        pod["spec"].setdefault("priority", 0)
        if not name or name.startswith("system-"):
            return
        found = self._cluster.memory.find(PRIORITY_CLASS, "", name)
        if found is None:
            words = f'pods "{pod["metadata"]["name"]}" is forbidden: no PriorityClass with name {name} was found'
            raise ApiError(403, words, details={"name": pod["metadata"]["name"], "kind": "pods"})
        pod["spec"]["priority"] = found["value"]


_NAMESPACE_FILE = {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}}


def restricted_violations(spec: dict[str, Any]) -> list[str]:
    """The violations of the restricted standard, in the words of the admission plugin."""
    pods = spec.get("securityContext") or {}
    containers = (spec.get("initContainers") or []) + spec["containers"]
    own = {each["name"]: each.get("securityContext") or {} for each in containers}
    found: list[str] = []
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            found.append(f"host namespaces ({field}=true)")
    if names := [name for name, it in own.items() if it.get("privileged")]:
        found.append(f"privileged ({_names(names)} must not set securityContext.privileged=true)")
    if names := [name for name, it in own.items() if it.get("allowPrivilegeEscalation") is not False]:
        found.append(f"allowPrivilegeEscalation != false ({_names(names)} must set securityContext.allowPrivilegeEscalation=false)")
    if names := [name for name, it in own.items() if "ALL" not in ((it.get("capabilities") or {}).get("drop") or ())]:
        found.append(f'unrestricted capabilities ({_names(names)} must set securityContext.capabilities.drop=["ALL"])')
    if names := [name for name, it in own.items() if set((it.get("capabilities") or {}).get("add") or ()) - {"NET_BIND_SERVICE"}]:
        found.append(f"unrestricted capabilities ({_names(names)} must not include capabilities in securityContext.capabilities.add)")
    if bad := [each["name"] for each in spec.get("volumes") or () if not set(each) & _SAFE_VOLUMES and len(each) > 1]:
        types = sorted({next(key for key in each if key != "name") for each in spec["volumes"] if each["name"] in bad})
        found.append(f"restricted volume types ({_names(bad, 'volume')} uses restricted volume type {_quoted(types)})")
    if names := [name for name, it in own.items() if it.get("runAsNonRoot", pods.get("runAsNonRoot")) is not True]:
        found.append(f"runAsNonRoot != true (pod or {_names(names)} must set securityContext.runAsNonRoot=true)")
    if pods.get("runAsUser") == 0 or any(it.get("runAsUser") == 0 for it in own.values()):
        names = [name for name, it in own.items() if it.get("runAsUser") == 0]
        found.append(f"runAsUser=0 ({_names(names) if names else 'pod'} must not set runAsUser=0)")
    good = {"RuntimeDefault", "Localhost"}
    if names := [
        name for name, it in own.items() if (it.get("seccompProfile") or pods.get("seccompProfile") or {}).get("type") not in good
    ]:
        found.append(
            f'seccompProfile (pod or {_names(names)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'
        )
    return found


def _names(names: list[str], noun: str = "container") -> str:
    return f"{noun}{'s' if len(names) > 1 else ''} {_quoted(names)}"


def _quoted(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _check_meta(kind: Kind, new: Object) -> None:
    meta = new["metadata"]
    name = meta["name"]
    if len(name) > 253 or not _NAME.fullmatch(name):
        if kind.group != "rbac.authorization.k8s.io":
            raise invalid(kind.kind, name, "metadata.name", f'Invalid value: "{name}": {_NAME_RULE}')
    for key, value in (meta.get("labels") or {}).items():
        if not isinstance(value, str):
            raise ApiError(
                400,
                f'{kind.kind} in version "{kind.api_version}" cannot be handled as a {kind.kind}: json: cannot unmarshal '
                f"{type(value).__name__} into Go struct field ObjectMeta.metadata.labels of type string",
            )
        if not _LABEL_KEY.fullmatch(key) or len(key.rsplit("/", 1)[-1]) > 63:
            raise invalid(kind.kind, name, "metadata.labels", f'Invalid value: "{key}": name part must consist of alphanumeric characters')
        if len(value) > 63 or not _LABEL_VALUE.fullmatch(value):
            raise invalid(
                kind.kind, name, "metadata.labels", f'Invalid value: "{value}": must be no more than 63 bytes, alphanumeric or -_.'
            )
    if sum(len(key) + len(str(value)) for key, value in (meta.get("annotations") or {}).items()) > 256 * 1024:
        raise invalid(kind.kind, name, "metadata.annotations", "Too long: may not be more than 262144 bytes")
    for key, value in (new.get("data") or {}).items() if kind in (CONFIG_MAP, SECRET) else ():
        if not isinstance(value, str) or not re.fullmatch(r"[-._a-zA-Z0-9]{1,253}", key):
            raise invalid(
                kind.kind, name, f"data[{key}]", f'Invalid value: "{key}": a valid config key must consist of alphanumeric characters'
            )


def _default_secret(new: Object, old: Object | None) -> None:
    import base64

    new.setdefault("type", "Opaque")
    plain = new.pop("stringData", None)
    if plain:
        new["data"] = (new.get("data") or {}) | {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
    if old is not None and new["type"] != old.get("type"):
        raise invalid("Secret", new["metadata"]["name"], "type", f'Invalid value: "{new["type"]}": field is immutable')


def _default_workload(kind: Kind, new: Object) -> None:
    spec = new["spec"]
    if kind is JOB:
        spec.setdefault("backoffLimit", 6)
        spec.setdefault("completionMode", "NonIndexed")
        spec.setdefault("suspend", False)
        if "completions" not in spec:
            spec.setdefault("parallelism", 1)
            spec.setdefault("completions", 1 if spec["parallelism"] == 1 else None)
        spec.setdefault("parallelism", 1)
        meta = spec["template"].setdefault("metadata", {})
        uid, name = new["metadata"]["uid"], new["metadata"]["name"]
        labels = {"batch.kubernetes.io/controller-uid": uid, "batch.kubernetes.io/job-name": name, "controller-uid": uid, "job-name": name}
        if not spec.get("manualSelector"):
            spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
            meta["labels"] = (meta.get("labels") or {}) | labels
        return
    spec.setdefault("replicas", 1)
    if kind is DEPLOYMENT:
        spec.setdefault("strategy", {}).setdefault("type", "RollingUpdate")
        spec.setdefault("revisionHistoryLimit", 10)
        spec.setdefault("progressDeadlineSeconds", 600)


def _check_workload(kind: Kind, new: Object, old: Object | None) -> None:
    spec, name = new["spec"], new["metadata"]["name"]
    _check_pod_spec(name, spec["template"]["spec"], kind=kind.kind, prefix="spec.template.spec.")
    policy = spec["template"]["spec"]["restartPolicy"]
    if kind is JOB:
        if policy == "Always":
            raise invalid("Job", name, "spec.template.spec.restartPolicy", 'Required value: valid values: "OnFailure", "Never"')
        if old is not None and spec["template"] != old["spec"]["template"] and not old["spec"].get("suspend"):
            raise invalid("Job", name, "spec.template", "Invalid value: field is immutable")
        return
    labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    wanted = (spec.get("selector") or {}).get("matchLabels") or {}
    if not wanted or any(labels.get(key) != value for key, value in wanted.items()):
        raise invalid(
            kind.kind, name, "spec.template.metadata.labels", f"Invalid value: {labels}: `selector` does not match template `labels`"
        )
    if old is not None and spec["selector"] != old["spec"]["selector"]:
        raise invalid(kind.kind, name, "spec.selector", "Invalid value: field is immutable")


def _default_pod_spec(spec: dict[str, Any]) -> None:
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("securityContext", {})
    spec.setdefault("enableServiceLinks", True)
    for container in (spec.get("containers") or []) + (spec.get("initContainers") or []):
        image = container.get("image", "")
        latest = ":" not in image.rsplit("/", 1)[-1] or image.endswith(":latest")
        container.setdefault("imagePullPolicy", "Always" if latest and "@" not in image else "IfNotPresent")
        container.setdefault("terminationMessagePolicy", "File")
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        resources = container.setdefault("resources", {})
        if resources.get("limits"):
            resources["requests"] = dict(resources["limits"]) | (resources.get("requests") or {})
        for port in container.get("ports") or ():
            port.setdefault("protocol", "TCP")
        for name in ("readinessProbe", "livenessProbe", "startupProbe"):
            if probe := container.get(name):
                for field, value in (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)):
                    probe.setdefault(field, value)


def _check_pod_spec(name: str, spec: dict[str, Any], *, kind: str = "Pod", prefix: str = "spec.") -> None:
    if not spec.get("containers"):
        raise invalid(kind, name, f"{prefix}containers", "Required value")
    volumes = {each["name"] for each in spec.get("volumes") or ()}
    seen: set[str] = set()
    for field in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(field) or ()):
            at = f"{prefix}{field}[{index}]"
            if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", container.get("name", "")):
                raise invalid(
                    kind, name, f"{at}.name", f'Invalid value: "{container.get("name", "")}": a lowercase RFC 1123 label must consist of …'
                )
            if container["name"] in seen:
                raise invalid(kind, name, f"{at}.name", f'Duplicate value: "{container["name"]}"')
            seen.add(container["name"])
            if not container.get("image"):
                raise invalid(kind, name, f"{at}.image", "Required value")
            _check_container(kind, name, at, container, volumes)


def _check_container(kind: str, name: str, at: str, container: dict[str, Any], volumes: set[str]) -> None:
    for number, mount in enumerate(container.get("volumeMounts") or ()):
        if mount["name"] not in volumes:
            raise invalid(kind, name, f"{at}.volumeMounts[{number}].name", f'Not found: "{mount["name"]}"')
    paths = [mount["mountPath"] for mount in container.get("volumeMounts") or ()]
    for number, path in enumerate(paths):
        if path in paths[:number]:
            raise invalid(kind, name, f"{at}.volumeMounts[{number}].mountPath", f'Invalid value: "{path}": must be unique')
    for entry in container.get("env") or ():
        if not isinstance(entry.get("value", ""), str):
            words = f"json: cannot unmarshal {type(entry['value']).__name__} into Go struct field EnvVar.{at}.env.value of type string"
            raise ApiError(400, f'{kind} in version "v1" cannot be handled as a {kind}: {words}')
    resources = container.get("resources") or {}
    for resource, limit in (resources.get("limits") or {}).items():
        from tests.kube.emulator.quantities import parse_quantity

        asked = (resources.get("requests") or {}).get(resource, limit)
        if parse_quantity(asked) > parse_quantity(limit):
            raise invalid(
                kind,
                name,
                f"{at}.resources.requests",
                f'Invalid value: "{asked}": must be less than or equal to {resource} limit of {limit}',
            )
        if "/" in resource and asked != limit:
            raise invalid(kind, name, f"{at}.resources.limits", f'Invalid value: "{limit}": must be equal to {resource} request')


def _check_pod_update(new: Object, old: Object) -> None:
    """Of a pod's specification little may change."""
    may = {"activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "schedulingGates", "nodeSelector"}

    def fixed(pod: Object) -> dict[str, Any]:
        spec = {key: value for key, value in pod["spec"].items() if key not in may}
        images = [{**each, "image": ""} for each in spec.get("containers") or ()]
        return spec | {"containers": images}

    if fixed(new) != fixed(old):
        words = "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
        words += (
            "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` "
        )
        raise invalid("Pod", new["metadata"]["name"], "spec", words + "(allow it to be set to 1 if it was previously negative)")
