"""Who may do what: the person of the kubeconfig all but what is denied, a service account what its roles allow."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.kube.emulator.failure import ApiError
from tests.kube.emulator.kinds import ROLE, ROLE_BINDING
from tests.kube.emulator.memory import Memory


class Ask(NamedTuple):
    """One thing somebody wants to do. `resource` may name a subresource: `pods/log`."""

    verb: str
    group: str
    resource: str
    namespace: str
    name: str = ""


class Authority:
    def __init__(self, memory: Memory) -> None:
        self.admin_token = secrets.token_hex(8)
        self.denied: list[tuple[str, str]] = []
        self._memory = memory
        self._users = {self.admin_token: "tester"}

    def issue(self, namespace: str, account: str) -> str:
        """A token of a service account."""
        user = f"system:serviceaccount:{namespace}:{account}"
        token = next((token for token, name in self._users.items() if name == user), "") or secrets.token_hex(8)
        self._users[token] = user
        return token

    def identify(self, authorization: str) -> str:
        """The user of a request; 401 for none."""
        user = self._users.get(authorization.removeprefix("Bearer "))
        if user is None:
            raise ApiError(401, "Unauthorized")
        return user

    def allows(self, user: str, ask: Ask) -> bool:
        if user == "tester":
            return not any(verb in ("*", ask.verb) and resource in ("*", ask.resource) for verb, resource in self.denied)
        return any(_rule_allows(rule, ask) for rule in self.rules(user, ask.namespace))

    def check(self, user: str, ask: Ask) -> None:
        if self.allows(user, ask):
            return
        resource = f"{ask.resource}.{ask.group}" if ask.group and "/" not in ask.resource else ask.resource
        subject = f'{resource} "{ask.name}"' if ask.name else resource
        where = f'in the namespace "{ask.namespace}"' if ask.namespace else "at the cluster scope"
        message = f'{subject} is forbidden: User "{user}" cannot {ask.verb} resource "{ask.resource}" in API group "{ask.group}" {where}'
        raise ApiError(403, message, details={"name": ask.name, "kind": ask.resource.split("/", maxsplit=1)[0], "group": ask.group})

    def rules(self, user: str, namespace: str) -> Iterator[dict[str, Any]]:
        """The rules of the roles bound to a service account in a namespace."""
        _, _, home, account = user.split(":")
        for binding in self._memory.list(ROLE_BINDING, namespace):
            for subject in binding.get("subjects") or ():
                if (subject.get("kind"), subject.get("namespace", home), subject.get("name")) != ("ServiceAccount", home, account):
                    continue
                role = self._memory.find(ROLE, namespace, binding["roleRef"]["name"])
                yield from (role or {}).get("rules") or ()


def _rule_allows(rule: dict[str, Any], ask: Ask) -> bool:
    def covers(field: str, value: str) -> bool:
        return bool({"*", value} & set(rule.get(field) or ()))

    if not (covers("verbs", ask.verb) and covers("apiGroups", ask.group) and covers("resources", ask.resource)):
        return False
    return not rule.get("resourceNames") or ask.name in rule["resourceNames"]
