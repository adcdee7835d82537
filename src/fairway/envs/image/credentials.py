"""Who we are to a registry: what `docker login` has left, or its credential helpers say."""

from __future__ import annotations

import base64
import binascii
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from fairway.envs.image.reference import DOCKER_HUB
from fairway.errors import ConfigError

_HUB_KEY = "https://index.docker.io/v1/"
_HELPER_S = 20.0
_TOKEN_USER = "<token>"  # what helpers say in place of a user for an identity token


def find_credentials(registry: str) -> tuple[str, str] | None:
    """(user, password) for a registry, None if there are none. Raises ConfigError for a docker config that cannot be read."""
    config, path = _read_config()
    names = (
        (_HUB_KEY, DOCKER_HUB)
        if registry == DOCKER_HUB
        else (registry, f"https://{registry}", f"https://{registry}/v1/", f"http://{registry}")
    )
    helpers = config.get("credHelpers") or {}
    for name in names:
        if name in helpers:
            return _ask_helper(str(helpers[name]), name)
    auths = config.get("auths") or {}
    for name in names:
        entry = auths.get(name)
        if isinstance(entry, dict) and (found := _decode(entry, name, path)):
            return found
    if config.get("credsStore"):
        for name in names:
            if found := _ask_helper(str(config["credsStore"]), name):
                return found
    return None


def _read_config() -> tuple[dict[str, Any], Path]:
    folder = os.environ.get("DOCKER_CONFIG")
    path = (Path(folder) if folder else Path.home() / ".docker") / "config.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}, path
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {path}: {error}", hint="`docker login` writes it; DOCKER_CONFIG names another folder") from None
    return (found if isinstance(found, dict) else {}), path


def _decode(entry: dict[str, Any], name: str, path: Path) -> tuple[str, str] | None:
    if entry.get("identitytoken"):
        return _TOKEN_USER, str(entry["identitytoken"])
    if entry.get("username") and entry.get("password"):
        return str(entry["username"]), str(entry["password"])
    if not entry.get("auth"):
        return None
    try:
        user, colon, password = base64.b64decode(str(entry["auth"]), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        colon = user = password = ""
    if not colon:
        raise ConfigError(f"{path}: what stands under auths for {name} is no login", hint="`docker login` writes it anew")
    return user, password


def _ask_helper(helper: str, name: str) -> tuple[str, str] | None:
    program = shutil.which(f"docker-credential-{helper}")
    if program is None:
        raise ConfigError(
            f"the docker config names a credential helper docker-credential-{helper}, which is not on PATH",
            hint="install it, or `docker login`",
        )
    try:
        done = subprocess.run([program, "get"], input=name, capture_output=True, text=True, timeout=_HELPER_S, check=False)
    except subprocess.TimeoutExpired:
        raise ConfigError(f"docker-credential-{helper} has not answered within {_HELPER_S:.0f} s", hint="call it by hand and see") from None
    if done.returncode:
        said = (done.stdout + done.stderr).strip()
        if "not found" in said.lower() or not said:
            return None
        raise ConfigError(f"docker-credential-{helper} knows no login for {name}: {said[:200]}", hint="log in anew")
    try:
        found = json.loads(done.stdout)
        return str(found["Username"]), str(found["Secret"])
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"docker-credential-{helper} said no login for {name}", hint="call it by hand and see") from None


def is_identity_token(user: str) -> bool:
    """The password is a token to be exchanged, not one to be sent."""
    return user == _TOKEN_USER
