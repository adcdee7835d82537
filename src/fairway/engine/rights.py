"""What a person must be allowed to do to set a server up, asked before anything is done; and the YAML that gives what is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fairway.errors import FairwayError, ForbiddenError
from fairway.kube.rights import Right, role_for
from fairway.kube.server_manifests import EXTRA_RULES, STANDARD_EXTRAS, extra_rights, server_rights
from fairway.spec.target import TargetSettings

if TYPE_CHECKING:
    from fairway.kube.client import KubeClient

_RBAC = "rbac.authorization.k8s.io"
_MADE = (
    ("secrets", ""),
    ("serviceaccounts", ""),
    ("roles", _RBAC),
    ("rolebindings", _RBAC),
    ("persistentvolumeclaims", ""),
    ("services", ""),
    ("deployments", "apps"),
)


def rights_to_use() -> list[Right]:
    """What everybody needs who reaches the server from outside: its pod, and a port-forward to it."""
    return [
        Right("get", "services"),
        *(Right(verb, "pods") for verb in ("get", "list", "watch")),
        *(Right(verb, "pods", subresource="portforward") for verb in ("get", "create")),
    ]


def rights_to_deploy(target: TargetSettings) -> list[Right]:
    """What `fairway up` needs: to make the objects, to watch them start, and all that it gives to the server's own account."""
    made = [Right(verb, resource, group) for resource, group in _MADE for verb in ("get", "create", "patch")]
    watched = [Right("get", "pods", subresource="log"), Right("list", "events"), *rights_to_use()]
    return list(dict.fromkeys((*made, *watched, *server_rights(target))))


async def find_extras(client: KubeClient) -> tuple[str, ...]:
    """The API groups of EXTRA_RULES that the cluster has, and that the caller may give to the server."""
    custom = [group for group in EXTRA_RULES if group not in STANDARD_EXTRAS]
    installed = await asyncio.gather(*(_is_there(client, group) for group in custom))
    there = [*STANDARD_EXTRAS, *(group for group, is_there in zip(custom, installed, strict=True) if is_there)]
    missing = {right.group for right in await client.can([right for group in there for right in extra_rights(group)])}
    return tuple(group for group in there if group not in missing)


async def _is_there(client: KubeClient, group: str) -> bool:
    """The group of the scheduler is everywhere, but not what it has for gangs."""
    versions = [f"/{version}" for version in ("v1alpha2", "v1alpha1")] if group == "scheduling.k8s.io" else [""]
    return any(await asyncio.gather(*(client.serves(f"{group}{version}") for version in versions)))


async def find_ungiven(client: KubeClient, target: TargetSettings) -> tuple[list[str], list[str]]:
    """(resources that the server needs to keep endpoints and may not make, those without which it keeps them less well). ([], []) where
    there is no server, or the caller may not see its role."""
    try:
        role = await client.find("Role", target.app)
    except ForbiddenError:
        return [], []
    if role is None:
        return [], []
    given = {
        (group, name) for rule in role["rules"] if "create" in rule["verbs"] for group in rule["apiGroups"] for name in rule["resources"]
    }
    needed = [name for group, name in (("apps", "deployments"), ("", "services")) if (group, name) not in given]
    better = [name for group in STANDARD_EXTRAS for name in EXTRA_RULES[group] if (group, name) not in given]
    return needed, better


def rights_to_remove(volume: bool) -> list[Right]:
    """What `fairway down` needs."""
    kinds = [one for one in _MADE if volume or one[0] != "persistentvolumeclaims"]
    return [Right(verb, resource, group) for resource, group in kinds for verb in ("get", "delete")]


def spell_rights(rights: Sequence[Right]) -> list[str]:
    """A line for each resource: "get, create, patch secrets"."""
    verbs: dict[str, list[str]] = {}
    for right in rights:
        what = f"{right.text.partition(' ')[2]}{f' {right.name}' if right.name else ''}"
        verbs.setdefault(what, []).append(right.verb)
    return [f"{', '.join(found)} {what}" for what, found in verbs.items()]


async def find_caller(client: KubeClient) -> str:
    """The name by which the cluster knows the caller, "" if it does not say."""
    try:
        made = await client.create({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"})
    except FairwayError:
        return ""
    return str(made.get("status", {}).get("userInfo", {}).get("username", ""))


async def render_request(client: KubeClient, missing: list[Right]) -> str:
    """The YAML that an administrator applies, so that the caller may do these things."""
    from fairway.engine.manifest_text import render_yaml

    objects: list[dict[str, Any]] = role_for(missing, namespace=client.namespace, user=await find_caller(client))
    return render_yaml(objects)
