"""What the caller must be allowed to do in a namespace, and the YAML that gives it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from fairway.spec.record import Record, record


@record
class Right(Record):
    """One verb on one resource (the plural: "pods"), in the client's namespace unless `cluster`."""

    verb: str
    resource: str
    group: str = ""
    subresource: str = ""
    name: str = ""
    cluster: bool = False

    @property
    def text(self) -> str:
        """ "create pods/portforward", "get deployments.apps"."""
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.verb} {resource}{'/' + self.subresource if self.subresource else ''}"


def review_for(right: Right, namespace: str) -> dict[str, Any]:
    """The SelfSubjectAccessReview that asks for `right`."""
    attributes = {
        "verb": right.verb,
        "group": right.group,
        "resource": right.resource,
        "subresource": right.subresource,
        "name": right.name,
    }
    if not right.cluster:
        attributes["namespace"] = namespace
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {key: value for key, value in attributes.items() if value}},
    }


def rules_for(rights: Sequence[Right]) -> list[dict[str, Any]]:
    """The rules of a role that gives `rights`: one for each group and set of verbs."""
    verbs: dict[tuple[str, str], list[str]] = {}
    for right in rights:
        resource = f"{right.resource}/{right.subresource}" if right.subresource else right.resource
        seen = verbs.setdefault((right.group, resource), [])
        if right.verb not in seen:
            seen.append(right.verb)
    rules: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (group, resource), found in verbs.items():
        rules.setdefault((group, tuple(found)), []).append(resource)
    return [{"apiGroups": [group], "resources": resources, "verbs": list(found)} for (group, found), resources in rules.items()]


def role_for(rights: Sequence[Right], *, namespace: str, user: str = "", name: str = "fairway-user") -> list[dict[str, Any]]:
    """The objects that an administrator applies to give `user` (or, left "", a name to fill in) these rights."""
    kinds = ("ClusterRole", "ClusterRoleBinding") if any(right.cluster for right in rights) else ("Role", "RoleBinding")
    where = {} if kinds[0] == "ClusterRole" else {"namespace": namespace}
    api = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": f"{api}/v1", "kind": kinds[0], "metadata": {"name": name, **where}, "rules": rules_for(rights)},
        {
            "apiVersion": f"{api}/v1",
            "kind": kinds[1],
            "metadata": {"name": name, **where},
            "roleRef": {"apiGroup": api, "kind": kinds[0], "name": name},
            "subjects": [{"kind": "User", "apiGroup": api, "name": user or "NAME-OF-THE-USER"}],
        },
    ]


def render_rule(right: Right) -> str:
    """One rule of a role on one line, as YAML takes it."""
    (rule,) = rules_for([right])
    return json.dumps(rule)


def render_role(rights: Sequence[Right], *, namespace: str, user: str = "") -> str:
    """The YAML of `role_for`."""
    import yaml

    return "---\n".join(yaml.safe_dump(one, sort_keys=False) for one in role_for(rights, namespace=namespace, user=user))
