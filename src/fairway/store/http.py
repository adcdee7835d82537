"""The ports of a server's stores for those who are elsewhere: journal, artifacts and streams through its API.

Calls never suspend, so that what reads a project's own stores reads these too. A connection that breaks is made again, and what was asked
is asked again, for as long as the link is patient: a port-forward may drop, a server may be started anew. Nothing is opened before the
first call.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote

from fairway.errors import NotFoundError, UnsupportedError
from fairway.spec.artifact import ArtifactRef
from fairway.spec.event import Event, parse_event
from fairway.spec.ports import BlobStat, Command
from fairway.spec.query import Facets, PipelineStats, RunQuery, RunsFound, render_query
from fairway.spec.record import from_plain, to_plain
from fairway.spec.summary import CacheEntry, RunSummary, RunTally
from fairway.step.remote import RemoteArtifactStore
from fairway.store.serverapi import LONGEST_WAIT_S, SLACK_S, ServerApi, UnsatisfiableRange
from fairway.store.wire import render_events

if TYPE_CHECKING:
    from pathlib import Path

_PAGE = 1000
_EVENTS_PAGE = 5000
_READ_BYTES = 1 << 20


class HttpJournal:
    """See `spec.ports.Journal`. Only the server appends; commands, labels and deletions go through it."""

    def __init__(self, api: ServerApi) -> None:
        self.api = api

    async def append(
        self,
        run: str,
        after: int,
        events: Sequence[Event],
        batch: str,
        *,
        summary: RunSummary | None = None,
        cache: Sequence[CacheEntry] = (),
        handled: int = 0,
    ) -> int:
        """Never: raises UnsupportedError."""
        raise UnsupportedError("only the server writes the journal of its runs", hint="send it a command instead")

    async def read(self, run: str, after: int = 0, limit: int = 0) -> Sequence[tuple[int, Event]]:
        """(number, event) of those after number `after`, at most `limit` (0 = all)."""
        out: list[tuple[int, Event]] = []
        while True:
            wanted = min(limit - len(out), _EVENTS_PAGE) if limit else _EVENTS_PAGE
            page = self.api.find(_run(run, "/events"), after=after, limit=wanted)
            items = page["items"] if page else ()
            out += [(item["seq"], read_event(item)) for item in items]
            if not items or out[-1][0] >= page["head"] or (limit and len(out) >= limit):
                return out
            after = out[-1][0]

    async def read_text(self, run: str, after: int = 0, limit_bytes: int = 0) -> Sequence[tuple[int, str]]:
        """A page of events as one batch, or all; see the port."""
        found = await self.read(run, after, _EVENTS_PAGE if limit_bytes else 0)
        return [(found[0][0], render_events([event for _, event in found]))] if found else []

    async def head(self, run: str) -> int:
        """The number of the last event, 0 if there is no such run."""
        page = self.api.find(_run(run, "/events"), after=2**53, limit=1) if run else None
        return page["head"] if page else 0

    async def watch(self, run: str, after: int, timeout_s: float) -> int:
        """The head as soon as it is above `after`, or when `timeout_s` is over. The server answers when there is something."""
        until = time.monotonic() + timeout_s
        while True:
            left = max(0.0, until - time.monotonic())
            wait = round(min(left, LONGEST_WAIT_S), 3)
            try:
                answer = self.api.call(
                    "GET", _run(run, "/events"), query={"after": after, "limit": 1, "wait": wait}, timeout_s=wait + SLACK_S
                )
            except NotFoundError:
                return 0
            head = answer.json()["head"]
            if head > after or left <= wait:
                return head

    def follow(self, run: str, after: int) -> Iterator[tuple[int, Event]]:
        """Events after number `after` as they are recorded, for ever."""
        for _, _, item in self.api.follow(_run(run, "/events"), after=str(after)):
            yield item["seq"], read_event(item)

    async def send(self, run: str, kind: str, body: Mapping[str, Any]) -> int:
        """A command for the run; returns its id, 0 if the server has done it at once."""
        plain = to_plain(dict(body))
        known = {"cancel": ("reason",), "label": ("add_tags", "remove_tags", "note", "archived")}.get(kind, tuple(plain))
        sent = self.api.send("POST", _run(run, "/commands"), {"kind": kind, "body": {name: plain[name] for name in known if name in plain}})
        return sent["id"]

    async def inbox(self, run: str, after: int = 0) -> Sequence[Command]:
        """Commands with ids above `after`, in order."""
        found = self.api.find(_run(run, "/commands")) or {"items": ()}
        return [Command(item["id"], item["kind"], item["body"]) for item in found["items"] if item["id"] > after]

    async def inbox_version(self) -> int:
        """Never: raises UnsupportedError."""
        raise UnsupportedError("only the server's drivers look into inboxes", hint="read one run's: `inbox(run)`")

    async def find_cached(self, keys: Sequence[str]) -> Mapping[str, CacheEntry]:
        """The entries there are, by key."""
        out: dict[str, CacheEntry] = {}
        for start in range(0, len(keys), _PAGE):
            found = self.api.send("POST", "/cache/find", {"keys": list(keys[start : start + _PAGE])})
            out |= {key: from_plain(CacheEntry, entry) for key, entry in found["entries"].items()}
        return out

    async def forget_cached(self, keys: Iterable[str]) -> None:
        """Remove entries. Absent = success."""
        listed = list(keys)
        for start in range(0, len(listed), _PAGE):
            self.api.send("POST", "/cache/forget", {"keys": listed[start : start + _PAGE]})

    async def cached(self, *, orphaned: bool = False) -> Sequence[CacheEntry]:
        """All entries; `orphaned`: only those whose run was deleted."""
        return [from_plain(CacheEntry, entry) for entry in self.api.pages("/cache", orphaned=orphaned, limit=_PAGE)]

    async def summaries(
        self, *, pipeline: str = "", status: str = "", tag: str = "", archived: bool = False, limit: int = 50, before: str = ""
    ) -> Sequence[RunSummary]:
        """Newest first; archived ones only where `archived` is set, `limit` 0 = all; `before` is a run id."""
        out: list[RunSummary] = []
        while True:
            wanted = min(limit - len(out), _PAGE) if limit else _PAGE
            page = self.api.get("/runs", pipeline=pipeline, status=status, tag=tag, archived=archived, limit=wanted, cursor=before)
            out += [from_plain(RunSummary, row) for row in page["items"]]
            before = page["next"]
            if not before or (limit and len(out) >= limit):
                return out

    async def search(self, query: RunQuery) -> RunsFound:
        """One page of the runs that the query asks for, and how many there are; see the port."""
        rows: list[RunSummary] = []
        text, cursor = render_query(query), query.cursor
        while True:
            wanted = min(query.limit - len(rows), _PAGE) if query.limit else _PAGE
            page = self.api.get("/runs", q=text, limit=wanted, cursor=cursor)
            rows += [from_plain(RunSummary, row) for row in page["items"]]
            cursor = page["next"]
            if not cursor or (query.limit and len(rows) >= query.limit):
                return RunsFound(tuple(rows), cursor, page["total"], page["exact"])

    async def facets(self, projects: Sequence[str] = ()) -> Facets:
        """Which names there are to ask for; see the port."""
        return from_plain(Facets, self.api.get("/facets", project=projects))

    async def pipeline_stats(self, pipeline: str, projects: Sequence[str] = ()) -> PipelineStats:
        """How often the pipeline's runs succeed, and how long they take."""
        return from_plain(PipelineStats, self.api.get(f"/pipelines/{quote(pipeline, safe='')}/stats", project=projects))

    async def find_summary(self, run: str) -> RunSummary | None:
        """The run's summary, None if there is no such run."""
        found = self.api.find(_run(run, "/summary"))
        return from_plain(RunSummary, found) if found else None

    async def find_runs(self, prefix: str) -> Sequence[str]:
        """Run ids that begin or end with `prefix`, or whose name it is; newest first, at most 20."""
        return [row["run"] for row in self.api.get("/runs", match=prefix, archived=True, limit=20)["items"]]

    async def tally(self, projects: Sequence[str] = ()) -> Sequence[RunTally]:
        """Runs counted by pipeline, status and archive mark."""
        return [from_plain(RunTally, row) for row in self.api.get("/pipelines", project=projects)["tally"]]

    async def digests(self, run: str) -> set[str]:
        """Whatever in the run's events could be the SHA-256 of an artifact or a bundle."""
        return set((self.api.find(_run(run, "/digests")) or {"digests": ()})["digests"])

    async def delete_run(self, run: str) -> None:
        """Remove the run. Absent = success. Raises ConflictError while it is driven."""
        try:
            self.api.call("DELETE", _run(run))
        except NotFoundError:
            return

    async def close(self) -> None:
        """Let the connections go. A later call opens others."""
        self.api.close()


