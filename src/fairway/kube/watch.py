"""Watches that do not end: they resume where they broke off, list again when that is too long ago, and are shared by their callers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from fairway.errors import FairwayError, InfraError, InternalError, UserError
from fairway.kube.errors import Expired
from fairway.kube.transport import Call
from fairway.spec.record import Record, record

if TYPE_CHECKING:
    from fairway.kube.kinds import ApiKind
    from fairway.kube.transport import Transport

Object = dict[str, Any]
_SERVER_ENDS_S = 300  # the API server ends a watch after this time, give or take; it is then resumed
_SHORT_S = 1.0
_PAGE = 500
_LONGEST_WAIT_S = 30.0


@record
class Change(Record):
    """`kind`: "added", "modified", "deleted" (`obj`: its last known state), or "synced": all that was there has been told (`obj`: {})."""

    kind: str
    obj: dict[str, Any]

    @property
    def name(self) -> str:
        return self.obj["metadata"]["name"] if self.obj else ""


async def list_pages(
    transport: Transport, api: ApiKind, path: str, selectors: dict[str, str], *, page: int = _PAGE
) -> tuple[list[Object], str]:
    """All objects, and the resourceVersion at which they were so. A page that has expired starts the list anew."""
    while True:
        query = {"limit": str(page), **{key: value for key, value in selectors.items() if value}}
        items: list[Object] = []
        try:
            while True:
                answer = await transport.call(Call("list", api.name, "GET", path, query=dict(query)))
                items += answer.get("items") or []
                metadata = answer.get("metadata") or {}
                if not metadata.get("continue"):
                    break
                query["continue"] = metadata["continue"]
        except Expired:
            continue
        for item in items:  # a list's items leave out what the list itself says
            item.setdefault("apiVersion", api.version)
            item.setdefault("kind", api.name)
        return items, str(metadata.get("resourceVersion", ""))


class Watches:
    """The watches of one client, each shared by those who ask for the same."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._shared: dict[tuple[str, ...], _Shared] = {}

    async def subscribe(self, api: ApiKind, path: str, selectors: dict[str, str]) -> AsyncGenerator[Change]:
        """Changes for one caller. Raises UserErrors (no rights, no such kind) until the first list has come, nothing after."""
        key = (path, *selectors.values())
        shared = self._shared.get(key)
        if shared is None:
            shared = self._shared[key] = _Shared(self._transport, api, path, selectors)
        inbox = shared.join()
        try:
            while True:
                for change in await inbox.take():
                    yield change
        finally:
            if shared.leave(inbox):
                self._shared.pop(key, None)
                await shared.stop()

    async def close(self) -> None:
        """Stop all; who still listens hears no more."""
        shared, self._shared = list(self._shared.values()), {}
        for one in shared:
            await one.stop()


class _Inbox:
    """What one caller has not taken yet: of each object only the newest change, so that a slow caller costs no more than the objects do."""

    def __init__(self) -> None:
        self._pending: dict[str, tuple[str, bytes]] = {}
        self._ready = asyncio.Event()
        self._failure: FairwayError | None = None

    def put(self, key: str, kind: str, raw: bytes) -> None:
        before = self._pending.get(key)
        if before is not None and before[0] == "added" and kind == "modified":
            kind = "added"
        if kind in {"deleted", "synced"}:
            self._pending.pop(key, None)  # it moves to the end
        self._pending[key] = (kind, raw)
        self._ready.set()

    def fail(self, error: FairwayError) -> None:
        self._failure = error
        self._ready.set()

    async def take(self) -> list[Change]:
        await self._ready.wait()
        self._ready.clear()
        if self._failure is not None:
            raise self._failure
        pending, self._pending = self._pending, {}
        return [Change(kind, msgspec.json.decode(raw) if raw else {}) for kind, raw in pending.values()]


