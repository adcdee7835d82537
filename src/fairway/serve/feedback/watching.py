"""Traffic held to the schema and the baseline that a model carries: new rows are folded into monitors, alarms are raised, cleared, kept.

Runs in the process that compacts. What the monitors know and which files they have seen is one document (`watch/ENDPOINT`), replaced in
one step: whenever this is killed, no row is counted twice and none is passed over.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairway.errors import NotFoundError
from fairway.serve.feedback import raw
from fairway.serve.feedback.compact import Part, TrafficManifest, locked, read_manifest, sync
from fairway.serve.feedback.datamodel import DataModel, is_watched, load_model
from fairway.serve.feedback.watchkeys import report_key, state_key
from fairway.spec.artifact import blob_key

if TYPE_CHECKING:
    from fairway.serve.feedback.revisionwatch import RevisionWatch
    from fairway.spec.ports import ArtifactStore

VERSION = 1
ALARMS_KEPT = 200
_HELD_S = 3600.0
_WANTED = ("id", "at", "revision", "status", "request", "answer")
_REFUSED = (400, 422)
"""Requests that were not as the schema says are traffic too: if all of it changes, that is what shows it."""
_TRUTH_S = 30 * 86_400.0


def read_state(store: ArtifactStore, endpoint: str) -> dict[str, Any]:
    """What is known; nothing yet, or of another version: an empty one."""
    try:
        found = json.loads(store.get(state_key(endpoint)))
    except (NotFoundError, ValueError):
        found = {}
    if not isinstance(found, dict) or found.get("version") != VERSION:
        found = {"version": VERSION, "consumed": [], "revisions": {}, "alarms": [], "untold": []}
    return found


def consumed(store: ArtifactStore, endpoint: str) -> frozenset[str]:
    """Digests of the files that monitors have seen."""
    return frozenset(read_state(store, endpoint)["consumed"])


def wanted(store: ArtifactStore, revisions: Mapping[str, Mapping[str, Any]]) -> dict[int, Mapping[str, Any]]:
    """The revisions whose package says something of its data."""
    return {int(number): said for number, said in revisions.items() if is_watched(store, said)}


def watch(
    spool: Path, store: ArtifactStore, endpoint: str, revisions: Mapping[int, Mapping[str, Any]], *, max_age_s: float = 0.0, now: float
) -> dict[str, Any]:
    """Fold what is new into the monitors of these revisions; the state as it is then."""
    with locked(spool / endpoint):
        manifest, state = read_manifest(store, endpoint), read_state(store, endpoint)
        before = json.dumps(state, sort_keys=True)
        seen = set(state["consumed"])
        by_digest = {part.digest: part for part in manifest.parts}
        new = [by_digest[digest] for digest in manifest.fresh if digest not in seen and digest in by_digest]
        told = state["revisions"]
        due = {number for number in revisions if _is_due(told.get(str(number)), now)}
        if new or due or any(str(number) not in told for number in revisions):
            watches = {number: _open(store, (endpoint, number), said, told.get(str(number))) for number, said in revisions.items()}
            _fold(store, new, watches)
            _judge(spool, store, manifest, new, watches, now)
            for number, one in watches.items():
                state["alarms"] += [{**alarm, "revision": number} for alarm in one.finish(now, is_due=number in due)]
            state["revisions"] = {str(number): one.to_json() for number, one in watches.items()}
            for number, one in watches.items():
                if (page := one.page) is not None:
                    store.put(report_key(endpoint, number), page.encode(), if_absent=False)
        _forget_old(state, now - max_age_s if max_age_s > 0 else 0.0)
        raised = _new_alarms(state["alarms"], json.loads(before)["alarms"])
        state["untold"] = [*state["untold"], *raised][-ALARMS_KEPT:]
        state["alarms"] = state["alarms"][-ALARMS_KEPT:]
        state["consumed"] = [digest for digest in manifest.fresh if digest in seen or digest in by_digest]
        if json.dumps(state, sort_keys=True) != before:
            write_state(store, endpoint, state)
        return state


def write_state(store: ArtifactStore, endpoint: str, state: Mapping[str, Any]) -> None:
    """In one step."""
    key = state_key(endpoint)
    store.put(key, json.dumps(state, separators=(",", ":"), ensure_ascii=False).encode(), if_absent=False)
    sync(store, key)


def describe(state: Mapping[str, Any]) -> dict[str, Any]:
    """What pages are told of it: no rows, no sketches."""
    views = [one["view"] for _, one in sorted(state["revisions"].items(), key=lambda item: int(item[0]))]
    return {"revisions": views, "alarms": list(reversed(state["alarms"]))}


def _open(store: ArtifactStore, of: tuple[str, int], said: Mapping[str, Any], before: dict[str, Any] | None) -> RevisionWatch:
    from fairway.serve.feedback.revisionwatch import RevisionWatch

    model: DataModel = load_model(store, said)
    return RevisionWatch(*of, model, before)


def _is_due(before: Mapping[str, Any] | None, now: float) -> bool:
    """Have rows waited long enough for others?"""
    return bool(before and before["held"]) and now - (before or {})["held_at"] >= _HELD_S


def _fold(store: ArtifactStore, parts: Sequence[Part], watches: Mapping[int, RevisionWatch]) -> None:
    for part in sorted((part for part in parts if part.kind == "traffic"), key=lambda one: (one.first, one.path)):
        for row in _read(store, part):
            one = watches.get(row["revision"])
            if one is not None and (row["status"] < 400 or row["status"] in _REFUSED):
                one.add(row["request"], row["answer"] if row["status"] < 400 else None, row["at"].timestamp())


def _read(store: ArtifactStore, part: Part) -> Iterator[dict[str, Any]]:
    with store.open(blob_key(part.digest)) as file:
        if part.is_raw:
            yield from sorted(raw.read_rows(file), key=lambda row: row["at"])
            return
        import pyarrow.parquet as pq

        table = pq.read_table(file, columns=list(_WANTED)).sort_by([("at", "ascending"), ("id", "ascending")])
    for batch in table.to_batches(max_chunksize=5_000):
        yield from batch.to_pylist()


def _judge(
    spool: Path, store: ArtifactStore, manifest: TrafficManifest, new: Iterable[Part], watches: Mapping[int, RevisionWatch], now: float
) -> None:
    """Errors of the predictions whose truth has come now."""
    labels = tuple(part for part in new if part.kind == "feedback")
    if not labels or not raw.has_arrow():
        return
    from fairway.serve.feedback.dataset import open_parts
    from fairway.spec.record import replace

    traffic = tuple(part for part in manifest.parts if part.kind == "traffic" and part.last >= now - _TRUTH_S)
    with open_parts(store, replace(manifest, parts=(*traffic, *labels)), spool / manifest.endpoint) as data:
        found = sorted(data.pairs(), key=lambda row: row["at"])
    for number, one in watches.items():
        one.judge([(row["prediction"], row["label"], row["at"].timestamp()) for row in found if row["revision"] == number])


def _new_alarms(after: Sequence[dict[str, Any]], before: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return list(after[len(before) :])


def _forget_old(state: dict[str, Any], oldest: float) -> None:
    """Rows are kept here no longer than in the data set."""
    for one in state["revisions"].values():
        if one["last"] and one["last"] < oldest:
            one["recent"], one["held"] = [], []
