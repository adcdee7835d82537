"""The control channel: what a worker in the cluster may ask of the server. Each token speaks for one attempt, or one pool, and no more.

Beside it a worker has the blobs' port, for which it gets signed addresses here. Every call may be made again: a worker that did not hear
the answer, or whose server was killed, asks the same once more.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol

from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from fairway.engine.bus import Bus
from fairway.errors import FairwayError, NotFoundError
from fairway.executors.meeting import Coming
from fairway.spec import layout
from fairway.spec.attempt import AttemptSpec
from fairway.spec.outcome import Outcome, outcome_key
from fairway.spec.ports import ArtifactStore, StreamStore
from fairway.spec.record import Record, field, from_plain, record, to_plain
from fairway.spec.tokens import HEADER, sign_token
from fairway.step.folder import write_through
from fairway.step.saved import find_one, is_folder, is_manifest
from fairway.web.auth import TokenAuth
from fairway.web.ports import BlobSigner
from fairway.web.presence import claim
from fairway.web.problem import Refused, render_problem

_STREAM = re.compile(r"(log|metrics|samples|progress|stacks|reports)(\.\d{1,6})?|leader\.\d{1,6}")
_LEADER = "leader."  # what a replica of a gang says itself: kept as it is, and added to the log of the attempt
TOKEN_VALID_S = 30 * 86400.0
POLL_MOST_S = 60.0
BODY_LIMIT_BYTES = 64 << 20
RECENT = 5_000
_PART = ".part"
_MEETS = 'the body must be {"replica": n, "pod": name, "host": address, "ports": [n…], "met": bool, "wait_s": seconds}'
_READABLE = re.compile(r"(sha256/[0-9a-f]{2}/[0-9a-f]{62}|bundle/[0-9a-f]{64})")
_WRITABLE = re.compile(r"sha256/[0-9a-f]{2}/[0-9a-f]{62}")


class Workers(Protocol):
    """What the channel needs of the executor whose workers call."""

    def find_attempt(self, id: str) -> AttemptSpec | None:
        """The attempt, while it is live."""
        ...

    async def poll(self, pool: str, worker: str, running: Sequence[str], free: int, wait_s: float) -> Mapping[str, Any]:
        """What a pool's worker is to do: {"start": [AttemptSpec…], "cancel": [[id, grace_s]…], "leave": bool}; waits for news."""
        ...

    def find_queued_at(self, id: str) -> float:
        """When the attempt was asked for (epoch seconds), 0.0 if that is not known."""
        ...

    def note_outcome(self, run: str, id: str) -> None:
        """An outcome is in the store."""
        ...

    def note_outputs(self, id: str, outputs: Mapping[str, Any], missing: Sequence[str]) -> None:
        """What a container step's outputs are; its outcome follows from them and the exit code."""
        ...


class GangDesk(Protocol):
    """What the channel needs where gangs have a pod for each replica."""

    async def meet(self, id: str, coming: Coming, met: bool, wait_s: float, still: bool = False) -> Mapping[str, Any]:
        """A replica is there; what it is to know: {"world": …}, {"stop": why, "grace_s": seconds}, or {} when `wait_s` is over. `still`:
        none of its ranks reports progress."""
        ...

    def end(self, id: str, replica: int, pod: str, outcome: Outcome, stopped: bool) -> None:
        """A replica has ended; `stopped`: because it was told to."""
        ...

    def note_checkpoint(self, id: str) -> None:
        """A file of a checkpoint has come that makes it complete."""
        ...


@record
class Known(Record):
    """What the channel needs of an attempt that may be over: its run, its tasks' checkpoint folders, and of a trial the stream by which it
    hears of others."""

    run: str
    folders: tuple[str, ...]
    live: str = ""


