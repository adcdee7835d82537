"""The variables of a container, as the kubelet makes them."""

from __future__ import annotations

import base64
import math
import re
from typing import Any

from tests.kube.emulator.kinds import CONFIG_MAP, SECRET, SERVICE
from tests.kube.emulator.memory import Memory, Object
from tests.kube.emulator.quantities import parse_quantity


class BadConfig(Exception):
    """A container cannot be made yet; the kubelet's words."""


def make_variables(memory: Memory, pod: Object, container: dict[str, Any]) -> dict[str, str]:
    """Services' variables, then `envFrom`, then `env`, each over the one before."""
    namespace = pod["metadata"]["namespace"]
    made = _service_links(memory, pod)
    for source in container.get("envFrom") or ():
        made |= _all_keys(memory, namespace, source)
    for entry in container.get("env") or ():
        if "valueFrom" in entry:
            value = _value_from(memory, pod, container, entry["valueFrom"])
            if value is None:
                continue
        else:
            value = expand(entry.get("value", ""), made)
        made[entry["name"]] = value
    return made


def expand(text: str, variables: dict[str, str]) -> str:
    """$(NAME) where it is known; $$ is a dollar sign."""

    def value(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        return variables.get(found[1], found[0])

    return re.sub(r"\$\$|\$\(([^)]*)\)", value, text)


def field_of(pod: Object, path: str) -> str:
    meta = pod["metadata"]
    if found := re.fullmatch(r"metadata\.(labels|annotations)\['([^']*)'\]", path):
        return (meta.get(found[1]) or {}).get(found[2], "")
    if path in ("metadata.labels", "metadata.annotations"):
        return "\n".join(f'{key}="{value}"' for key, value in sorted((meta.get(path.split(".")[1]) or {}).items()))
    value: Any = pod
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    if path in ("status.podIPs", "status.hostIPs"):
        return ",".join(item["ip"] for item in value or ())
    return "" if value is None else str(value)


def resource_of(pod: Object, ref: dict[str, Any], container_name: str) -> str:
    name = ref.get("containerName") or container_name
    container = next(each for each in pod["spec"]["containers"] + (pod["spec"].get("initContainers") or []) if each["name"] == name)
    side, _, resource = ref["resource"].partition(".")
    resources = container.get("resources") or {}
    text = (resources.get(side) or {}).get(resource) or (resources.get("limits") or {}).get(resource) or "0"
    divisor = parse_quantity(ref.get("divisor") or 1) or parse_quantity(1)
    return str(math.ceil(parse_quantity(text) / divisor))


def _service_links(memory: Memory, pod: Object) -> dict[str, str]:
    """Docker's links, for each service of the namespace, unless the pod wants none."""
    made = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "443", "KUBERNETES_PORT": "tcp://127.0.0.1:443"}
    if pod["spec"].get("enableServiceLinks") is False:
        return made
    for service in memory.list(SERVICE, pod["metadata"]["namespace"]):
        address = service["spec"].get("clusterIP", "None")
        ports = service["spec"].get("ports") or []
        if address == "None" or not ports:
            continue
        name = service["metadata"]["name"].upper().replace("-", "_")
        made |= {f"{name}_SERVICE_HOST": address, f"{name}_SERVICE_PORT": str(ports[0]["port"])}
        made[f"{name}_PORT"] = f"tcp://{address}:{ports[0]['port']}"
        for port in ports:
            stem = f"{name}_PORT_{port['port']}_TCP"
            made |= {
                stem: f"tcp://{address}:{port['port']}",
                f"{stem}_PROTO": "tcp",
                f"{stem}_PORT": str(port["port"]),
                f"{stem}_ADDR": address,
            }
            if port.get("name"):
                made[f"{name}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = str(port["port"])
    return made


def _all_keys(memory: Memory, namespace: str, source: dict[str, Any]) -> dict[str, str]:
    prefix = source.get("prefix", "")
    for field, kind in (("secretRef", SECRET), ("configMapRef", CONFIG_MAP)):
        if ref := source.get(field):
            found = memory.find(kind, namespace, ref["name"])
            if found is None and not ref.get("optional"):
                raise BadConfig(f'{kind.kind.lower()} "{ref["name"]}" not found')
            data = (found or {}).get("data") or {}
            return {prefix + key: base64.b64decode(value).decode() if kind is SECRET else value for key, value in data.items()}
    return {}


def _value_from(memory: Memory, pod: Object, container: dict[str, Any], source: dict[str, Any]) -> str | None:
    namespace = pod["metadata"]["namespace"]
    if "fieldRef" in source:
        return field_of(pod, source["fieldRef"]["fieldPath"])
    if "resourceFieldRef" in source:
        return resource_of(pod, source["resourceFieldRef"], container["name"])
    for field, kind in (("secretKeyRef", SECRET), ("configMapKeyRef", CONFIG_MAP)):
        if ref := source.get(field):
            found = memory.find(kind, namespace, ref["name"])
            if found is None:
                if ref.get("optional"):
                    return None
                raise BadConfig(f'{kind.kind.lower()} "{ref["name"]}" not found')
            value = (found.get("data") or {}).get(ref["key"])
            if value is None:
                if ref.get("optional"):
                    return None
                raise BadConfig(f"couldn't find key {ref['key']} in {kind.kind} {namespace}/{ref['name']}")
            return base64.b64decode(value).decode() if kind is SECRET else value
    return None
