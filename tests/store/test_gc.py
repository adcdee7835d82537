"""The collector deletes what nothing reaches, all of it, and nothing else, whatever runs meanwhile."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import pytest

from fairway.spec.artifact import ArtifactRef, blob_key
from fairway.spec.endpoint import Endpoint, Revision, ServeSpec
from fairway.spec.event import AttemptEnded, RunEnded, RunStarted
from fairway.spec.graph import Graph
from fairway.spec.outcome import ItemOutcome, Outcome, outcome_key
from fairway.spec.ports import run_now
from fairway.spec.summary import CacheEntry, RunSummary
from fairway.step.folder import FolderArtifactStore, FolderStreamStore
from fairway.store import gc, open_endpoints
from fairway.store.live import LiveMark, live_runs
from fairway.store.sqlite import SqliteJournal
from fairway.testing.memory import json_text

OLD, NEW = "20260101-000000-aaaaa", "20260102-000000-bbbbb"


class Home:
    """A home with blobs that are a day old."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.journal = SqliteJournal(root / "fairway.db")
        self.artifacts = FolderArtifactStore(root / "blobs")
        self.streams = FolderStreamStore(root / "streams")
        self.places = gc.Places(str(root), (self.journal,), self.artifacts, self.streams)

    def put(self, data: bytes, format: str = "bytes", age_s: float = 86_400) -> ArtifactRef:
        digest = hashlib.sha256(data).hexdigest()
        self.artifacts.put(blob_key(digest), data)
        self.age(self.root / "blobs" / blob_key(digest), age_s)
        return ArtifactRef(digest, len(data), format)

    def age(self, path: Path, age_s: float = 86_400) -> None:
        os.utime(path, (time.time() - age_s,) * 2)

    def run(self, run: str, outputs: dict[str, ArtifactRef], *, status: str = "succeeded", bundle: str = "", **summary: Any) -> None:
        events = [RunStarted(run, Graph("p"), {}, bundle, 1.0), RunEnded(status, 2.0, outputs)]
        entries = [CacheEntry(f"key-{run}", run, "n", outputs)]
        fields = {"run": run, "pipeline": "p", "status": status, "started_at": 1.0, "ended_at": 2.0, **summary}
        run_now(self.journal.append(run, 0, events, "b", summary=RunSummary(**fields), cache=entries))

    def collect(self, *delete_runs: str) -> tuple[gc.Plan, gc.Collected]:
        made = run_now(gc.plan(self.places, delete_runs=delete_runs))
        return made, run_now(gc.collect(self.places, made))

    def has(self, ref: ArtifactRef) -> bool:
        return self.artifacts.stat(blob_key(ref.digest)) is not None


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_what_a_kept_run_reaches_stays(home: Home) -> None:
    leaf, item, graph_const = home.put(b"leaf"), home.put(b"item"), home.put(b"const")
    folder = home.put(json_text({"files": [{"path": "a", "digest": leaf.digest, "size_bytes": 4, "mode": 420}]}).encode(), "dir")
    many = home.put(json_text({"items": [item, folder]}).encode(), "list")
    graph = home.put(json_text({"name": "g", "const": graph_const}).encode(), "graph")
    garbage = home.put(b"garbage")
    home.run(OLD, {"many": many})
    ended = AttemptEnded("a-1", Outcome("a-1", "ended", (ItemOutcome("succeeded", graph=graph.digest),)), 3.0)
    run_now(home.journal.append(OLD, 2, [ended], "b2"))
    made, done = home.collect()
    assert [item.name for item in made.items] == [blob_key(garbage.digest)]
    assert (made.size_bytes, made.by_kind()) == (7, {"artifact": (1, 7)})
    assert done == gc.Collected(0, 1, 7, 0)
    assert all(home.has(ref) for ref in (leaf, item, graph_const, folder, many, graph))
    assert not home.has(garbage)