@record
class Channel(Record):
    """All that the handlers use. `ready`: is every live attempt known, so that one that is not is over? `runtime`: the zip that pods fetch
    and its SHA-256. `lock_text` gives an environment's requirements by their digest. `recent`: attempts that were known, the latest last:
    their last words come after their outcome. `synced`: checkpoints survive a power cut, too."""

    workers: Workers
    artifacts: ArtifactStore
    streams: StreamStore
    signer: BlobSigner
    auth: TokenAuth
    bus: Bus
    home: str
    ready: Callable[[], bool]
    lock_text: Callable[[str], str]
    runtime: tuple[bytes, str]
    clock: Callable[[], float]
    grace_s: float = 10.0
    synced: bool = False
    gangs: GangDesk | None = None
    recent: OrderedDict[str, Known] = field(default_factory=OrderedDict)
    digests: OrderedDict[str, str] = field(default_factory=OrderedDict)
    digesting: asyncio.Lock = field(default_factory=asyncio.Lock)


def work_routes(channel: Channel) -> list[Route]:
    """The routes of the channel."""
    one = "/worker/v1/attempts/{id}"
    table: tuple[tuple[str, str, Handler], ...] = (
        ("GET", "/worker/v1/runtime.zip", _get_runtime),
        ("POST", "/worker/v1/blobs", _sign_blobs),
        ("GET", one, _get_attempt),
        ("GET", f"{one}/outcome", _get_outcome),
        ("PUT", f"{one}/outcome", _put_outcome),
        ("POST", f"{one}/streams/{{kind}}", _append_stream),
        ("GET", f"{one}/others", _read_others),
        ("GET", f"{one}/checkpoint", _list_checkpoint),
        ("GET", f"{one}/checkpoint/{{path:path}}", _get_checkpoint),
        ("PUT", f"{one}/checkpoint/{{path:path}}", _put_checkpoint),
        ("DELETE", f"{one}/checkpoint/{{path:path}}", _delete_checkpoint),
        ("PUT", f"{one}/outputs", _put_outputs),
        ("POST", f"{one}/gang", _meet),
        ("PUT", f"{one}/gang/end", _end_replica),
        ("POST", "/worker/v1/pools/{pool}/poll", _poll),
    )
    return [Route(path, _guarded(channel, handle), methods=[method]) for method, path, handle in table]


Handler = Callable[[Channel, Request, str], Awaitable[Response]]


def _guarded(channel: Channel, handle: Handler) -> Callable[[Request], Awaitable[Response]]:
    """The handler behind the check of its token: the id that it is given is the one that the token speaks for."""

    async def operation(request: Request) -> Response:
        try:
            speaks_for = channel.auth.find_worker(request.headers.get(HEADER, ""))
            if speaks_for is None:
                raise Refused(401, f"the header {HEADER} has no worker's token that is valid", code="FW-FORBIDDEN")
            named = request.path_params.get("id", request.path_params.get("pool", speaks_for))
            if named != speaks_for:
                raise Refused(403, "this token speaks for another attempt", code="FW-FORBIDDEN")
            return await handle(channel, request, speaks_for)
        except FairwayError as error:
            return render_problem(error)
        except ClientDisconnect:
            return Response(status_code=400)

    return operation


def worker_token(auth: TokenAuth, id: str, now: float) -> str:
    """The token of an attempt or a pool, good for longer than anything runs."""
    return sign_token(auth.signing_key, id, now + TOKEN_VALID_S)


def describe_attempt(channel: Channel, spec: AttemptSpec) -> dict[str, Any]:
    """An attempt as its worker gets it."""
    lock = spec.environment.lock
    machine = {"cpu": spec.resources.cpu, "memory_bytes": spec.resources.memory_bytes, "disk_bytes": spec.resources.disk_bytes}
    return {
        "spec": to_plain(spec),
        "queued_at": channel.workers.find_queued_at(spec.id),
        "grace_s": channel.grace_s,
        "lock_text": channel.lock_text(lock) if lock else "",
        "machine": machine,
    }


def _get_spec(channel: Channel, id: str) -> AttemptSpec:
    """The attempt. Raises 503 while the server does not know its runs yet, 410 for one that is over or was never there."""
    spec = channel.workers.find_attempt(id)
    if spec is not None:
        return spec
    if not channel.ready():
        raise Refused(503, "the server is starting", hint="ask again", code="FW-INFRA", headers={"retry-after": "1"})
    raise Refused(410, f"the attempt {id} is over", code="FW-NOT-FOUND")


