"""Credential plugins of a kubeconfig (`users[].user.exec`): run, kept until they expire, run again when the cluster says no."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2

from fairway.errors import ConfigError
from fairway.spec.record import Record, record

_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
_MARGIN = timedelta(seconds=30)  # a token that ends while a request is under way is of no use


@record
class Credential(Record):
    """What a plugin gave: a bearer token, or a client certificate with its key (PEM)."""

    token: str = ""
    certificate: str = ""
    key: str = ""
    expires_at: datetime | None = None

    def is_fresh(self, now: datetime) -> bool:
        return self.expires_at is None or now < self.expires_at - _MARGIN


class ExecPlugin:
    """One `exec` section. `folder` is the kubeconfig's, where a relative command is looked for; `cluster` goes to a plugin that asks."""

    def __init__(self, section: dict[str, Any], *, folder: Path, cluster: dict[str, Any]) -> None:
        self._section, self._folder, self._cluster = section, folder, cluster
        self._lock = threading.Lock()
        self._found: Credential | None = None

    def get_credential(self, *, unlike: str = "") -> Credential:
        """A credential that is not about to expire, and whose token is not `unlike` (one that was refused). Raises ConfigError."""
        with self._lock:
            found = self._found
            if found is None or not found.is_fresh(datetime.now(UTC)) or (unlike and found.token == unlike):
                found = self._found = self._run()
            return found

    def _run(self) -> Credential:
        version = str(self._section.get("apiVersion", ""))
        if version not in _VERSIONS:
            raise ConfigError(f"the kubeconfig's credential plugin speaks {version or 'no version'}", hint=f"known: {', '.join(_VERSIONS)}")
        command = str(self._section.get("command", ""))
        if os.sep in command and not Path(command).is_absolute():
            command = str(self._folder / command)
        asks = self._section.get("interactiveMode", "IfAvailable") != "Never" and sys.stdin is not None and sys.stdin.isatty()
        spec: dict[str, Any] = {"interactive": asks}
        if self._section.get("provideClusterInfo"):
            spec["cluster"] = self._cluster
        told = {"apiVersion": version, "kind": "ExecCredential", "spec": spec}
        variables = {str(one["name"]): str(one["value"]) for one in self._section.get("env") or []}
        try:
            done = subprocess.run(
                [command, *(str(one) for one in self._section.get("args") or [])],
                env={**os.environ, **variables, "KUBERNETES_EXEC_INFO": json.dumps(told)},
                stdin=None if asks else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=None if asks else subprocess.PIPE,
                check=False,
            )
        except OSError as error:
            hint = str(self._section.get("installHint") or "").strip() or "install it, or choose another context"
            raise ConfigError(f"the kubeconfig's credential plugin cannot be run: {command}: {error.strerror}", hint=hint) from error
        if done.returncode != 0:
            said = (done.stderr or b"").decode(errors="replace").strip()
            raise ConfigError(f"the kubeconfig's credential plugin failed with {done.returncode}: {said or command}", hint="log in again")
        return parse_credential(done.stdout, command)


def parse_credential(output: bytes, command: str) -> Credential:
    """The credential that a plugin wrote to its standard output. Raises ConfigError."""
    try:
        status: dict[str, Any] = json.loads(output)["status"]
        expires = status.get("expirationTimestamp")
        found = Credential(
            token=status.get("token") or "",
            certificate=status.get("clientCertificateData") or "",
            key=status.get("clientKeyData") or "",
            expires_at=datetime.fromisoformat(expires) if expires else None,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"the kubeconfig's credential plugin gave no ExecCredential: {command}", hint="run it by hand") from error
    if not found.token and not found.certificate:
        raise ConfigError(f"the kubeconfig's credential plugin gave neither a token nor a certificate: {command}", hint="run it by hand")
    return found


class PluginAuth(httpx2.Auth):
    """Puts the plugin's token on each request; asks the plugin again, once, when the cluster refuses it."""

    def __init__(self, plugin: ExecPlugin) -> None:
        self._plugin = plugin

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        token = self._plugin.get_credential().token
        if not token:
            yield request
            return
        request.headers["Authorization"] = f"Bearer {token}"
        response = yield request
        if response.status_code == 401:
            request.headers["Authorization"] = f"Bearer {self._plugin.get_credential(unlike=token).token}"
            yield request


class TokenFileAuth(httpx2.Auth):
    """Puts the token of a file on each request; reads it again when it has changed, as the kubelet does it every hour."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_at = -1
        self._token = ""

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        try:
            changed_at = self._path.stat().st_mtime_ns
            if changed_at != self._read_at:
                self._token, self._read_at = self._path.read_text().strip(), changed_at
        except OSError as error:
            raise ConfigError(f"the token file {self._path} cannot be read: {error.strerror}") from error
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request