class HttpArtifactStore:
    """See `spec.ports.ArtifactStore`. What a digest names is kept in a folder here once it has been fetched or put."""

    def __init__(self, api: ServerApi, cache_folder: Path | str) -> None:
        self.api = api
        self._remote = RemoteArtifactStore(cache_folder, _Signing(api), api.blobs_url)  # type: ignore[arg-type]
        self.cache = self._remote.cache

    def put(self, key: str, source: bytes | Path, *, if_absent: bool = True, move: bool = False) -> bool:
        """Keep it here and on the server; False if it was here. Raises ConfigError for keys that only the server writes."""
        if key.startswith("sha256/"):
            return self._remote.put(key, source, if_absent=if_absent, move=move)
        data = source if isinstance(source, bytes) else source.read_bytes()
        answer = self.api.call("PUT", _blob(key), body=data, headers={"Content-Type": "application/octet-stream"})
        return bool(answer.json()["stored"])

    def get(self, key: str) -> bytes:
        """The blob's bytes. Raises NotFoundError."""
        if key.startswith("sha256/"):
            return self._remote.get(key)
        return self.api.call("GET", _blob(key), headers={"Accept-Encoding": "identity"}).body

    def open(self, key: str) -> BinaryIO:
        """Raises NotFoundError."""
        if key.startswith("sha256/"):
            return self._remote.open(key)
        import io

        return io.BytesIO(self.get(key))

    def local_path(self, key: str) -> Path | None:
        """The file in the folder here, fetched if need be; None for what is not named by its digest, or is nowhere."""
        return self._remote.local_path(key) if key.startswith("sha256/") else None

    def stat(self, key: str) -> BlobStat | None:
        """As the server has it; None if it has not."""
        try:
            answer = self.api.call("HEAD", _blob(key))
        except NotFoundError:
            return None
        from email.utils import parsedate_to_datetime

        modified_at = parsedate_to_datetime(answer.headers["last-modified"]).timestamp()
        return BlobStat(key, int(answer.headers["content-length"]), modified_at)

    def list(self, prefix: str) -> Iterator[BlobStat]:
        """Blobs of the server whose key begins with `prefix`."""
        return (from_plain(BlobStat, item) for item in self.api.pages("/blobs", prefix=prefix, limit=_PAGE))

    def delete(self, key: str, *, unused_since: float = 0.0) -> bool:
        """Never: only the server knows what is still needed."""
        raise UnsupportedError(f"{key!r} is deleted by the server alone", hint="`fairway gc` does, where it is safe")

    def fetch(self, keys: Iterable[str]) -> None:
        """Bring blobs here, several at a time."""
        self._remote.fetch(keys)

    def fetch_inputs(self, refs: Iterable[ArtifactRef]) -> None:
        """Bring all that these artifacts are made of here."""
        self._remote.fetch_inputs(refs)

    def upload(self, keys: Iterable[str]) -> None:
        """Bring blobs of the folder here to the server, as far as it lacks them."""
        self._remote.upload(keys)


