"""Setting a server up in a namespace, and upgrading it in place: its objects are applied, its code is brought, until it is ready."""

from __future__ import annotations

import asyncio
import base64
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fairway.engine.credentials import cluster_key, default_user, find_token, save_token
from fairway.engine.readiness import Readiness
from fairway.engine.release import Release, find_release, versions_apart
from fairway.engine.rights import find_extras, render_request, rights_to_deploy, rights_to_remove
from fairway.errors import ConfigError, ConflictError, NotFoundError, UnsupportedError
from fairway.kube.rights import Right
from fairway.kube.server_manifests import SIGNING_KEY, TOKEN_PREFIX, VERSION, ServerPlan, labels, render_server
from fairway.spec.record import Record, record
from fairway.spec.target import TargetSettings, server_secret
from fairway.spec.tokens import digest_token, make_user_token, parse_kept, user_of

if TYPE_CHECKING:
    from fairway.kube.client import KubeClient

Say = Callable[[str], None]
FIELD_MANAGER = "fairway"
OLDEST = (1, 29)
TIMEOUT_S, PATIENCE_S = 600.0, 30.0
_FIRST = ("Secret", "ServiceAccount", "Role", "PersistentVolumeClaim", "Service")
_TRIES = 5


@record
class Deployed(Record):
    """What `deploy` did. `changed`: "Kind name" of what was made or changed. `token_file`: where the caller's token is kept."""

    namespace: str
    version: str
    user: str
    token_file: str
    changed: tuple[str, ...]
    seconds: float


@record
class Lacking(Record):
    """Rights that the caller has not, and the YAML with which an administrator gives them, and those to take the server away again."""

    missing: tuple[Right, ...]
    request: str


def connect(target: TargetSettings) -> KubeClient:
    """A client for the target's namespace, at the pace of a person's command. Raises ConfigError, UnsupportedError."""
    from fairway.kube.client import KubeClient

    return KubeClient.connect(
        context=target.context, namespace=target.namespace, kubeconfig=target.kubeconfig, requests_per_s=max(100.0, target.requests_per_s)
    )


def release_for(target: TargetSettings) -> Release:
    """This Fairway, with what the target's server requires of others."""
    extras = ["server", "serve"]
    if target.journal:
        extras.append("postgres")
    if target.store:
        extras.append("buckets")
    if target.oidc.issuer:
        extras.append("oidc")
    return find_release(extras)


def plan_for(target: TargetSettings, namespace: str, *, signing_key: str = "", tokens: dict[str, str] | None = None) -> ServerPlan:
    """What the target's objects are made from."""
    release = release_for(target)
    return ServerPlan(target, namespace, release.version, "" if target.server_image else release.id, signing_key, tokens or {})


async def find_lacking(client: KubeClient, target: TargetSettings) -> Lacking | None:
    """What the caller lacks to set the server up, None if nothing. Raises UnsupportedError for a cluster that is too old."""
    found = await client.version()
    if found < OLDEST:
        shown = ".".join(map(str, found))
        raise UnsupportedError(f"the cluster runs Kubernetes {shown}", hint=f"Fairway needs {'.'.join(map(str, OLDEST))} or newer")
    missing = await client.can(rights_to_deploy(target))
    if not missing:
        return None
    wanted = list(dict.fromkeys((*missing, *rights_to_remove(volume=True))))  # who may set it up should be able to take it away
    return Lacking(tuple(missing), await render_request(client, wanted))


async def deploy(
    client: KubeClient, target: TargetSettings, *, say: Say, user: str = "", timeout_s: float = TIMEOUT_S, patience_s: float = PATIENCE_S
) -> Deployed:
    """Make the namespace hold this server, and wait until it is ready. Idempotent; a server that is there is upgraded in place.

    `say` gets a line for each thing that it waits for; what does not cure itself is given `patience_s`. Raises ConflictError for
    objects that are not Fairway's or a newer server, and as `Readiness.wait` does.
    """
    started = time.monotonic()
    await _check_present(client, target)
    key = cluster_key(client.server, client.namespace, target.app)
    token = find_token(key)
    changed: list[str] = []
    plan, token = await _apply_secret(client, target, user, token, changed)
    token_file = save_token(key, token)
    plan.extras = await find_extras(client)
    await _apply_rest(client, plan, changed)
    if changed:
        say(f"applied {', '.join(changed)}")
    release = release_for(target)
    await Readiness(client, plan, release, token, say, patience_s=patience_s).wait(timeout_s)
    return Deployed(client.namespace, plan.version, user_of(token), token_file, tuple(changed), time.monotonic() - started)


async def _check_present(client: KubeClient, target: TargetSettings) -> None:
    """Refuse to touch what Fairway did not make, or what a newer one did."""
    there = await client.find("Deployment", target.app)
    if there is None:
        return
    if not is_ours(there, target.app):
        raise ConflictError(
            f"the namespace {client.namespace} has a Deployment {target.app!r} that is not Fairway's",
            hint=f'call the server otherwise: server = "…" below [targets.{target.name}]',
        )
    running, mine = there["metadata"].get("annotations", {}).get(VERSION, ""), release_for(target).version
    ahead = versions_apart(mine, running)
    if ahead is not None and ahead > 0:
        raise ConflictError(f"the server is Fairway {running}, this is {mine}", hint=f"pip install -U 'fairway=={running}'")


