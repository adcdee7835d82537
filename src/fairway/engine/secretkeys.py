"""Single keys of the two Secrets of a server: users' tokens, of which digests are kept, and the secrets that steps are given."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fairway.engine.deploy import is_ours
from fairway.errors import ConfigError, ConflictError, NotFoundError
from fairway.kube.server_manifests import TOKEN_PREFIX, labels
from fairway.spec.record import Record, record
from fairway.spec.target import ROLES, TargetSettings, server_secret, user_secrets
from fairway.spec.tokens import KeptToken, digest_token, make_user_token, parse_kept, render_kept

if TYPE_CHECKING:
    from fairway.kube.client import KubeClient

_LONGEST = 1_000_000  # what etcd takes of one object, with room for the rest


@record
class User(Record):
    """Who has a token, and what it is good for: a role of ROLES ("" for one that cannot be read, which lets nobody in); `projects` () are
    all."""

    name: str
    role: str
    projects: tuple[str, ...]


async def list_users(client: KubeClient, target: TargetSettings) -> list[User]:
    """Who has a token, by name. Raises NotFoundError if there is no server."""
    data = (await _get_server_secret(client, target)).get("data") or {}
    found: list[User] = []
    for key in sorted(key for key in data if key.startswith(TOKEN_PREFIX)):
        kept = parse_kept(base64.b64decode(data[key]).decode("utf-8", "replace")) or KeptToken("", "")
        found.append(User(key.removeprefix(TOKEN_PREFIX), kept.role, kept.projects))
    return found


async def add_user(
    client: KubeClient, target: TargetSettings, name: str, *, role: str = "run", projects: Sequence[str] = (), replace: bool = False
) -> str:
    """A new token for `name`, of which the server keeps the digest; `projects` () are all. Raises ConflictError if there is one and it is
    not to be replaced, ConfigError for a role or a project that cannot be."""
    if role not in ROLES:
        raise ConfigError(f"there is no role {role!r}", hint=f"the roles: {', '.join(ROLES)}")
    if not all(project and project.isprintable() for project in projects):
        raise ConfigError("a project needs a name", hint="--project churn")
    token = make_user_token(name)
    secret = await _get_server_secret(client, target)
    if f"{TOKEN_PREFIX}{name}" in (secret.get("data") or {}) and not replace:
        raise ConflictError(f"the user {name!r} has a token already", hint="--replace makes a new one; the old one is void then")
    await _set_key(
        client, server_secret(target.app), f"{TOKEN_PREFIX}{name}", render_kept(KeptToken(digest_token(token), role, tuple(projects)))
    )
    return token


async def remove_user(client: KubeClient, target: TargetSettings, name: str) -> None:
    """Make the user's token void. Raises NotFoundError if there is none."""
    if name not in [user.name for user in await list_users(client, target)]:
        raise NotFoundError(f"no user {name!r} has a token", hint="`fairway token list` names those who have")
    await _set_key(client, server_secret(target.app), f"{TOKEN_PREFIX}{name}", None)


async def list_secrets(client: KubeClient, target: TargetSettings) -> list[str]:
    """Names of the secrets that steps may take, never their values."""
    found = await client.find("Secret", user_secrets(target.app))
    return sorted((found or {}).get("data") or {})


async def set_secret(client: KubeClient, target: TargetSettings, name: str, value: str) -> bool:
    """Keep the value under `name`; True if there was none before. Raises ConfigError for a name that cannot be one."""
    check_secret_name(name)
    if len(value.encode()) > _LONGEST:
        raise ConfigError(f"the secret {name} is too long", hint="a Secret of Kubernetes holds less than a megabyte in all")
    there = await client.find("Secret", user_secrets(target.app))
    if there is None:
        metadata = {"name": user_secrets(target.app), "namespace": client.namespace, "labels": labels(target.app)}
        made: dict[str, Any] = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque"}
        try:
            await client.create({**made, "data": {name: _encode(value)}})
        except ConflictError:  # somebody else made it meanwhile
            await _set_key(client, user_secrets(target.app), name, value)
        return True
    await _set_key(client, user_secrets(target.app), name, value)
    return name not in (there.get("data") or {})


async def remove_secret(client: KubeClient, target: TargetSettings, name: str) -> None:
    """Forget a secret. Raises NotFoundError if there is none."""
    there = await list_secrets(client, target)
    if name not in there:
        raise NotFoundError(f"there is no secret {name!r} on {target.name}", hint=f"there are: {', '.join(there) or 'none'}")
    await _set_key(client, user_secrets(target.app), name, None)


def check_secret_name(name: str) -> None:
    """Raises ConfigError for what cannot be a secret's name: it becomes part of a variable's."""
    if not name.isidentifier() or not name.isascii():
        raise ConfigError(f"{name!r} cannot be a secret's name", hint="use letters, digits and underscores, as in DB_PASSWORD")


async def _get_server_secret(client: KubeClient, target: TargetSettings) -> dict[str, Any]:
    found = await client.find("Secret", server_secret(target.app))
    if found is None or not is_ours(found, target.app):
        raise NotFoundError(f"there is no server in the namespace {client.namespace}", hint=f"fairway up --on {target.name}")
    return found


async def _set_key(client: KubeClient, secret: str, key: str, value: str | None) -> None:
    """Change one key and no other, whoever else changes the Secret at this moment."""
    await client.patch("Secret", secret, {"data": {key: None if value is None else _encode(value)}})


def _encode(value: str) -> str:
    return base64.b64encode(value.encode()).decode()
