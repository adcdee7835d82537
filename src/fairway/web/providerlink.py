"""Requests to an identity provider: few, small, over TLS, and never led elsewhere."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from fairway.errors import InfraError

TIMEOUT_S = 10.0
LIMIT_BYTES = 1 << 20

Fetch = Callable[[str, str, Mapping[str, str], bytes | None], Awaitable[tuple[int, bytes]]]
"""(method, URL, headers, body) -> (status, body). Raises InfraError."""


async def fetch(method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> tuple[int, bytes]:
    """One request. Without TLS only to this machine."""
    if not _is_safe(url):
        raise InfraError(f"{url[:200]} is not encrypted", hint="an identity provider is asked by https only")
    return await asyncio.to_thread(_fetch, method, url, headers, body)


def _fetch(method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> tuple[int, bytes]:
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError
    from urllib.request import HTTPRedirectHandler, Request, build_opener

    class Stay(HTTPRedirectHandler):
        def redirect_request(self, *args: Any, **more: Any) -> None:
            return None

    request = Request(url, data=body, headers=dict(headers), method=method)
    try:
        with build_opener(Stay).open(request, timeout=TIMEOUT_S) as answer:
            return answer.status, answer.read(LIMIT_BYTES)
    except HTTPError as error:
        with error:
            return error.code, error.read(LIMIT_BYTES)
    except (URLError, OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise InfraError(f"the identity provider at {urlsplit(url).netloc} cannot be reached: {reason}", hint="try again") from error


def _is_safe(url: str) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https":
        return bool(host)
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
    return parts.scheme == "http" and local
