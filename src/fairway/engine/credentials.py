"""The caller's own tokens: one file for each server, for its owner alone, in the user's config folder. Never printed, never in a URL."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from fairway.errors import ConfigError
from fairway.spec.tokens import user_of

if TYPE_CHECKING:
    from fairway.spec.target import TargetSettings

VARIABLE = "FAIRWAY_TOKEN"


def config_folder(variables: Mapping[str, str] = os.environ) -> str:
    """Where a person's own settings lie: `FAIRWAY_CONFIG`, else "fairway" in XDG's folder."""
    home = variables.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return variables.get("FAIRWAY_CONFIG") or os.path.join(home, "fairway")


def token_path(server: str, variables: Mapping[str, str] = os.environ) -> str:
    """The file of the token for `server`: its URL, or "API-SERVER/NAMESPACE/APP" as `cluster_key` makes it."""
    readable = re.sub(r"[^A-Za-z0-9.-]+", "-", server.partition("://")[2] or server).strip("-")[:80]
    return os.path.join(config_folder(variables), "tokens", f"{readable}-{hashlib.sha256(server.encode()).hexdigest()[:12]}")


def cluster_key(api_server: str, namespace: str, app: str) -> str:
    """What names one server in one namespace of one cluster."""
    return f"{api_server.rstrip('/')}/{namespace}/{app}"


def server_key(target: TargetSettings) -> str:
    """What names the server of a target: its URL, or its place in a cluster as the kubeconfig says it. Raises ConfigError."""
    if target.kind == "server":
        return target.url
    from fairway.kube.config import ClientSettings, load_connection

    found = load_connection(ClientSettings(target.context, target.namespace, target.kubeconfig))
    return cluster_key(found.server, found.namespace, target.app)


def find_token(server: str, variables: Mapping[str, str] = os.environ) -> str:
    """The caller's token for `server`: `FAIRWAY_TOKEN`, else what was kept, "" if nothing. Raises ConfigError if that is unreadable."""
    if variables.get(VARIABLE):
        return variables[VARIABLE]
    path = token_path(server, variables)
    try:
        with open(path, encoding="ascii") as file:
            token = file.read().strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the token in {path}: {error}", hint="mend the file's rights, or remove it") from None
    return token


def get_token(server: str, hint: str, variables: Mapping[str, str] = os.environ) -> str:
    """As `find_token`. Raises ConfigError with `hint` if there is none, or what there is cannot be one."""
    token = find_token(server, variables)
    if not token:
        raise ConfigError("you have no token for this server", hint=hint)
    if not user_of(token):
        raise ConfigError("what stands for your token is none", hint=f"it looks like u1.NAME.SECRET; {hint}")
    return token


def save_token(server: str, token: str, variables: Mapping[str, str] = os.environ) -> str:
    """Keep the token for its owner alone, whole or not at all; the file's path. Raises ConfigError if that cannot be."""
    path = token_path(server, variables)
    part = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
            file.write(f"{token}\n")
        os.replace(part, path)
    except OSError as error:
        raise ConfigError(f"cannot keep your token in {path}: {error.strerror}", hint="set FAIRWAY_CONFIG to a folder of yours") from None
    return path


def forget_token(server: str, variables: Mapping[str, str] = os.environ) -> bool:
    """Remove the kept token; False if there was none."""
    try:
        os.unlink(token_path(server, variables))
    except FileNotFoundError:
        return False
    return True


def default_user(variables: Mapping[str, str] = os.environ) -> str:
    """A name for the caller's token, from the machine's."""
    name = variables.get("FAIRWAY_USER") or variables.get("USER") or variables.get("LOGNAME") or "user"
    return re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-_")[:63] or "user"