class HttpStreamStore:
    """See `spec.ports.StreamStore`. Attempts append; everybody else reads."""

    def __init__(self, api: ServerApi) -> None:
        self.api = api

    def append(self, stream: str, data: bytes) -> None:
        """Never: raises UnsupportedError."""
        raise UnsupportedError("only attempts write streams", hint="their logs are what they print")

    def read(self, stream: str, offset: int = 0, limit: int = 0) -> bytes:
        """Bytes from `offset`, at most `limit` (0 = to the end); b"" if the stream does not exist or ends before `offset`."""
        if not offset and not limit:
            return self._read(stream, "")
        last = str(offset + limit - 1) if limit else ""
        return self._read(stream, f"bytes={offset}-{last}")

    def read_many(self, run: str, offsets: Mapping[str, int], *, wait_s: float = 0.0) -> dict[str, bytes]:
        """New bytes of many of the run's streams ("ATTEMPT/log" -> offset) in one exchange; waits up to `wait_s` for the first, or until
        the run has recorded something."""
        wait = round(min(wait_s, LONGEST_WAIT_S), 3)
        body = json.dumps({"offsets": dict(offsets), "limit": _READ_BYTES, "wait": wait}).encode()
        answer = self.api.call(
            "POST", _run(run, "/streams"), body=body, headers={"Content-Type": "application/json"}, timeout_s=wait + SLACK_S
        )
        return {name: base64.b64decode(part["data"]) for name, part in answer.json()["items"].items()}

    def size(self, stream: str) -> int:
        """Bytes so far, 0 if the stream does not exist."""
        try:
            return int(self.api.call("HEAD", _stream(stream)).headers["content-length"])
        except NotFoundError:
            return 0

    def list(self, prefix: str) -> Iterator[str]:
        """Names that begin with `prefix`, which begins with a whole run id; "" or a part of one lists the streams of all runs it may be."""
        run, slash, rest = prefix.partition("/")
        runs = [run] if slash else [row["run"] for row in self.api.pages("/runs", archived=True, limit=_PAGE)]
        for one in sorted(runs):
            if slash or one.startswith(run):
                found = self.api.find(_run(one, "/streams"), prefix=rest) or {"items": ()}
                yield from (f"{one}/{item['name']}" for item in found["items"])

    def delete(self, prefix: str) -> None:
        """Never: raises UnsupportedError."""
        raise UnsupportedError("streams are deleted with their run, by the server", hint="`fairway gc` does")

    def _read(self, stream: str, wanted: str) -> bytes:
        try:
            headers = {"Accept-Encoding": "identity", **({"Range": wanted} if wanted else {})}
            return self.api.call("GET", _stream(stream), headers=headers).body
        except NotFoundError:
            return b""
        except UnsatisfiableRange:
            return b""


class _Signing:
    """What `RemoteArtifactStore` needs of a control channel, asked as a user."""

    def __init__(self, api: ServerApi) -> None:
        self._api, self.link = api, api.link

    def sign(self, get: Sequence[str] = (), put: Sequence[tuple[str, int]] = ()) -> tuple[dict[str, str], dict[str, str | None]]:
        answer = self._api.send("POST", "/blobs", {"get": list(get), "put": [list(each) for each in put]})
        return answer["get"], answer["put"]


def read_event(item: Mapping[str, Any]) -> Event:
    """The event of an item of the API. Raises UnsupportedError for one of a newer version."""
    try:
        return parse_event(item["type"], item["event"])
    except KeyError:
        raise UnsupportedError(
            f"the server sends an event that this version of Fairway does not know: {item.get('type')!r}",
            hint="upgrade with `pip install -U fairway`",
        ) from None


def _run(run: str, rest: str = "") -> str:
    return f"/runs/{quote(run, safe='')}{rest}"


def _stream(stream: str) -> str:
    run, _, name = stream.partition("/")
    return _run(run, f"/streams/{quote(name)}")


def _blob(key: str) -> str:
    return f"/blobs/{quote(key)}"