def test_a_deleted_run_takes_with_it_what_no_other_reaches(home: Home) -> None:
    shared, own = home.put(b"shared"), home.put(b"own")
    home.run(OLD, {"shared": shared, "own": own})
    home.run(NEW, {"shared": shared})
    for run in (OLD, NEW):
        home.artifacts.put(outcome_key(run, "a-1"), b"{}")
        home.streams.append(f"{run}/a-1/log", b"line\n")
        (home.root / "checkpoints" / run / "t").mkdir(parents=True)
        (home.root / "checkpoints" / run / "t" / "state").write_bytes(b"12345")
    made, done = home.collect(OLD)
    assert made.by_kind() == {"artifact": (1, 3), "outcome": (1, 2), "stream": (1, 5), "checkpoint": (1, 5)}
    assert (done.runs, done.items, done.spared) == (1, 4, 0)
    assert home.has(shared)
    assert not home.has(own)
    assert run_now(home.journal.head(OLD)) == 0
    assert [stat.key for stat in home.artifacts.list("outcome/")] == [outcome_key(NEW, "a-1")]
    assert list(home.streams.list("")) == [f"{NEW}/a-1/log"]
    assert os.listdir(home.root / "checkpoints") == [NEW]
    assert not (home.root / ".trash").exists()


def test_cache_entries_live_as_long_as_their_blobs(home: Home) -> None:
    shared, own, lost = home.put(b"shared"), home.put(b"own"), home.put(b"lost")
    home.run(OLD, {"shared": shared})
    home.run(NEW, {"shared": shared, "x": own})
    home.run("20260103-000000-ccccc", {"lost": lost})
    home.artifacts.delete(blob_key(lost.digest))
    made, _ = home.collect(OLD)
    assert made.forget == ("key-20260103-000000-ccccc",)  # its blob was deleted by hand; OLD's entry still serves: NEW keeps its blob
    assert list(run_now(home.journal.find_cached([f"key-{OLD}"]))) == [f"key-{OLD}"]
    made, _ = home.collect(NEW)
    assert set(made.forget) == {f"key-{OLD}", f"key-{NEW}"}
    assert not home.has(shared)


def test_what_is_young_stays(home: Home) -> None:
    young, old = home.put(b"young", age_s=60), home.put(b"old")
    home.collect()
    assert home.has(young)
    assert not home.has(old)


def test_what_somebody_puts_again_after_the_plan_stays(home: Home) -> None:
    again = home.put(b"again")
    made = run_now(gc.plan(home.places))
    assert len(made.items) == 1
    home.artifacts.put(blob_key(again.digest), b"again")
    assert run_now(gc.collect(home.places, made)) == gc.Collected(0, 0, 0, 1)
    assert home.has(again)


def test_what_a_new_run_reaches_after_the_plan_stays(home: Home) -> None:
    item = home.put(b"item")
    listed = home.put(json_text({"items": [item]}).encode(), "list")
    made = run_now(gc.plan(home.places))
    assert len(made.items) == 2
    home.run(NEW, {"out": listed})
    assert run_now(gc.collect(home.places, made)).spared == 2
    assert home.has(item)
    assert home.has(listed)


def test_an_outcome_that_is_not_recorded_yet_keeps_its_artifacts(home: Home) -> None:
    made_by_attempt = home.put(b"result")
    home.run(OLD, {}, status="running")
    outcome = Outcome("a-1", "ended", (ItemOutcome("succeeded", {"result": made_by_attempt}),))
    home.artifacts.put(outcome_key(OLD, "a-1"), json_text(outcome).encode())
    home.collect()
    assert home.has(made_by_attempt)
    assert home.artifacts.stat(outcome_key(OLD, "a-1")) is not None


def test_a_live_run_is_neither_deleted_nor_robbed_of_what_it_has_just_looked_up(home: Home) -> None:
    mine, cached = home.put(b"mine"), home.put(b"cached")
    home.run(OLD, {"mine": mine}, status="running")
    home.run(NEW, {"cached": cached})
    run_now(home.journal.delete_run(NEW))
    mark = LiveMark(home.root / "locks", OLD)
    assert live_runs(home.root / "locks") == {OLD}
    made, done = home.collect(OLD)
    assert made.runs == ()
    assert run_now(home.journal.find_cached([f"key-{NEW}"])) == {}
    assert done.spared == 1
    assert home.has(cached)
    mark.close()
    assert live_runs(home.root / "locks") == set()
    home.collect()
    assert not home.has(cached)
    assert home.has(mine)