class _Shared:
    """One watch, its known objects (as JSON: a tenth of the memory of dicts), and who listens."""

    def __init__(self, transport: Transport, api: ApiKind, path: str, selectors: dict[str, str]) -> None:
        self._transport, self._api, self._path, self._selectors = transport, api, path, selectors
        self._known: dict[str, bytes] = {}
        self._synced = self._heard = False
        self._version = ""
        self._inboxes: list[_Inbox] = []
        self._task: asyncio.Task[None] | None = None

    def join(self) -> _Inbox:
        inbox = _Inbox()
        self._inboxes.append(inbox)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"watch {self._api.name}")
            self._task.add_done_callback(self._ended)
        for key, raw in self._known.items():
            inbox.put(key, "added", raw)
        if self._synced:
            inbox.put("", "synced", b"")
        return inbox

    def leave(self, inbox: _Inbox) -> bool:
        """True if nobody listens any more."""
        self._inboxes = [one for one in self._inboxes if one is not inbox]
        return not self._inboxes

    async def stop(self) -> None:
        if (task := self._task) is not None:
            task.cancel()
            with suppress(asyncio.CancelledError, FairwayError):
                await task

    async def _run(self) -> None:
        failures = 0
        while True:
            self._heard, broke = False, True
            try:
                if not self._version:
                    await self._list()
                await self._follow()
                broke = False
            except Expired:
                self._version = ""
            except FairwayError as error:
                if isinstance(error, UserError) and not self._synced:
                    raise
            failures = 0 if self._heard else failures + 1
            if broke or failures:
                await asyncio.sleep(random.uniform(0.5, 1.0) * min(0.05 * 2**failures, _LONGEST_WAIT_S))

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A watch that has ended tells its callers why, instead of leaving them to wait."""
        self._task = None
        if task.cancelled() or (error := task.exception()) is None:
            return
        for inbox in self._inboxes:
            inbox.fail(error if isinstance(error, FairwayError) else InternalError(f"the watch of {self._api.plural} failed: {error!r}"))

    async def _list(self) -> None:
        items, version = await list_pages(self._transport, self._api, self._path, self._selectors)
        gone = set(self._known)
        for item in items:
            key = _key(item)
            gone.discard(key)
            before = self._known.get(key)
            if before is None or _version(msgspec.json.decode(before)) != _version(item):
                self._tell(key, "added" if before is None else "modified", item)
        for key in gone:
            self._emit(key, "deleted", self._known.pop(key))
        self._version, self._synced = version, True
        self._emit("", "synced", b"")

    async def _follow(self) -> None:
        """Pass on what one connection brings, until it ends. Sets `_heard`, unless it ended at once and without a word: then something is
        wrong, and the next one has to wait longer."""
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(random.randint(_SERVER_ENDS_S * 4 // 5, _SERVER_ENDS_S)),
            **{key: value for key, value in self._selectors.items() if value},
        }
        rest, clock = b"", asyncio.get_running_loop().time
        began = clock()
        call = Call("watch", self._api.name, "GET", self._path, query=query)
        async with self._transport.stream(call, silence_s=self._transport.silence_s) as response:
            async for piece in response.aiter_bytes():
                *lines, rest = (rest + piece).split(b"\n") if b"\n" in piece else (rest + piece,)
                for line in lines:
                    if line:
                        self._take(_decode(line))
                self._heard = True
        self._heard = self._heard or clock() - began > _SHORT_S

    def _take(self, event: Object) -> None:
        kind, obj = event["type"], event["object"]
        if kind == "ERROR":
            if obj.get("code") == 410 or obj.get("reason") in {"Expired", "Gone"}:
                raise Expired(str(obj.get("message", "")))
            raise InfraError(f"the watch of {self._api.plural} was ended: {obj.get('message')}")
        self._version = _version(obj)
        if kind == "BOOKMARK":
            return
        key = _key(obj)
        if kind == "DELETED":
            self._known.pop(key, None)
            self._emit(key, "deleted", msgspec.json.encode(_slim(obj)))
        else:
            self._tell(key, "modified" if key in self._known else "added", obj)

    def _tell(self, key: str, kind: str, obj: Object) -> None:
        raw = self._known[key] = msgspec.json.encode(_slim(obj))
        self._emit(key, kind, raw)

    def _emit(self, key: str, kind: str, raw: bytes) -> None:
        for inbox in self._inboxes:
            inbox.put(key, kind, raw)


def _decode(line: bytes) -> Object:
    try:
        return msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        raise InfraError(f"a watch brought something that is no JSON: {error}") from error


def _key(obj: Object) -> str:
    metadata = obj["metadata"]
    return metadata.get("uid") or f"{metadata.get('namespace', '')}/{metadata['name']}"


def _version(obj: Object) -> str:
    return str(obj["metadata"].get("resourceVersion", ""))


def _slim(obj: Object) -> Object:
    obj["metadata"].pop("managedFields", None)  # half of an object's size, and of no use here
    return obj
