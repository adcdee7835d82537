"""Where endpoints are looked at and changed: what the API and the pages ask of the keeper."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fairway.errors import ConflictError, InfraError, JournalConflict, NotFoundError
from fairway.serve.control import changes
from fairway.serve.control.changes import Change, Deployed, Doing
from fairway.serve.control.forms import key_of, read_form
from fairway.serve.control.keeper import Keeper
from fairway.serve.control.view import Answered, Asked, EndpointView
from fairway.serve.control.viewing import Around, build_view, main_revision
from fairway.serve.control.watched import Watched
from fairway.serve.httpclient import Upstream
from fairway.spec.endpoint import Endpoint, Revision, Rollout, ServeSpec
from fairway.spec.ports import ArtifactStore
from fairway.spec.record import replace

_TRIES = 5
_SLACK_S = 70.0
_KNOWN = 32


class EndpointDesk:
    """See `web.ports.Endpoints`. Every change is written to the store before it is answered, and the keeper is woken."""

    def __init__(self, keeper: Keeper, artifacts: ArtifactStore, home: str, *, clock: Callable[[], float] = time.time) -> None:
        self._keeper, self._artifacts, self._home, self._clock = keeper, artifacts, Path(home), clock
        self._forms: dict[str, tuple[dict[str, Any] | None, Any]] = {}

    async def views(self) -> Sequence[EndpointView]:
        """All of them by name, without schema and example."""
        return [self._view(one, Around()) for _, one in sorted(self._keeper.watched.items())]

    async def view(self, name: str) -> EndpointView | None:
        """One of them, whole."""
        one = self._keeper.watched.get(name)
        if one is None:
            found = await self._keeper.store.find_endpoint(name)
            if found is None:
                return None
            one = Watched(found)  # so new that the keeper has not seen it yet
        schema, example = await self._find_form(main_revision(one.endpoint))
        return self._view(one, Around(schema=schema, example=example))

    def stand(self, name: str = "") -> int:
        """Counts up with every change."""
        if not name:
            return self._keeper.stand
        one = self._keeper.watched.get(name)
        return one.stand if one is not None else 0

    async def send(self, name: str, asked: Asked) -> Answered:
        """Through the gateway, with a key of the server's own. Raises NotFoundError, InfraError."""
        await self._get(name)
        inner = self._keeper.gateways.inner
        if not inner:
            raise InfraError(f"no gateway runs: {self._keeper.gateways.explain()}", hint="try again in a moment")
        headers = [
            (b"content-type", asked.content_type.encode("latin-1", "replace")),
            (b"accept", asked.accept.encode("latin-1", "replace")),
        ]
        headers += [(b"authorization", b"Bearer " + self._keeper.own_key.encode())]
        headers += [(b"fairway-revision", b"%d" % asked.revision)] if asked.revision else []
        path = "/" + asked.path.lstrip("/")
        upstream, began = Upstream(inner), time.monotonic()
        try:
            answer = await upstream.ask(
                "POST" if asked.body or path == "/predict" else "GET", f"/{name}{path}", headers, asked.body, _SLACK_S
            )
            body = answer.body if answer.chunks is None else b"".join([piece async for piece in answer.chunks])
        finally:
            upstream.abort()
        if not answer.status:
            raise InfraError(f"the gateway did not answer: {answer.why or answer.problem}", hint="try again in a moment")
        number = answer.find_header(b"fairway-revision")
        return Answered(
            answer.status,
            bytes(body),
            answer.find_header(b"content-type").decode("latin-1"),
            answer.find_header(b"fairway-request-id").decode("latin-1"),
            int(number) if number.isdigit() else 0,
            (time.monotonic() - began) * 1000.0,
        )

    async def deploy(
        self, name: str, spec: ServeSpec, change: Change, *, by: str, note: str = "", with_key: bool | None = None
    ) -> Deployed:
        """A revision of this spec, in a new endpoint if there is none of that name. `change`: what else changes with it; `with_key`: a new
        endpoint that is not open gets a first key (None: where callers of other machines come)."""
        changes.check_name(name)
        for _ in range(_TRIES):
            doing, key = Doing(by, self._clock()), ""
            before = await self._keeper.store.find_endpoint(name)
            after, number = changes.add_revision(before, name, spec, doing, note=note)
            after = change(after, doing)
            self._check_notify(before, after)
            if before is None and not after.is_open and (not self._keeper.gateways.is_local if with_key is None else with_key):
                after, key = changes.add_key(after, "first", doing)
            if before is not None and after == before:
                return Deployed(before, number)
            with suppress(JournalConflict):
                return Deployed(await self._write(after), number, key, before is None)
        raise ConflictError(f"the endpoint {name!r} changes too often just now", hint="try again")

    def _check_notify(self, before: Endpoint | None, after: Endpoint) -> None:
        if after.notify and (before is None or after.notify != before.notify):
            from fairway.serve.feedback.telling import parse

            parse(after.notify, is_local=self._keeper.gateways.is_local)

    async def change(self, name: str, change: Change, *, by: str) -> Endpoint:
        """The endpoint as `change` makes it. Raises what `change` raises, NotFoundError, ConflictError."""
        for _ in range(_TRIES):
            before = await self._get(name)
            after = change(before, Doing(by, self._clock()))
            self._check_notify(before, after)
            if after == before:
                return before
            with suppress(JournalConflict):
                return await self._write(after)
        raise ConflictError(f"the endpoint {name!r} changes too often just now", hint="try again")

    async def set_traffic(self, name: str, traffic: Sequence[tuple[int, float]], *, by: str) -> None:
        """Weights that add up to 100. It ends a rollout."""
        await self.change(name, lambda one, doing: changes.set_traffic(one, traffic, doing), by=by)

    async def set_shadow(self, name: str, revision: int, *, by: str) -> None:
        """0: none."""
        await self.change(name, lambda one, doing: changes.set_shadow(one, revision, doing), by=by)

    async def start_rollout(self, name: str, revision: int, *, by: str) -> None:
        """By the usual steps."""
        await self.change(name, lambda one, doing: changes.start_rollout(one, Rollout(revision, ()), doing), by=by)

    async def pause_rollout(self, name: str, paused: bool, *, by: str) -> None:
        """Stay at this step, or go on."""
        await self.change(name, lambda one, doing: changes.pause_rollout(one, paused, doing), by=by)

    async def promote(self, name: str, revision: int, *, by: str) -> None:
        """All traffic to it at once."""
        await self.change(name, lambda one, doing: changes.promote(one, revision, doing), by=by)

    async def rollback(self, name: str, revision: int = 0, *, by: str) -> None:
        """To that revision; 0: to what served before."""
        await self.change(name, lambda one, doing: changes.rollback(one, revision, doing), by=by)

    async def pause(self, name: str, paused: bool, *, by: str) -> None:
        """Take no requests, or take them again."""
        await self.change(name, lambda one, doing: changes.pause(one, paused, doing), by=by)

    async def add_key(self, name: str, key: str, rate: float, burst: int, *, by: str) -> str:
        """The key itself; it is shown once and kept nowhere."""
        made = ""

        def change(one: Endpoint, doing: Doing) -> Endpoint:
            nonlocal made
            after, made = changes.add_key(one, key, doing, rate=rate, burst=burst)
            return after

        await self.change(name, change, by=by)
        return made

    async def remove_key(self, name: str, key: str, *, by: str) -> None:
        """Whoever has it cannot call any more."""
        await self.change(name, lambda one, doing: changes.remove_key(one, key, doing), by=by)

    async def delete(self, name: str, *, by: str) -> None:
        """With all that belongs to it. Raises NotFoundError."""
        await self._get(name)
        await self._keeper.store.delete_endpoint(name)
        await self._keeper.settle()

    async def logs(self, name: str, *, revision: int = 0, replica: str = "", lines: int = 500) -> Sequence[str]:
        """The last lines, oldest first, each with its replica before it."""
        await self._get(name)
        return await self._keeper.fleet.logs(name, revision=revision, replica=replica, lines=lines)

    async def _get(self, name: str) -> Endpoint:
        found = await self._keeper.store.find_endpoint(name)
        if found is None:
            there = ", ".join(sorted(self._keeper.watched)) or "none"
            raise NotFoundError(f"there is no endpoint {name!r}", hint=f"there is: {there}")
        return found

    async def _write(self, endpoint: Endpoint) -> Endpoint:
        version = await self._keeper.store.put_endpoint(endpoint)
        await self._keeper.settle()
        return replace(endpoint, version=version)

    def _view(self, one: Watched, around: Around) -> EndpointView:
        gateways, name = self._keeper.gateways, one.endpoint.name
        known = replace(
            around,
            url=gateways.url(one.endpoint),
            grpc=gateways.grpc(one.endpoint),
            zygote_bytes=self._keeper.fleet.warm_bytes(name),
            trouble=self._keeper.trouble,
            unexposed=gateways.unexposed(one.endpoint),
            scaled_by=self._keeper.fleet.scaled_by(one.endpoint),
        )
        return build_view(one, known, self._clock())

    async def _find_form(self, revision: Revision | None) -> tuple[dict[str, Any] | None, Any]:
        """Schema and example of what the revision serves; nothing where they cannot be had."""
        if revision is None:
            return None, None
        key = key_of(revision.spec)
        if key not in self._forms:
            while len(self._forms) >= _KNOWN:
                del self._forms[next(iter(self._forms))]
            self._forms[key] = await asyncio.to_thread(read_form, revision.spec, self._artifacts, self._home)
        return self._forms[key]
