"""Captured traffic where the server has no pyarrow: kept all the same, and read by who has it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import fairway as fw
from fairway.errors import UnsupportedError
from fairway.serve.control.viewing import Around, build_view
from fairway.serve.control.watched import Watched
from fairway.serve.feedback.compact import compact, describe, read_manifest
from fairway.serve.feedback.gather import Gatherer
from fairway.serve.feedback.spool import Spool
from fairway.spec.artifact import blob_key
from fairway.spec.endpoint import Capture, Endpoint, Rollout
from fairway.step.folder import FolderArtifactStore

NOW, DAY = 1_800_000_000.0, 86_400.0
OPEN = Capture(max_bytes=0, max_age_s=0)


def write(spool_folder: Path, *ids: str, at: float = NOW) -> None:
    spool = Spool(spool_folder)
    for id in ids:
        body: dict[str, Any] = {"request": b'{"inputs": [{"age": 1}]}', "answer": b'{"predictions": [1]}'}
        spool.write("risk", {"id": id, "at": at, "revision": 1, "status": 200, "latency_ms": 1.5, **body})
    asyncio.run(spool.write_durably("risk", *({"id": id, "label": 1, "at": at + 0.25} for id in ids)))
    spool.close_now()


def read(store: FolderArtifactStore) -> Counter[str]:
    import pyarrow.parquet as pq

    parts = [part for part in read_manifest(store, "risk").parts if part.kind == "traffic"]
    return Counter(id for part in parts for id in pq.read_table(store.local_path(blob_key(part.digest)))["id"].to_pylist())


def test_rows_are_kept_merged_and_held_to_their_limits_and_become_parquet_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool, store = tmp_path / "spool", FolderArtifactStore(tmp_path / "blobs")
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pyarrow", None)
        write(spool, "old", at=NOW - 9 * DAY)
        for n in range(9):
            write(spool, f"{n}")
            compact(spool, store, "risk", OPEN, now=NOW + n)
        manifest = read_manifest(store, "risk")
        assert all(part.is_raw for part in manifest.parts) and describe(manifest)["requests"] == 10
        assert len(manifest.parts) == 6, "eight of a day are one"
        assert not list((spool / "risk").glob("*.jsonl"))
        held = compact(spool, store, "risk", Capture(max_bytes=0, max_age_s=5 * DAY), now=NOW + 20)
        assert describe(held)["requests"] == 9 and {part.date for part in held.parts} == {"2027-01-15"}
    compact(spool, store, "risk", OPEN, now=NOW + 30)
    assert not any(part.is_raw for part in read_manifest(store, "risk").parts)
    assert read(store) == Counter(f"{n}" for n in range(9))


def test_who_has_pyarrow_reads_what_a_server_without_has_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fairway.toml").touch()
    monkeypatch.chdir(tmp_path)
    spool = tmp_path / ".fairway/serve/spool"
    write(spool, "a", "b")
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(UnsupportedError, match="pyarrow, which is not installed"):
            fw.traffic("risk")
    manifest = read_manifest(FolderArtifactStore(tmp_path / ".fairway/blobs"), "risk")
    assert manifest.parts and all(part.is_raw for part in manifest.parts)
    monkeypatch.setattr("fairway.serve.feedback.dataset._bring_in", lambda *_: None)  # as from a server's store, which one only reads
    traffic = fw.traffic("risk")
    assert [row["id"] for row in traffic.table().to_pylist()] == ["a", "b"]
    assert traffic.accuracy() == [{"revision": 1, "labels": 2, "value": 1.0, "measure": "accuracy"}]
    assert fw.traffic("risk") == traffic


def test_the_server_says_once_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    shim = tmp_path / "shim"
    shim.mkdir()
    (shim / "pyarrow.py").write_text("raise ModuleNotFoundError(\"No module named 'pyarrow'\", name='pyarrow')")
    monkeypatch.setenv("PYTHONPATH", str(shim))
    gatherer = Gatherer(tmp_path / "spool", tmp_path / "blobs")
    for id in ("a", "b"):
        write(tmp_path / "spool", id)
        asyncio.run(gatherer.gather([Endpoint("risk", "shop", capture=OPEN)]))
    assert capfd.readouterr().err.count("pyarrow is not installed where this server runs") == 1
    found = gatherer.found["risk"]
    assert (found.requests, found.labels, found.accuracy) == (1, 1, ()) and "pyarrow" in found.error
    waiting = Watched(Endpoint("risk", rollout=Rollout(2, ((1, 100.0),), metric="accuracy", min_metric=0.9)))
    waiting.see_gathered(found)
    seen = build_view(waiting, Around(), NOW).rollout
    assert seen is not None and "accuracy is not known" in seen.judgement and "pyarrow" in seen.judgement
    store = FolderArtifactStore(tmp_path / "blobs")
    assert read_manifest(store, "risk").projects == ("shop",)
    assert json.loads(store.get("traffic/risk"))["parts"][0]["path"].endswith(".jsonl.gz")
