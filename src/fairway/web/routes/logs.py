"""What attempts write while they run: log lines by range, by tail, by search, or as they come; other streams as bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import Response, StreamingResponse

from fairway.engine.ranks import stream_of
from fairway.engine.reading import parse_log_line
from fairway.errors import NotFoundError
from fairway.spec.ports import StreamStore
from fairway.web.operation import BYTES, EVENTS, JSON, TEXT, Call, Operation
from fairway.web.ports import Site
from fairway.web.ranges import find_range, unsatisfiable
from fairway.web.routes.runs import named_run
from fairway.web.schema.streams import LogLines, LogQuery, StreamsData, StreamsPage, StreamsQuery, StreamsReadBody
from fairway.web.sse import HEARTBEAT, last_seen, render_event, stream

CHUNK_BYTES = 256 << 10
LINE_LIMIT_BYTES = 1 << 20
"""A line that is longer comes in pieces: what a program prints need never end."""


async def read_log(call: Call[LogQuery, None]) -> Any:
    """The attempt's log: as text, by range or its last lines; as JSON lines with `search`; as server-sent events while it is written."""
    run = await named_run(call)
    name = f"{run}/{call.path['attempt']}/{stream_of('log', call.query.rank)}"
    streams, query = call.site.services.streams, call.query
    size = streams.size(name)
    if not size:
        await _check_attempt(call, run)
    start = min(query.offset, size)
    if query.tail:
        start = max(start, await asyncio.to_thread(find_tail, streams, name, size, query.tail))
    if call.wants(EVENTS):
        start = last_seen(call.request, start)
        return Response(media_type=EVENTS) if call.request.method == "HEAD" else stream(_follow_lines(call.site, run, name, start))
    if call.wants(JSON):
        return await asyncio.to_thread(read_lines, streams, name, start, query)
    if query.search:
        found = await asyncio.to_thread(read_lines, streams, name, start, query)
        text = "".join(f"{line['at']} {line['text']}\n".lstrip() for line in found["items"])
        return Response(text.encode("utf-8", "replace"), media_type=TEXT)
    if query.follow:
        return StreamingResponse(_follow_bytes(call.site, run, name, start), media_type=TEXT, headers={"cache-control": "no-store"})
    return send_range(call, name, start, size, TEXT)


async def list_streams(call: Call[StreamsQuery, None]) -> Any:
    """Names and sizes of the run's streams."""
    run = await named_run(call)
    streams = call.site.services.streams

    def work() -> list[dict[str, Any]]:
        names = streams.list(f"{run}/{call.query.prefix}")
        return [{"name": name.partition("/")[2], "size": streams.size(name)} for name in names]

    return {"items": await asyncio.to_thread(work)}


async def read_stream(call: Call[Any, None]) -> Response:
    """A stream's bytes, by `Range`. One that does not exist is empty."""
    run = await named_run(call)
    name = f"{run}/{call.path['name']}"
    return send_range(call, name, 0, call.site.services.streams.size(name), BYTES)


async def read_streams(call: Call[Any, StreamsReadBody]) -> Any:
    """New bytes of many streams at once; waits for the first if there are none."""
    run = await named_run(call)
    site, body = call.site, call.body
    names = {name: f"{run}/{name}" for name in body.offsets}
    until = asyncio.get_running_loop().time() + body.wait
    with site.host.bus.listen(run, *names.values()) as bell:
        head = await site.services.journal.head(run)
        while True:
            found = await asyncio.to_thread(_read_new, site.services.streams, names, body)
            left = until - asyncio.get_running_loop().time()
            now = await site.services.journal.head(run)
            if found or left <= 0 or now != head or site.host.bus.closed:
                return {"items": found, "head": now}
            await bell.wait(left)


def find_tail(streams: StreamStore, name: str, size: int, lines: int) -> int:
    """Where the last `lines` lines begin, looking back from byte `size`."""
    position, left = size, lines + 1
    first = True
    while position > 0:
        begin = max(0, position - CHUNK_BYTES)
        data = streams.read(name, begin, position - begin)
        at = len(data)
        if first and data.endswith(b"\n"):
            at -= 1
            left -= 1
        elif first:
            left -= 1
        first = False
        while left and (at := data.rfind(b"\n", 0, at)) >= 0:
            left -= 1
        if not left:
            return begin + at + 1
        position = begin
    return 0


def read_lines(streams: StreamStore, name: str, start: int, query: LogQuery) -> dict[str, Any]:
    """Lines from byte `start` that contain `query.search`, at most `query.limit`; `next` is where to go on."""
    wanted = query.search.lower().encode()
    items: list[dict[str, Any]] = []
    position, size = start, streams.size(name)
    rest = b""
    while position + len(rest) < size and len(items) < query.limit:
        *lines, rest = (rest + streams.read(name, position + len(rest), CHUNK_BYTES)).split(b"\n")
        ended = [(raw, len(raw) + 1) for raw in lines]
        if len(rest) >= LINE_LIMIT_BYTES:
            ended.append((rest, len(rest)))
            rest = b""
        for raw, length in ended:
            if not wanted or wanted in raw.lower():
                line = parse_log_line(raw, "", "")
                items.append({"offset": position, "at": line.at, "text": line.text})
            position += length
            if len(items) >= query.limit:
                break
    return {"items": items, "next": position, "size": size}


