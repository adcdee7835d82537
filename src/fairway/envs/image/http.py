"""One registry over HTTP: its login, its retries, its words when it refuses."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import re
import ssl
import time
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from fairway.envs.image.credentials import find_credentials, is_identity_token
from fairway.errors import ConfigError, ImageUnavailable

_TIMEOUT_S = 60.0
_TRIES = 4
_WAIT_S = 0.5
_REDIRECTS = (301, 302, 303, 307, 308)
_AGAIN = (429, 500, 502, 503, 504)
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
Body = bytes | Callable[[], BinaryIO] | None


class Reply:
    """An answer: its status, headers, and its body, whole or to be read."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.getheaders()}
        self.stream = response

    def read(self) -> bytes:
        return self.stream.read()


class RegistryHttp:
    """Requests to one registry. `plain`: HTTP without TLS, as for a registry on this machine."""

    def __init__(self, registry: str, host: str, *, plain: bool | None = None) -> None:
        name = host.rpartition(":")[0] or host
        self.registry = registry
        self.host = host
        self._plain = plain if plain is not None else name == "localhost" or name.startswith("127.") or name == "[::1]"
        self._connections: dict[tuple[str, bool], http.client.HTTPConnection] = {}
        self._authorization: dict[str, str] = {}
        self._credentials: tuple[str, str] | None = None
        self._asked = False
        self.sent_bytes = 0

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def request(
        self, method: str, path: str, *, scope: str, headers: Mapping[str, str] | None = None, body: Body = None, size: int = -1
    ) -> Reply:
        """The answer, whatever its status, once we are logged in as far as we can be. Raises ImageUnavailable if there is none.

        A body that is made by a function is made anew for each try; `size` is then its length.
        """
        url = path if "://" in path else f"{'http' if self._plain else 'https'}://{self.host}{path}"
        for attempt in range(_TRIES):
            given = dict(headers or {})
            if (known := self._authorization.get(scope)) and urllib.parse.urlsplit(url).netloc == self.host:
                given["Authorization"] = known
            try:
                reply = self._send(method, url, given, body, size)
            except (OSError, http.client.HTTPException) as error:
                self._forget(url)
                if isinstance(error, ssl.SSLError) or attempt == _TRIES - 1:
                    raise self._unreachable(error) from error
                time.sleep(_WAIT_S * 2**attempt)
                continue
            if reply.status == 401 and scope not in self._authorization and self._log_in(reply, scope):
                continue
            if reply.status in _REDIRECTS and method in ("GET", "HEAD") and reply.headers.get("location"):
                reply.read()
                url = urllib.parse.urljoin(url, reply.headers["location"])
                continue
            if reply.status in _AGAIN and attempt < _TRIES - 1:
                reply.read()
                wait = reply.headers.get("retry-after", "")
                time.sleep(min(30.0, float(wait)) if wait.isdigit() else _WAIT_S * 2**attempt)
                continue
            return reply
        raise ImageUnavailable(f"the registry {self.registry} sends us in circles", hint="try again later")

    def _send(self, method: str, url: str, headers: dict[str, str], body: Body, size: int) -> Reply:
        parts = urllib.parse.urlsplit(url)
        connection = self._connect(parts.netloc, parts.scheme == "http")
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        headers = {"Host": parts.netloc, "User-Agent": "fairway", **headers}
        if callable(body):
            headers["Content-Length"] = str(size)
            with contextlib.closing(body()) as source:
                connection.request(method, target, body=source, headers=headers)
            self.sent_bytes += size
        else:
            if body is not None or method in ("POST", "PUT", "PATCH"):
                headers["Content-Length"] = str(len(body or b""))
            connection.request(method, target, body=body, headers=headers)
            self.sent_bytes += len(body or b"")
        return Reply(connection.getresponse())

    def _connect(self, netloc: str, plain: bool) -> http.client.HTTPConnection:
        connection = self._connections.get((netloc, plain))
        if connection is None:
            kind = http.client.HTTPConnection if plain else http.client.HTTPSConnection
            connection = self._connections[netloc, plain] = kind(netloc, timeout=_TIMEOUT_S)
            connection.blocksize = 1 << 20
        return connection

    def _forget(self, url: str) -> None:
        parts = urllib.parse.urlsplit(url)
        connection = self._connections.pop((parts.netloc, parts.scheme == "http"), None)
        if connection is not None:
            connection.close()

    def _unreachable(self, error: Exception) -> ImageUnavailable:
        return ImageUnavailable(
            f"the registry {self.registry} cannot be reached: {error}",
            hint="is its name right? A registry without TLS has to be written with http:// before it",
        )

    def _log_in(self, reply: Reply, scope: str) -> bool:
        """Answer the registry's challenge; False if it asks for what we cannot give."""
        reply.read()
        challenge = reply.headers.get("www-authenticate", "")
        kind, _, rest = challenge.partition(" ")
        if not self._asked:
            self._credentials, self._asked = find_credentials(self.registry), True
        if kind.lower() == "basic":
            if self._credentials is None:
                return False
            self._authorization[scope] = _basic(*self._credentials)
            return True
        if kind.lower() != "bearer":
            return False
        self._authorization[scope] = f"Bearer {self._get_token(dict(_CHALLENGE.findall(rest)), scope)}"
        return True

    def _get_token(self, asked: Mapping[str, str], scope: str) -> str:
        realm, known = asked.get("realm", ""), self._credentials
        query = {"service": asked.get("service", ""), "scope": scope or asked.get("scope", "")}
        headers: dict[str, str] = {}
        method, body = "GET", None
        if known is not None and is_identity_token(known[0]):
            method = "POST"
            form = {"grant_type": "refresh_token", "refresh_token": known[1], "client_id": "fairway", **query}
            body = urllib.parse.urlencode(form).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            url = realm
        else:
            url = f"{realm}{'&' if '?' in realm else '?'}{urllib.parse.urlencode({k: v for k, v in query.items() if v})}"
            if known is not None:
                headers["Authorization"] = _basic(*known)
        if not realm.startswith(("https://", "http://127.", "http://localhost")) and not self._plain:
            raise ImageUnavailable(f"the registry {self.registry} wants our login sent to {realm or 'nowhere'}", hint="ask whoever runs it")
        try:
            reply = self._send(method, url, headers, body, -1)
            data = reply.read()
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        if reply.status != 200:
            raise self.refused(reply.status, data, "log in")
        found: dict[str, Any] = json.loads(data)
        token = found.get("token") or found.get("access_token") or ""
        if not token:
            raise ImageUnavailable(f"the registry {self.registry} has answered our login with no token", hint="try again later")
        return str(token)

    def refused(self, status: int, data: bytes, doing: str) -> ImageUnavailable | ConfigError:
        """What the registry said, as one of our errors."""
        try:
            first = json.loads(data)["errors"][0]
            said = first.get("message") or first.get("code") or ""
        except (ValueError, KeyError, IndexError, TypeError):
            said = data[:200].decode("utf-8", "replace").strip()
        words = f"the registry {self.registry} does not let us {doing}: {said or 'it does not say why'} (HTTP {status})"
        if status in (401, 403):
            return ConfigError(words, hint=f"docker login {self.registry}, or write the login into the docker config yourself")
        return ImageUnavailable(
            words, hint="is the image's name right, and are you allowed to see it?" if status == 404 else "try again later"
        )


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
