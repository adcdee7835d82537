"""What a protocol sees of a replica, and what answers at which path."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from fairway.serve.call import Call, Done
from fairway.serve.refusal import Refused
from fairway.spec.endpoint import Limits

if TYPE_CHECKING:
    from fairway.serve.exchange import Exchange
    from fairway.serve.package.package import Package
    from fairway.serve.schema import Checker, ModelSchema

TIMEOUT = b"fairway-timeout-ms"
Params = dict[str, str]
NO_PARAMS: Params = {}


class Serving(Protocol):
    """A replica, as protocols see it. `phases`: what its start took, in seconds ("libraries", "model", "warm-up"). `submit` takes a checked
    call and calls `done` later, in the same loop; raises Refused (429, 503, 504) if it takes none now."""

    name: str
    version: str
    schema: ModelSchema
    checker: Checker
    package: Package
    limits: Limits

    @property
    def ready(self) -> bool: ...
    @property
    def phases(self) -> tuple[tuple[str, float], ...]: ...
    def submit(self, call: Call, done: Done) -> None: ...


class Route:
    """`handle` answers `method` at `pattern`: a path, with names in braces for parts that may be anything ("/v1/models/{model}:predict").
    It never raises Refused: it answers in the form of its protocol."""

    __slots__ = ("handle", "method", "pattern")

    def __init__(self, method: str, pattern: str, handle: Callable[[Serving, Exchange, Params], None]) -> None:
        self.method, self.pattern, self.handle = method, pattern, handle


class RouteTable:
    """Routes, found fast: exact paths by a dictionary, then patterns in the order they were given in."""

    def __init__(self, routes: tuple[Route, ...]) -> None:
        self._exact: dict[tuple[str, str], tuple[Route, Params]] = {}
        self._patterns: list[tuple[re.Pattern[str], dict[str, Route]]] = []
        by_pattern: dict[str, dict[str, Route]] = {}
        for route in routes:
            if "{" not in route.pattern:
                self._exact[route.method, route.pattern] = (route, NO_PARAMS)
            elif route.pattern in by_pattern:
                by_pattern[route.pattern][route.method] = route
            else:
                by_pattern[route.pattern] = {route.method: route}
                parts = re.split(r"\{(\w+)\}", route.pattern)
                text = "".join(f"(?P<{part}>[^/]+?)" if at % 2 else re.escape(part) for at, part in enumerate(parts))
                self._patterns.append((re.compile(text), by_pattern[route.pattern]))

    def find(self, method: str, path: str) -> tuple[Route, Params]:
        """The route and what stood in its braces. Raises Refused 404 or 405."""
        found = self._exact.get((method, path))
        if found is not None:
            return found
        for pattern, routes in self._patterns:
            match = pattern.fullmatch(path)
            if match is not None and method in routes:
                return routes[method], match.groupdict()
        if method == "HEAD":
            return self.find("GET", path)
        raise self._refuse(method, path)

    def methods(self, path: str) -> tuple[str, ...]:
        """What may be done at the path, () if there is none such."""
        found = {method for method, known in self._exact if known == path}
        for pattern, routes in self._patterns:
            if pattern.fullmatch(path):
                found.update(routes)
        return tuple(sorted(found))

    def _refuse(self, method: str, path: str) -> Refused:
        allowed = self.methods(path)
        if allowed:
            return Refused(405, "FW-UNSUPPORTED", f"{path} takes {' and '.join(allowed)}, not {method}")
        known = path.rstrip("/")
        if known and self.methods(known):
            return Refused(404, "FW-NOT-FOUND", f"there is no {shorten(path)} here", hint=f"without the last slash there is: {known}")
        return Refused(
            404, "FW-NOT-FOUND", f"there is no {shorten(path)} here",
            hint="try /docs; models are asked at /predict, /score, /invocations, /v1/models and /v2/models",
        )  # fmt: skip


def shorten(text: str, limit: int = 80) -> str:
    """At most `limit` characters of what a caller sent, fit to be shown."""
    shown = text if text.isprintable() else ascii(text)[1:-1]
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def prepare(serving: Serving, exchange: Exchange, call: Call) -> Call:
    """Give the call its id and its deadline: the server's, or an earlier one that the caller asks for. Raises Refused 400."""
    call.id = exchange.id
    if call.params:
        check_params(call.params)
    if not call.deadline:
        call.deadline = exchange.started + find_timeout(serving.limits, exchange.headers.get(TIMEOUT))
    return call


def check_params(params: dict[str, Any]) -> None:
    """Refuse parameters that cannot be handed to a model process."""
    try:
        msgspec.msgpack.encode(params)
    except OverflowError:
        raise Refused(400, "FW-REQUEST", "the parameters have a whole number that does not fit 64 bits") from None
    except RecursionError:
        raise Refused(400, "FW-REQUEST", "the parameters are nested too deeply") from None


def find_timeout(limits: Limits, asked: bytes | None) -> float:
    """Seconds a request may take. Raises Refused 400 if what is asked is no number of milliseconds."""
    if asked is None:
        return limits.deadline_s
    if not asked.isdigit() or len(asked) > 12 or int(asked) == 0:
        raise Refused(
            400,
            "FW-REQUEST",
            f"the header {TIMEOUT.decode()} is {shorten(asked.decode('latin-1'))!r}, expected milliseconds, a whole number from 1",
        )
    return min(int(asked) / 1000, limits.deadline_s)


def check_model(serving: Serving, params: Params) -> None:
    """Refuse a request for another model, or another version of it, than the one that is here."""
    model, version = params.get("model", ""), params.get("version", "")
    if model and model != serving.name:
        raise Refused(404, "FW-NOT-FOUND", f"there is no model {shorten(model)!r} here", hint=f"there is {serving.name!r}")
    if version and version != serving.version:
        raise Refused(
            404, "FW-NOT-FOUND", f"there is no version {shorten(version)!r} of the model {serving.name!r} here",
            hint=f"there is version {serving.version!r}",
        )  # fmt: skip


def refused_of(code: str, status: int, message: str, **more: Any) -> Refused:
    """The refusal that a failed result stands for."""
    return Refused(status or 500, code or "FW-INTERNAL", message or "the model process failed", **more)
