"""Logs for the viewer: their bytes by range, where a line is, and the lines that have what is sought."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from starlette.responses import Response, StreamingResponse

from fairway.engine.ranks import stream_of
from fairway.errors import ConfigError
from fairway.spec.ports import StreamStore
from fairway.web.loglines import lines_of
from fairway.web.logsearch import CHUNK_BYTES, HITS_MOST, Hit, PatternProcess, Search, check_pattern
from fairway.web.operation import TEXT
from fairway.web.pages.page import Page, Visit
from fairway.web.routes.logs import send_range
from fairway.web.routes.runs import named_run
from fairway.web.schema.streams import Rank

_REST_S, _REST_BYTES = 0.0001, 1 << 20
"""Now and then the interpreter is left to others: so requests are answered within milliseconds while a gigabyte is searched."""
_SLICE_S = 0.05
"""How long one look into the log may take before what was found is sent."""
Attempt = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9._-]{1,128}$")]


class LogQuery(msgspec.Struct, kw_only=True):
    """`download`: as a file. `rank`: of a gang; -1 what its leader said, and all that a plain step wrote."""

    attempt: Attempt
    download: bool = False
    rank: Rank = -1


class PlaceQuery(msgspec.Struct, kw_only=True):
    """Where `line` begins; or, without it, which line byte `offset` is in."""

    attempt: Attempt
    rank: Rank = -1
    line: Annotated[int, msgspec.Meta(ge=0, le=1 << 50)] = 0
    offset: Annotated[int, msgspec.Meta(ge=0, le=1 << 50)] = 0


class SearchQuery(msgspec.Struct, kw_only=True):
    """`q` is text, or with `regex` a regular expression. `stamps`: the time of each line counts, too. `offset` and `line`: where to begin,
    and which line that is."""

    attempt: Attempt
    rank: Rank = -1
    q: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
    case: bool = False
    regex: bool = False
    stamps: bool = False
    offset: Annotated[int, msgspec.Meta(ge=0, le=1 << 50)] = 0
    line: Annotated[int, msgspec.Meta(ge=1, le=1 << 50)] = 1


def _name(run: str, query: LogQuery | PlaceQuery | SearchQuery) -> str:
    return f"{run}/{query.attempt}/{stream_of('log', query.rank)}"


def _file_name(run: str, query: LogQuery) -> str:
    return f"{run}-{query.attempt}{f'-rank-{query.rank}' if query.rank >= 0 else ''}.log"


async def send_log(visit: Visit) -> Response:
    """The log's bytes, or the range of them that is asked for."""
    run = await named_run(visit)
    name = _name(run, visit.query)
    response = send_range(visit, name, 0, visit.site.services.streams.size(name), TEXT)
    response.headers["x-content-type-options"] = "nosniff"
    if visit.query.download:
        response.headers["content-disposition"] = f"attachment; filename*=UTF-8''{quote(_file_name(run, visit.query))}"
    return response


async def find_line(visit: Visit) -> Response:
    """{"line", "offset", "lines", "size"}: a line and where it begins; how many lines and bytes there are."""
    run = await named_run(visit)
    query, streams = visit.query, visit.site.services.streams
    name = _name(run, query)
    index = lines_of(streams)
    if query.line:
        offset, line = await asyncio.to_thread(index.find_line, name, query.line)
    else:
        offset = min(query.offset, streams.size(name))
        line = await asyncio.to_thread(index.number_at, name, offset)
    lines, size = await asyncio.to_thread(index.count, name)
    return visit.json({"line": line, "offset": offset, "lines": lines, "size": size})


async def search_log(visit: Visit) -> Response:
    """Lines of JSON as they are found: {"hits": [[line, begin, at], …], "read", "size"}, the last with "done": true and where to go on."""
    run = await named_run(visit)
    query = visit.query
    if query.regex and (wrong := check_pattern(query.q)):
        raise ConfigError(f"not a regular expression: {wrong}", hint="look for it as plain text instead", where="query.q")
    name = _name(run, query)
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(_search(visit.site.services.streams, name, query), headers=headers, media_type="application/x-ndjson")


async def _search(streams: StreamStore, name: str, query: SearchQuery) -> AsyncIterator[bytes]:
    search = await asyncio.to_thread(_begin, streams, name, query)
    size = streams.size(name)
    at, found, wrong = query.offset, 0, ""
    try:
        while at < size and found < HITS_MOST:
            try:
                at, hits = await asyncio.to_thread(_look, streams, name, search, at, size)
            except TimeoutError:
                wrong = "this expression takes too long; make it simpler"
                break
            hits = hits[: HITS_MOST - found]
            found += len(hits)
            yield _spell(hits, at, size)
        rest = [] if wrong or found >= HITS_MOST else await asyncio.to_thread(search.finish)
        line = await asyncio.to_thread(lambda: search.line)
        more = {"done": True, "more": found >= HITS_MOST, "offset": search.position, "line": line, "wrong": wrong}
        yield _spell(rest, at, size, **more)
    finally:
        if isinstance(search, PatternProcess):
            await asyncio.to_thread(search.close)


def _begin(streams: StreamStore, name: str, query: SearchQuery) -> Search | PatternProcess:
    asked: dict[str, Any] = {"case": query.case, "stamps": query.stamps, "position": query.offset, "line": query.line}
    if query.regex:
        return PatternProcess(query.q, **asked)
    return Search(query.q, **asked, number_at=partial(lines_of(streams).number_at, name))


def _look(streams: StreamStore, name: str, search: Search | PatternProcess, at: int, size: int) -> tuple[int, list[Hit]]:
    """Read on for a short while: (how far, what was found)."""
    hits: list[Hit] = []
    until = time.monotonic() + _SLICE_S
    while at < size and len(hits) < HITS_MOST:
        data = streams.read(name, at, min(CHUNK_BYTES, size - at))
        if not data:
            return size, hits
        at += len(data)
        hits += search.feed(data)
        if time.monotonic() > until:
            break
        if at // _REST_BYTES != (at - len(data)) // _REST_BYTES:
            time.sleep(_REST_S)
    return at, hits


def _spell(hits: list[Hit], read: int, size: int, **more: object) -> bytes:
    return json.dumps({"hits": hits, "read": read, "size": size, **more}, separators=(",", ":")).encode() + b"\n"


PAGES = (
    Page("GET", "/runs/{run}/log", send_log, query=LogQuery),
    Page("GET", "/runs/{run}/log/line", find_line, query=PlaceQuery),
    Page("GET", "/runs/{run}/log/search", search_log, query=SearchQuery),
)