def _read_new(streams: StreamStore, names: dict[str, str], body: StreamsReadBody) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    left = body.limit
    for short, name in names.items():
        offset = body.offsets[short]
        if left > 0 and streams.size(name) > offset:
            data = streams.read(name, offset, left)
            left -= len(data)
            found[short] = {"offset": offset, "data": data}
    return found


def send_range(call: Call[Any, Any], name: str, start: int, size: int, media: str) -> Response:
    """Bytes from `start` to `size`, or the part of them that `Range` asks for."""
    wanted = find_range(call.request, size)
    headers = {"accept-ranges": "bytes", "cache-control": "no-cache", "x-stream-size": str(size)}
    status, end = 200, size
    if wanted is not None and not start:
        if wanted[0] >= size:
            raise unsatisfiable(size)
        start, end = wanted
        status = 206
        headers["content-range"] = f"bytes {start}-{end - 1}/{size}"
    headers["content-length"] = str(end - start)
    if call.request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=media)
    return StreamingResponse(_chunks(call.site.services.streams, name, start, end), status, headers, media)


async def _chunks(streams: StreamStore, name: str, start: int, end: int) -> AsyncIterator[bytes]:
    while start < end:
        data = await asyncio.to_thread(streams.read, name, start, min(CHUNK_BYTES, end - start))
        if not data:
            return
        start += len(data)
        yield data


async def _follow_lines(site: Site, run: str, name: str, offset: int) -> AsyncIterator[bytes]:
    """Lines as they come; the id of each is the offset to go on from. An event "end" says that no more will come."""
    rest = b""
    async for data in _grow(site, run, name, offset):
        if not data:
            yield HEARTBEAT
            continue
        *lines, rest = (rest + data).split(b"\n")
        ended = [(raw, len(raw) + 1) for raw in lines]
        if len(rest) >= LINE_LIMIT_BYTES:
            ended.append((rest, len(rest)))
            rest = b""
        for raw, length in ended:
            offset += length
            line = parse_log_line(raw, "", "")
            yield render_event(offset, "line", {"at": line.at, "text": line.text})
    if site.host.bus.closed:
        return  # not the end: there may be more when the client comes back
    if rest:
        line = parse_log_line(rest, "", "")
        yield render_event(offset + len(rest), "line", {"at": line.at, "text": line.text})
    yield render_event(offset + len(rest), "end", {})


async def _follow_bytes(site: Site, run: str, name: str, offset: int) -> AsyncIterator[bytes]:
    async for data in _grow(site, run, name, offset):
        if data:
            yield data


async def _grow(site: Site, run: str, name: str, offset: int) -> AsyncIterator[bytes]:
    """Bytes from `offset` as they are appended, until the attempt has ended; b"" now and then while there are none."""
    streams, loop = site.services.streams, asyncio.get_running_loop()
    attempt = name.split("/")[1]
    quiet_since = loop.time()
    with site.host.bus.listen(run, name) as bell:
        while True:
            ended = await _has_ended(site, run, attempt)  # asked before the size: what it wrote last is not missed
            while streams.size(name) > offset:
                data = await asyncio.to_thread(streams.read, name, offset, CHUNK_BYTES)
                offset += len(data)
                quiet_since = loop.time()
                yield data
            if ended or site.host.bus.closed:
                return
            if loop.time() - quiet_since >= site.settings.heartbeat_s:
                quiet_since = loop.time()
                yield b""
            await bell.wait(quiet_since + site.settings.heartbeat_s - loop.time())


async def _has_ended(site: Site, run: str, attempt: str) -> bool:
    """Will the attempt write no more?"""
    summary = await site.services.journal.find_summary(run)
    if summary is None or summary.status != "running":
        return True
    overview = await site.overviews.get(run)
    return attempt not in overview.live and overview.columns.find_attempt(attempt) >= 0


async def _check_attempt(call: Call[Any, Any], run: str) -> None:
    """An attempt that has written nothing is no mistake; one that never was is."""
    overview = await call.site.overviews.get(run)
    if overview.columns.find_attempt(call.path["attempt"]) < 0 and call.path["attempt"] != "driver":
        raise NotFoundError(f"run {run} has no attempt {call.path['attempt']!r}", hint="GET its tasks for the ids of their attempts")


OPERATIONS = (
    Operation(
        "GET", "/runs/{run}/attempts/{attempt}/log", read_log, "Log of an attempt", "streams",
        query=LogQuery, answer=LogLines, media=(TEXT, JSON, EVENTS), also={206: "A range of it", 416: "No such range"},
    ),
    Operation("GET", "/runs/{run}/streams", list_streams, "Streams of a run", "streams", query=StreamsQuery, answer=StreamsPage),
    Operation(
        "POST", "/runs/{run}/streams", read_streams, "New bytes of many streams", "streams",
        body=StreamsReadBody, answer=StreamsData, waits=True, role="view",
    ),
    Operation(
        "GET", "/runs/{run}/streams/{name:path}", read_stream, "Bytes of a stream", "streams",
        media=(BYTES,), also={206: "A range of it", 416: "No such range"},
    ),
)  # fmt: skip
