"""Requests to the API server: paced, counted, tried again while that may help, answers as plain data, refusals as Fairway's errors."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx2
import msgspec

from fairway.errors import ConfigError, FairwayError, InfraError
from fairway.kube.errors import Expired, error_from_status, error_from_transport
from fairway.kube.rate import TokenBucket
from fairway.spec.record import Record, field, record

if TYPE_CHECKING:
    from fairway.kube.config import ClientSettings, Connection

_CONNECT_S = 10.0
_AT_ONCE = 16  # requests that are answered at once; each connection costs memory, here and there
_PASSING = frozenset({429, 500, 502, 503, 504})
_LONGEST_PAUSE_S = 60.0


@record
class Call(Record):
    """One request: `verb` and `kind` in Kubernetes' words, for counting and messages. `repeatable`: sending it twice does no harm, so that
    it is sent again when it is not known whether the first one arrived."""

    verb: str
    kind: str
    method: str
    path: str
    name: str = ""
    query: dict[str, str] = field(default_factory=dict)
    body: Any = None
    content_type: str = "application/json"
    repeatable: bool = True

    @property
    def what(self) -> str:
        return f"{self.verb} {self.kind} {self.name}".rstrip()


class Transport:
    """One API server. `requests` counts what was sent: "list Pod" -> 3. Not to be shared between event loops."""

    def __init__(self, connection: Connection, settings: ClientSettings) -> None:
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=8, keepalive_expiry=60.0)
        self._http = httpx2.AsyncClient(limits=limits, **connection.arguments)
        self._extensions = {"sni_hostname": connection.server_name} if connection.server_name else {}
        self._bucket = TokenBucket(settings.requests_per_s)
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._settings = settings
        self.server, self.timeout_s, self.silence_s = connection.server, settings.timeout_s, settings.silence_s
        self.requests: Counter[str] = Counter()

    async def call(self, call: Call) -> dict[str, Any]:
        """The answer's JSON. Raises Expired on 410, else FairwayErrors."""
        response = await self._send(call, stream=False)
        try:
            return msgspec.json.decode(response.content)
        except msgspec.DecodeError as error:
            raise ConfigError(
                f"{self.server} does not answer as a Kubernetes API does", hint="is the address in the kubeconfig right?"
            ) from error

    @asynccontextmanager
    async def stream(
        self, call: Call, *, silence_s: float | None = None, headers: dict[str, str] | None = None
    ) -> AsyncGenerator[httpx2.Response]:
        """The answer while it comes; an error if nothing comes for `silence_s`. What breaks inside the block is raised as InfraError."""
        response = await self._send(call, stream=True, silence_s=silence_s, headers=headers)
        try:
            yield response
        except (httpx2.TransportError, httpx2.StreamError) as error:
            raise error_from_transport(error, server=self.server, what=call.what) from error
        finally:
            await response.aclose()

    async def close(self) -> None:
        await self._http.aclose()

    async def _send(
        self, call: Call, *, stream: bool, silence_s: float | None = None, headers: dict[str, str] | None = None
    ) -> httpx2.Response:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._settings.patience_s
        tries = 0
        while True:
            tries += 1
            await self._bucket.take()
            self.requests[f"{call.verb} {call.kind}"] += 1
            request = self._build(call, stream=stream, silence_s=silence_s, headers=headers)
            wait_s = random.uniform(0.5, 1.0) * min(0.1 * 2**tries, 5.0)
            try:
                if stream:
                    response = await self._http.send(request, stream=True)
                else:
                    async with self._turns:
                        response = await self._http.send(request)
            except httpx2.TransportError as error:
                failure: FairwayError = error_from_transport(error, server=self.server, what=call.what)
                arrived = not isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout)
                again = isinstance(failure, InfraError) and (call.repeatable or not arrived)
            else:
                if response.status_code < 400:
                    return response
                status = await _read_status(response)
                failure = error_from_status(response.status_code, status, what=call.what)
                again = response.status_code in _PASSING and (call.repeatable or response.status_code in {429, 503})
                again = again or (
                    call.verb == "create" and status.get("reason") == "Conflict"
                )  # over a quota's bookkeeping, not the object
                if (asked := _retry_after(response)) is not None:
                    wait_s = asked + random.uniform(0, 0.25)
                    self._bucket.pause(asked)
            if not again or loop.time() + wait_s > give_up_at:
                raise failure
            await asyncio.sleep(wait_s)

    def _build(self, call: Call, *, stream: bool, silence_s: float | None, headers: dict[str, str] | None) -> httpx2.Request:
        sent = {"Accept": "application/json", "User-Agent": "fairway", **(headers or {})}
        content = None
        if call.body is not None:
            content = msgspec.json.encode(call.body)
            sent["Content-Type"] = call.content_type
        limit_s = self._settings.timeout_s
        timeout = httpx2.Timeout(connect=min(_CONNECT_S, limit_s), read=silence_s if stream else limit_s, write=limit_s, pool=None)
        extensions = {**self._extensions, "timeout": timeout.as_dict()}
        return self._http.build_request(
            call.method, call.path, params=call.query or None, content=content, headers=sent, timeout=timeout, extensions=extensions
        )


async def _read_status(response: httpx2.Response) -> dict[str, Any]:
    """The Status object of a refusal; {} if it is none. Raises Expired on 410."""
    try:
        await response.aread()
        status = msgspec.json.decode(response.content)
    except (httpx2.TransportError, msgspec.DecodeError):
        status = {}
    finally:
        await response.aclose()
    if response.status_code == 410:
        raise Expired(str(status.get("message", "")) if isinstance(status, dict) else "")
    return status if isinstance(status, dict) else {}


def _retry_after(response: httpx2.Response) -> float | None:
    """Seconds that the server asks to wait; None if it says nothing (dates are not used by API servers)."""
    value = response.headers.get("retry-after", "")
    return min(float(value), _LONGEST_PAUSE_S) if value.isdigit() else None