def _get_known(channel: Channel, id: str) -> Known:
    """The attempt, one that is over a while ago too. Raises as `_get_spec`."""
    known = channel.recent.pop(id, None)
    if known is None:
        spec = _get_spec(channel, id)
        live = spec.context.get("trial", {}).get("live", "")
        known = Known(spec.run, tuple(layout.task_folder(item.task) for item in spec.items), live)
    channel.recent[id] = known
    while len(channel.recent) > RECENT:
        channel.recent.popitem(last=False)
    return known


async def _get_runtime(channel: Channel, request: Request, id: str) -> Response:
    data, digest = channel.runtime
    headers = {"etag": f'"{digest}"'}
    if request.headers.get("if-none-match", "").strip('"') == digest:
        return Response(status_code=304, headers=headers)
    return Response(data, headers=headers, media_type="application/zip")


async def _get_attempt(channel: Channel, request: Request, id: str) -> Response:
    spec = _get_spec(channel, id)
    _get_known(channel, id)
    if channel.artifacts.stat(outcome_key(spec.run, id)) is not None:
        raise Refused(410, f"the attempt {id} has an outcome", code="FW-CONFLICT")
    return JSONResponse(describe_attempt(channel, spec))


async def _sign_blobs(channel: Channel, request: Request, id: str) -> Response:
    body = await _read_json(request)
    gets, puts = body.get("get", []), body.get("put", [])
    if not isinstance(gets, list) or not isinstance(puts, list):
        raise Refused(422, 'the body must be {"get": [keys], "put": [[key, size]…]}')
    readable: dict[str, str] = {}
    for key in gets:
        if not isinstance(key, str) or not _READABLE.fullmatch(key):
            raise Refused(403, f"a worker may not read {key!r}", code="FW-FORBIDDEN")
        readable[key] = channel.signer.sign("GET", key)
    wanted: dict[str, int] = {}
    for entry in puts:
        if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[0], str) or not isinstance(entry[1], int):
            raise Refused(422, f"not [key, size]: {entry!r}")
        key, size = entry
        if not _WRITABLE.fullmatch(key):
            raise Refused(403, f"a worker may not write {key!r}", code="FW-FORBIDDEN")
        wanted[key] = size
    there = await asyncio.to_thread(claim, channel.artifacts, wanted)  # a bucket is far away
    writable = {key: None if key in there else channel.signer.sign("PUT", key, size) for key, size in wanted.items()}
    return JSONResponse({"get": readable, "put": writable})


async def _get_outcome(channel: Channel, request: Request, id: str) -> Response:
    known = _get_known(channel, id)
    try:
        return Response(channel.artifacts.get(outcome_key(known.run, id)), media_type="application/json")
    except NotFoundError:
        raise Refused(404, f"the attempt {id} has no outcome yet", code="FW-NOT-FOUND") from None


async def _put_outcome(channel: Channel, request: Request, id: str) -> Response:
    data = await _read_body(request)
    known = _get_known(channel, id)
    try:
        outcome = from_plain(Outcome, json.loads(data))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Refused(422, f"not an outcome: {error}") from None
    if outcome.attempt != id:
        raise Refused(403, "this outcome is of another attempt", code="FW-FORBIDDEN")
    key = outcome_key(known.run, id)
    stored = channel.artifacts.put(key, data, if_absent=True)
    channel.workers.note_outcome(known.run, id)
    if stored:
        return Response(data, 201, media_type="application/json")
    return Response(channel.artifacts.get(key), media_type="application/json")


