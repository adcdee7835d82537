"""What somebody whose projects are limited may see of what belongs to no single run: lists, counts, the cache, blobs."""

from __future__ import annotations

import asyncio
import json
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator

from fairway.errors import NotFoundError
from fairway.spec.artifact import blob_key
from fairway.spec.ports import ArtifactStore, BlobStat, Journal, run_now
from fairway.spec.query import RunQuery, RunsFound
from fairway.spec.record import replace
from fairway.spec.summary import CacheEntry, RunSummary
from fairway.store import wire
from fairway.web.identity import Identity

_ARTIFACT = re.compile(r"sha256/([0-9a-f]{2})/([0-9a-f]{62})")
_BUNDLE = re.compile(r"bundle/([0-9a-f]{64})")
_OUTCOME = re.compile(r"outcome/([^/]+)/.+")
_TRAFFIC = "traffic/"
_KEPT_DIGESTS = 200_000
_MANIFEST_LIMIT_BYTES = 32 << 20


class Sight:
    """Asks the journal. Digests that runs reach are kept for a while: which run names a blob is not written anywhere."""

    def __init__(self, journal: Journal, artifacts: ArtifactStore) -> None:
        self._journal, self._artifacts = journal, artifacts
        self._named: OrderedDict[str, tuple[int, frozenset[bytes]]] = OrderedDict()
        self._inside: OrderedDict[str, tuple[int, frozenset[bytes]]] = OrderedDict()
        self._traffic: dict[str, tuple[tuple[int, float], tuple[str, ...], frozenset[bytes]]] = {}

    async def sees_run(self, identity: Identity, run: str) -> bool:
        """May it see the run? One that is not there is seen by who sees all."""
        if identity.sees_all:
            return True
        summary = await self._journal.find_summary(run)
        return summary is not None and identity.sees(summary.project)

    async def summaries(
        self, identity: Identity, *, pipeline: str = "", status: str = "", tag: str = "", archived: bool = False, limit: int, before: str
    ) -> list[RunSummary]:
        """As the journal's, without those that are not to be seen."""
        named = {"pipelines": pipeline, "statuses": status, "tags": tag}
        asked = {name: (value,) for name, value in named.items() if value}
        query = RunQuery(**asked, archived=None if archived else False, limit=limit, cursor=before)  # type: ignore[arg-type]
        return list((await self.search(identity, query)).rows)

    async def search(self, identity: Identity, query: RunQuery) -> RunsFound:
        """As the journal's, of the runs that may be seen."""
        projects = seen_projects(identity, query.projects)
        return RunsFound() if projects is None else await self._journal.search(replace(query, projects=projects))

    async def entries(self, identity: Identity, entries: Iterable[CacheEntry]) -> list[CacheEntry]:
        """Those whose run may be seen."""
        if identity.sees_all:
            return list(entries)
        runs: dict[str, bool] = {}
        found: list[CacheEntry] = []
        for entry in entries:
            if entry.run not in runs:
                runs[entry.run] = await self.sees_run(identity, entry.run)
            if runs[entry.run]:
                found.append(entry)
        return found

    async def check_blob(self, identity: Identity, key: str) -> None:
        """Raises NotFoundError for a blob that no run reaches which may be seen."""
        if identity.sees_all or await self._sees_blob(identity, key):
            return
        raise NotFoundError(f"there is no blob {key[:100]}", hint="it may have been collected; run the pipeline again")

    async def _sees_blob(self, identity: Identity, key: str) -> bool:
        if key.startswith(_TRAFFIC):
            return await asyncio.to_thread(self._sees_traffic, identity, key)
        outcome = _OUTCOME.fullmatch(key)
        if outcome is not None:
            return await self.sees_run(identity, outcome[1])
        found = _ARTIFACT.fullmatch(key) or _BUNDLE.fullmatch(key)
        if found is None:
            return False
        return await asyncio.to_thread(self._reaches, identity, bytes.fromhex("".join(found.groups())))

    def _reaches(self, identity: Identity, digest: bytes) -> bool:
        """Is it named in an event of a run that may be seen, or in a manifest that is? The newest runs are asked first."""
        runs = [row.run for row in self._visible(identity)]
        named = any(digest in self._digests(run) for run in runs) or any(digest in self._digests_inside(run) for run in runs)
        return named or any(
            digest in self._read_traffic(stat)[2] for stat in self._artifacts.list(_TRAFFIC) if self._sees_traffic(identity, stat.key)
        )

    def _sees_traffic(self, identity: Identity, key: str) -> bool:
        """Was all of this captured traffic sent to endpoints of projects that may be seen? What does not say so is for who sees all."""
        stat = self._artifacts.stat(key)
        projects = self._read_traffic(stat)[1] if stat is not None else ()
        return bool(projects) and all(identity.sees(project) for project in projects)

    def _read_traffic(self, stat: BlobStat) -> tuple[object, tuple[str, ...], frozenset[bytes]]:
        """Projects and files of a manifest, see `serve.feedback.compact.TrafficManifest`."""
        stand = stat.size_bytes, stat.modified_at
        known = self._traffic.get(stat.key)
        if known is None or known[0] != stand:
            try:
                manifest = json.loads(self._artifacts.get(stat.key))
            except NotFoundError:
                manifest = {}
            digests = frozenset(bytes.fromhex(part["digest"]) for part in manifest.get("parts", ()))
            known = self._traffic[stat.key] = stand, tuple(manifest.get("projects", ())), digests
        return known

    def _visible(self, identity: Identity) -> Iterator[RunSummary]:
        rows = run_now(self._journal.summaries(archived=True, limit=0))
        return (row for row in rows if identity.sees(row.project))

    def _digests(self, run: str) -> frozenset[bytes]:
        """Digests named in the run's events."""
        head = run_now(self._journal.head(run))
        known = self._named.get(run)
        if known is None or known[0] != head:
            known = head, frozenset(map(bytes.fromhex, run_now(self._journal.digests(run))))
            _keep(self._named, run, known)
        return known[1]

    def _digests_inside(self, run: str) -> frozenset[bytes]:
        """Digests in the manifests that the run names, and in theirs."""
        named = self._digests(run)
        head = self._named[run][0] if run in self._named else 0
        known = self._inside.get(run)
        if known is None or known[0] != head:
            found: set[bytes] = set()
            pending = list(named)
            while pending:
                new = set(map(bytes.fromhex, wire.find_digests(self._texts(pending.pop().hex())))) - found - named
                found |= new
                pending += new
            known = head, frozenset(found)
            _keep(self._inside, run, known)
        return known[1]

    def _texts(self, digest: str) -> Iterator[str]:
        """The text of a blob that could be a manifest."""
        key = blob_key(digest)
        stat = self._artifacts.stat(key)
        if stat is None or stat.size_bytes > _MANIFEST_LIMIT_BYTES:
            return
        with self._artifacts.open(key) as file:
            if file.read(1) in (b"{", b"["):
                yield file.read().decode("latin-1")


def seen_projects(identity: Identity, wanted: Iterable[str]) -> tuple[str, ...] | None:
    """Those of the projects `wanted` (none = all) that may be seen, () = all; None where that leaves none."""
    wanted = tuple(wanted)
    if identity.sees_all:
        return wanted
    seen = tuple(project for project in wanted if identity.sees(project)) if wanted else identity.projects
    return seen or None


def _keep(table: OrderedDict[str, tuple[int, frozenset[bytes]]], run: str, found: tuple[int, frozenset[bytes]]) -> None:
    table[run] = found
    table.move_to_end(run)
    while len(table) > 1 and sum(len(digests) for _, digests in table.values()) > _KEPT_DIGESTS:
        table.popitem(last=False)