def test_a_run_that_comes_to_life_after_the_plan_is_not_deleted(home: Home) -> None:
    mine = home.put(b"mine")
    home.run(OLD, {"mine": mine})
    home.streams.append(f"{OLD}/a-1/log", b"line\n")
    made = run_now(gc.plan(home.places, delete_runs=[OLD]))
    mark = LiveMark(home.root / "locks", OLD)
    run_now(gc.collect(home.places, made))
    mark.close()
    assert run_now(home.journal.head(OLD)) == 2
    assert home.has(mine)
    assert list(home.streams.list("")) == [f"{OLD}/a-1/log"]


def test_bundles_scratch_and_leftovers(home: Home) -> None:
    kept, gone = "ab" * 32, "cd" * 32
    home.run(OLD, {}, bundle=kept)
    for digest in (kept, gone):
        (home.root / "bundles" / digest).mkdir(parents=True)
        (home.root / "bundles" / digest / "pipeline.py").write_text("pass")
        home.age(home.root / "bundles" / digest)
    for name in ("a-old-1", "a-new-1"):
        (home.root / "scratch" / name).mkdir(parents=True)
    home.age(home.root / "scratch" / "a-old-1")
    (home.root / "blobs" / ".tmp").mkdir(parents=True)
    (home.root / "blobs" / ".tmp" / "half").write_bytes(b"half a blob")
    home.age(home.root / "blobs" / ".tmp" / "half")
    made, _ = home.collect()
    assert made.by_kind() == {"bundle": (1, 4), "scratch": (1, 0), "leftover": (1, 11)}
    assert os.listdir(home.root / "bundles") == [kept]
    assert os.listdir(home.root / "scratch") == ["a-new-1"]
    assert os.listdir(home.root / "blobs" / ".tmp") == []


def test_what_runs_of_the_homes_own_database_reach_stays_when_another_journal_is_used(home: Home, tmp_path: Path) -> None:
    ref = home.put(b"of the first journal")
    home.run(OLD, {"out": ref})
    other = SqliteJournal(tmp_path / "elsewhere" / "other.db")
    places = gc.Places(str(home.root), (other,), home.artifacts, home.streams)
    assert run_now(gc.plan(places)).items == ()


def test_nothing_is_planned_in_an_empty_home(home: Home) -> None:
    made, done = home.collect()
    assert made.items == ()
    assert done == gc.Collected()


def test_which_runs_a_rule_lets_go() -> None:
    day = 86_400.0

    def summary(n: int, **fields: Any) -> RunSummary:
        return RunSummary(
            **{"run": f"r{n}", "pipeline": "p", "status": "succeeded", "started_at": n * day, "ended_at": n * day + 60, **fields}
        )

    runs = [
        summary(0),
        summary(1, tags=("gold",)),
        summary(2, name="paper"),
        summary(3, status="running"),
        summary(4),
        summary(5),
        summary(6, pipeline="q"),
    ]
    assert gc.expired(runs, now=10 * day) == []
    assert gc.expired(runs, older_than_s=5.5 * day, now=10 * day) == ["r4", "r0"]
    assert gc.expired([*runs, *runs], keep_last=1, now=10 * day) == ["r4", "r0"]
    assert gc.expired(runs, keep_last=1, older_than_s=7 * day, now=10 * day) == ["r0"]


def test_what_endpoints_serve_stays_when_its_run_goes(home: Home) -> None:
    leaf = home.put(b"weights")
    package = home.put(json_text({"files": [{"path": "model", "digest": leaf.digest, "size_bytes": 7, "mode": 420}]}).encode(), "dir")
    schema, other = home.put(b"{}"), home.put(b"another model")
    home.run(OLD, {"model": package, "other": other})
    endpoints = open_endpoints(home.journal)
    spec = ServeSpec("model", {"digest": package.digest}, schema=schema.digest)
    run_now(endpoints.put_endpoint(Endpoint("risk", revisions=(Revision(1, spec),))))
    home.collect(OLD)
    assert [home.has(ref) for ref in (leaf, package, schema, other)] == [True, True, True, False]
    run_now(endpoints.delete_endpoint("risk"))
    home.collect()
    assert [home.has(ref) for ref in (leaf, package, schema)] == [False, False, False]