async def _append_stream(channel: Channel, request: Request, id: str) -> Response:
    known = _get_known(channel, id)
    kind, offset = request.path_params["kind"], request.query_params.get("offset", "0")
    if not _STREAM.fullmatch(kind) or not (offset.isascii() and offset.isdigit()):
        raise Refused(422, f"there is no stream {kind!r}, or {offset!r} is no offset")
    data = await _read_body(request)
    name, start = f"{known.run}/{id}/{kind}", int(offset)
    size = channel.streams.size(name)  # no other request comes between this and the append
    fresh = data[size - start :] if start <= size else b""  # a gap: the worker sends again what lies beyond the size that it is told
    if fresh:
        channel.streams.append(name, fresh)
        channel.bus.publish(name)
        if kind == "reports" and known.live:
            channel.streams.append(known.live, fresh)
        if kind.startswith(_LEADER):
            log = f"{known.run}/{id}/log"
            channel.streams.append(log, fresh)
            channel.bus.publish(log)
    return JSONResponse({"size": size + len(fresh)})


async def _read_others(channel: Channel, request: Request, id: str) -> Response:
    known, offset = _get_known(channel, id), request.query_params.get("offset", "0")
    if not (offset.isascii() and offset.isdigit()):
        raise Refused(422, f"{offset!r} is no offset")
    data = channel.streams.read(known.live, int(offset), BODY_LIMIT_BYTES) if known.live else b""
    return Response(data, media_type="application/octet-stream")


def _checkpoint_root(channel: Channel, known: Known) -> Path:
    return Path(channel.home, layout.CHECKPOINTS, known.run)


def _checkpoint_path(channel: Channel, request: Request, id: str) -> Path:
    """The file that is named: below the folder of one of the attempt's own tasks."""
    known = _get_known(channel, id)
    parts = request.path_params["path"].split("/")
    if len(parts) < 2 or parts[0] not in known.folders or any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise Refused(403, f"{request.path_params['path']!r} is no checkpoint of this attempt", code="FW-FORBIDDEN")
    return _checkpoint_root(channel, known).joinpath(*parts)


async def _list_checkpoint(channel: Channel, request: Request, id: str) -> Response:
    known, asked = _get_known(channel, id), request.query_params.get("digests", "")
    root = _checkpoint_root(channel, known)
    async with channel.digesting if asked else nullcontext():  # all replicas of a gang ask the same at once
        return JSONResponse(await asyncio.to_thread(_list_files, root, known.folders, asked, channel.digests))


def _list_files(root: Path, folders: Sequence[str], asked: str, digests: OrderedDict[str, str]) -> list[dict[str, Any]]:
    """What is there. Files of saved states have their digests in their manifests; they are large, and looked at only in the folder that is
    `asked` for, once (`digests`)."""
    found: list[dict[str, Any]] = []
    for folder in folders:
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and path.suffix != _PART:
                named = path.relative_to(root)
                digest = ""
                if not is_folder(named.parts[1]) or named.parts[:2] == tuple(asked.split("/")):
                    state = path.stat()
                    key = f"{path} {state.st_size} {state.st_mtime_ns} {state.st_ino}"
                    digest = digests.get(key) or _hash_file(path)
                    digests[key] = digest
                    while len(digests) > RECENT:
                        digests.popitem(last=False)
                found.append({"path": named.as_posix(), "size": path.stat().st_size, "sha256": digest})
    return found


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def _get_checkpoint(channel: Channel, request: Request, id: str) -> Response:
    path = _checkpoint_path(channel, request, id)
    if not path.is_file():
        raise Refused(404, "there is no such checkpoint", code="FW-NOT-FOUND")
    return FileResponse(path, media_type="application/octet-stream")


async def _put_checkpoint(channel: Channel, request: Request, id: str) -> Response:
    path = _checkpoint_path(channel, request, id)
    part = path.with_name(f"{path.name}.{os.urandom(4).hex()}{_PART}")
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        with part.open("wb") as file:
            async for chunk in request.stream():
                file.write(chunk)
            if channel.synced:
                file.flush()
                await asyncio.to_thread(os.fsync, file.fileno())
        part.replace(path)
        if channel.synced:
            await asyncio.to_thread(write_through, str(path.parent))
    finally:
        part.unlink(missing_ok=True)
    if channel.gangs is not None and is_manifest(path.name) and is_folder(path.parent.name) and find_one(str(path.parent)).complete:
        channel.gangs.note_checkpoint(id)
    return JSONResponse({"size": path.stat().st_size}, 201)