def is_ours(found: dict[str, Any], app: str) -> bool:
    """Does it carry what `fairway up` writes on the objects of this server?"""
    there = found["metadata"].get("labels") or {}
    return all(there.get(name) == value for name, value in labels(app).items())


async def _apply_secret(client: KubeClient, target: TargetSettings, user: str, token: str, changed: list[str]) -> tuple[ServerPlan, str]:
    """The plan with the key and the tokens that hold now, and the caller's token: the one that is known, or a new one."""
    name = server_secret(target.app)
    for _ in range(_TRIES):
        there = await client.find("Secret", name)
        if there is not None and not is_ours(there, target.app):
            raise ConflictError(f"the Secret {name!r} is not Fairway's", hint='call the server otherwise: server = "…"')
        values = read_secret(there)
        tokens = {key.removeprefix(TOKEN_PREFIX): value for key, value in values.items() if key.startswith(TOKEN_PREFIX)}
        token = _choose_token(tokens, user, token)
        tokens[user_of(token)] = digest_token(token)  # in every role: who may write this Secret is an admin anyway
        plan = plan_for(target, client.namespace, signing_key=values.get(SIGNING_KEY) or os.urandom(32).hex(), tokens=tokens)
        secret = render_server(plan)[0]
        if there is not None:
            secret["metadata"]["resourceVersion"] = there["metadata"]["resourceVersion"]  # somebody may add a token at this moment
        try:
            made = await client.apply(secret)
        except ConflictError:
            continue
        except NotFoundError:
            raise NotFoundError(f"there is no namespace {client.namespace!r}", hint=_no_namespace(client.namespace, target)) from None
        _note(changed, there, made)
        return plan, token
    raise ConflictError(f"the Secret {name!r} is changed by others again and again", hint="try again")


def _no_namespace(namespace: str, target: TargetSettings) -> str:
    return f'kubectl create namespace {namespace}; or name another: namespace = "…" below [targets.{target.name}]'


def _is_kept(tokens: dict[str, str], token: str) -> bool:
    """Does the server know this very token, in whatever role?"""
    kept = parse_kept(tokens.get(user_of(token), ""))
    return kept is not None and kept.digest == digest_token(token)


def _choose_token(tokens: dict[str, str], user: str, token: str) -> str:
    """The caller's known token if it can be the one of `user` ("" = whoever it is), else a new one under a name that is free."""
    if user_of(token) and (not user or user_of(token) == user) and (user_of(token) not in tokens or _is_kept(tokens, token)):
        return token
    wanted = user or default_user()
    if user and user in tokens:
        raise ConfigError(f"the user {user!r} has a token already, and it is not here", hint=f"fairway token add {user} --replace")
    name, number = wanted, 1
    while name in tokens:
        number += 1
        name = f"{wanted}-{number}"
    return make_user_token(name)


async def _apply_rest(client: KubeClient, plan: ServerPlan, changed: list[str]) -> None:
    """Everything but the Secret; the Deployment last, so that its pod finds what it needs."""
    objects = [one for one in render_server(plan) if one["kind"] != "Secret"]
    there = await asyncio.gather(*(client.find(one["kind"], one["metadata"]["name"]) for one in objects))
    for one, found in zip(objects, there, strict=True):
        if one["kind"] == "PersistentVolumeClaim" and found is not None:
            _keep_storage(one, found)

    async def apply(position: int) -> None:
        _note(changed, there[position], await client.apply(objects[position]))

    await asyncio.gather(*(apply(at) for at, one in enumerate(objects) if one["kind"] in _FIRST))
    for at, one in enumerate(objects):
        if one["kind"] not in _FIRST:
            await apply(at)


def _keep_storage(wanted: dict[str, Any], there: dict[str, Any]) -> None:
    """A claim's class cannot be changed, nor its size be made smaller."""
    from fairway.spec.resources import parse_memory

    spec, has = wanted["spec"], there["spec"]
    if has.get("storageClassName") and ("storageClassName" in spec or _applied_class(there)):
        spec["storageClassName"] = has["storageClassName"]
    asked, size = spec["resources"]["requests"], has["resources"]["requests"]
    if parse_memory(asked["storage"]) <= parse_memory(size["storage"]):
        asked["storage"] = size["storage"]


def _applied_class(claim: dict[str, Any]) -> bool:
    """Was its class named by an apply of ours? Then leaving it out now would take it away, which is not allowed."""
    applied = [one for one in claim["metadata"].get("managedFields") or [] if one.get("manager") == FIELD_MANAGER]
    return any("f:storageClassName" in (one.get("fieldsV1") or {}).get("f:spec", {}) for one in applied)


def _note(changed: list[str], before: dict[str, Any] | None, after: dict[str, Any]) -> None:
    if before is None or _without_state(before) != _without_state(after):
        changed.append(f"{after['kind']} {after['metadata']['name']}")


def _without_state(found: dict[str, Any]) -> dict[str, Any]:
    """What somebody has asked for: a pod that becomes ready, or no longer is, changes its Deployment's status and version beside us."""
    meta = {key: value for key, value in found["metadata"].items() if key not in ("resourceVersion", "managedFields")}
    return {**{key: value for key, value in found.items() if key != "status"}, "metadata": meta}


def read_secret(secret: dict[str, Any] | None) -> dict[str, str]:
    """The values of a Secret as texts; {} for None."""
    return {key: base64.b64decode(value).decode() for key, value in ((secret or {}).get("data") or {}).items()}