async def _delete_checkpoint(channel: Channel, request: Request, id: str) -> Response:
    path = _checkpoint_path(channel, request, id)
    if path.is_file():
        path.unlink()
        for folder in list(path.parents)[: len(Path(request.path_params["path"]).parts) - 2]:
            try:
                folder.rmdir()
            except OSError:  # there is more in it
                break
    return Response(status_code=204)


async def _put_outputs(channel: Channel, request: Request, id: str) -> Response:
    _get_spec(channel, id)
    body = await _read_json(request)
    outputs, missing = body.get("outputs", {}), body.get("missing", [])
    if not isinstance(outputs, dict) or not isinstance(missing, list):
        raise Refused(422, 'the body must be {"outputs": {name: artifact}, "missing": [names]}')
    channel.workers.note_outputs(id, outputs, missing)
    return Response(status_code=204)


async def _meet(channel: Channel, request: Request, id: str) -> Response:
    _get_spec(channel, id)
    body = await _read_json(request)
    replica, pod, host, ports = body.get("replica", ""), body.get("pod", 0), body.get("host", 0), body.get("ports", [])
    met, wait_s = body.get("met", False), body.get("wait_s", 0)
    if not isinstance(replica, int) or not isinstance(pod, str) or not isinstance(host, str) or not isinstance(wait_s, int | float):
        raise Refused(422, _MEETS)
    if not isinstance(ports, list) or not all(isinstance(port, int) for port in ports):
        raise Refused(422, _MEETS)
    coming = Coming(replica, pod, host, tuple(ports))
    still = bool(body.get("still", False))
    return JSONResponse(await _desk(channel).meet(id, coming, bool(met), min(float(wait_s), POLL_MOST_S), still))


async def _end_replica(channel: Channel, request: Request, id: str) -> Response:
    _get_spec(channel, id)
    body = await _read_json(request)
    replica, pod = body.get("replica"), body.get("pod")
    try:
        outcome = from_plain(Outcome, body.get("outcome"))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Refused(422, f"not an outcome: {error}") from None
    if not isinstance(replica, int) or not isinstance(pod, str):
        raise Refused(422, 'the body must be {"replica": n, "pod": name, "outcome": outcome, "stopped": bool}')
    if outcome.attempt != id:
        raise Refused(403, "this outcome is of another attempt", code="FW-FORBIDDEN")
    _desk(channel).end(id, replica, pod, outcome, bool(body.get("stopped")))
    return Response(status_code=204)


def _desk(channel: Channel) -> GangDesk:
    if channel.gangs is None:
        raise Refused(404, "gangs do not meet on this server: all their ranks are on one machine", code="FW-NOT-FOUND")
    return channel.gangs


async def _poll(channel: Channel, request: Request, pool: str) -> Response:
    body = await _read_json(request)
    worker, running, free, wait_s = body.get("worker", ""), body.get("running", []), body.get("free", 0), body.get("wait_s", 0)
    if not isinstance(worker, str) or not isinstance(running, list) or not isinstance(free, int) or not isinstance(wait_s, int | float):
        raise Refused(422, 'the body must be {"worker": name, "running": [ids], "free": n, "wait_s": seconds}')
    answer = dict(await channel.workers.poll(pool, worker, running, free, min(float(wait_s), POLL_MOST_S)))
    now = channel.clock()
    starts: list[dict[str, Any]] = []
    for spec in answer.get("start", ()):
        starts.append({**describe_attempt(channel, spec), "token": worker_token(channel.auth, spec.id, now)})
    return JSONResponse({"start": starts, "cancel": answer.get("cancel", []), "leave": bool(answer.get("leave", False))})


async def _read_json(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await _read_body(request))
    except ValueError as error:
        raise Refused(422, f"not JSON: {error}") from None
    if not isinstance(body, dict):
        raise Refused(422, "the body must be a JSON object")
    return body


async def _read_body(request: Request) -> bytes:
    """The whole body, up to the limit."""
    parts: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > BODY_LIMIT_BYTES:
            raise Refused(413, f"more than {BODY_LIMIT_BYTES:,} bytes in one request")
        parts.append(chunk)
    return b"".join(parts)
