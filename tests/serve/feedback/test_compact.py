from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fairway.serve.feedback import compact as compacting
from fairway.serve.feedback.compact import compact, describe, main, read_manifest
from fairway.serve.feedback.dataset import open_parts
from fairway.serve.feedback.spool import Spool
from fairway.spec.artifact import blob_key
from fairway.spec.endpoint import Capture
from fairway.step.folder import FolderArtifactStore

DAY = 86_400.0
NOW = 1_800_000_000.0  # 2027-01-15 08:00 UTC
OPEN = Capture(max_bytes=0, max_age_s=0)


@pytest.fixture
def store(tmp_path: Path) -> FolderArtifactStore:
    return FolderArtifactStore(tmp_path / "blobs")


def traffic(id: str, at: float = NOW, **more: Any) -> dict[str, Any]:
    return {"id": id, "at": at, "revision": 1, "status": 200, "latency_ms": 2.5, "request": b"[1]", "answer": b"[1]", **more}


def write(folder: Path, *records: dict[str, Any], labels: tuple[dict[str, Any], ...] = ()) -> None:
    spool = Spool(folder)
    for record in records:
        spool.write("risk", record)
    if labels:
        asyncio.run(spool.write_durably("risk", *labels))
    spool.close_now()


def kept(store: Any, tmp_path: Path, kind: str = "traffic") -> Counter[str]:
    import pyarrow.parquet as pq

    parts = [part for part in read_manifest(store, "risk").parts if part.kind == kind]
    return Counter(id for part in parts for id in pq.read_table(store.local_path(blob_key(part.digest)))["id"].to_pylist())


def test_segments_become_partitions_by_day(tmp_path: Path, store: FolderArtifactStore) -> None:
    late = traffic("b", NOW + DAY, answer=None, answer_withheld="it is too long")
    write(tmp_path, traffic("a"), late, labels=({"id": "a", "label": [1], "at": NOW, "why": 3},))
    manifest = compact(tmp_path, store, "risk", OPEN)
    assert {(part.date, part.kind, part.rows) for part in manifest.parts} == {
        ("2027-01-15", "traffic", 1),
        ("2027-01-15", "feedback", 1),
        ("2027-01-16", "traffic", 1),
    }
    assert not list(tmp_path.glob("risk/*.jsonl"))
    with open_parts(store, manifest, tmp_path / "risk") as data:
        first, second = data.table().to_pylist()
        (label,) = data.labels().to_pylist()
    assert (first["id"], first["request"], first["latency_ms"], first["withheld"]) == ("a", "[1]", 2.5, None)
    assert second["answer"] is None and second["withheld"] == "answer: it is too long"
    assert (label["label"], label["more"], label["row"]) == ("[1]", '{"why":3}', None)
    assert describe(manifest)["requests"] == 2 and describe(manifest)["labels"] == 1


def test_an_open_segment_is_read_as_far_as_it_goes_and_stays(tmp_path: Path, store: FolderArtifactStore) -> None:
    spool = Spool(tmp_path)
    for n in range(5):
        asyncio.run(spool.write_durably("risk", {"id": str(n), "label": n}))
        compact(tmp_path, store, "risk", OPEN)
        assert len(list(tmp_path.glob("risk/*.jsonl"))) == 1
        assert kept(store, tmp_path, "feedback") == Counter(map(str, range(n + 1)))
    spool.close_now()
    compact(tmp_path, store, "risk", OPEN)
    assert not list(tmp_path.glob("risk/*.jsonl")) and kept(store, tmp_path, "feedback") == Counter(map(str, range(5)))
    before = read_manifest(store, "risk")
    assert compact(tmp_path, store, "risk", OPEN).parts == before.parts


def test_a_segment_cut_at_any_byte_gives_its_whole_lines(tmp_path: Path) -> None:
    lines = [json.dumps({"id": name, "label": 1}).encode() + b"\n" for name in ("a", "bé", "c")]
    whole = b"".join(lines)
    ends = [sum(map(len, lines[:n])) for n in range(4)]
    for cut in range(len(whole) + 1):
        folder, store = tmp_path / str(cut), FolderArtifactStore(tmp_path / str(cut) / "blobs")
        (folder / "risk").mkdir(parents=True)
        (folder / "risk/feedback-0000000000001-aa.jsonl").write_bytes(whole[:cut])
        compact(folder, store, "risk", OPEN)
        assert kept(store, folder, "feedback").total() == sum(1 for end in ends[1:] if end <= cut)
        assert not list(folder.glob("risk/*.jsonl"))


def test_what_a_power_cut_left_of_a_line_is_passed_over(tmp_path: Path, store: FolderArtifactStore) -> None:
    (tmp_path / "risk").mkdir()
    junk = b'{"id": "a", "label": 1}\n\0\0\0\0\n{"id": 3}\n[]\n{"id": "b", "at": 1e300, "label": 1}\n{"id": "c", "at": "x", "label": 1}\n'
    (tmp_path / "risk/feedback-1800000000000-aa.jsonl").write_bytes(junk)
    compact(tmp_path, store, "risk", OPEN)
    assert kept(store, tmp_path, "feedback") == Counter("abc")
    assert {part.date for part in read_manifest(store, "risk").parts} == {"2027-01-15"}


class Killed(BaseException):
    pass


class Mortal:
    """A store, and the deletion of segments, that end at the n-th thing they do, before or after doing it."""

    def __init__(self, store: FolderArtifactStore, left: int, *, after: bool) -> None:
        self._store, self.left, self._after = store, left, after

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: self.do(lambda: getattr(self._store, name)(*args, **kwargs))

    def do(self, what: Any) -> Any:
        self.left -= 1
        if self.left == 0 and not self._after:
            raise Killed
        found = what()
        if self.left == 0:
            raise Killed
        return found


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_point_it_loses_nothing_and_has_nothing_twice(tmp_path: Path, after: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    unlink, points, base = Path.unlink, 0, tmp_path / "base"
    for n in range(7):  # the eighth makes it merge
        write(base, traffic(f"{n}"), labels=({"id": f"{n}", "label": 1, "at": NOW},))
        compact(base, FolderArtifactStore(base / "blobs"), "risk", OPEN)
    write(base, traffic("7"), traffic("other day", NOW - DAY), labels=({"id": "7", "label": 1, "at": NOW},))
    for n in range(1, 200):
        folder = tmp_path / str(n)
        real = FolderArtifactStore(folder / "blobs")
        shutil.copytree(base, folder)
        mortal = Mortal(real, n, after=after)
        monkeypatch.setattr(Path, "unlink", lambda path, missing_ok=False, m=mortal: m.do(lambda: unlink(path, missing_ok=missing_ok)))
        died = False
        try:
            compact(folder, mortal, "risk", OPEN)  # type: ignore[arg-type]
        except Killed:
            died = True
        monkeypatch.setattr(Path, "unlink", unlink)
        compact(folder, real, "risk", OPEN)
        assert kept(real, folder) == Counter([*map(str, range(8)), "other day"])
        assert kept(real, folder, "feedback") == Counter(map(str, range(8)))
        assert not [path.name for path in (folder / "risk").iterdir() if path.name != ".compacting"]
        if not died:
            break
        points = n
    assert points >= 15, "it was killed at many points, and got past the last"
    merged = read_manifest(real, "risk")
    assert len(merged.parts) == 3 and len(merged.replaced) == 16


def test_the_oldest_go_by_age_and_by_size(tmp_path: Path, store: FolderArtifactStore) -> None:
    for day in range(5):
        write(tmp_path, traffic(f"{day}", NOW - day * DAY, request=b'"' + os.urandom(5_000).hex().encode() + b'"'))
        compact(tmp_path, store, "risk", OPEN)
    manifest = compact(tmp_path, store, "risk", Capture(max_bytes=0, max_age_s=3.5 * DAY), now=NOW)
    assert kept(store, tmp_path) == Counter("0123") and len(list(store.list("sha256/"))) == 4
    each = manifest.parts[0].size_bytes
    compact(tmp_path, store, "risk", Capture(max_bytes=int(each * 2.5), max_age_s=0), now=NOW)
    assert kept(store, tmp_path) == Counter("01") and len(list(store.list("sha256/"))) == 2


def test_copies_that_were_merged_away_count_and_go_first(tmp_path: Path, store: FolderArtifactStore) -> None:
    for n in range(8):
        write(tmp_path, traffic(f"{n}"))
        compact(tmp_path, store, "risk", OPEN)
    manifest = read_manifest(store, "risk")
    assert len(manifest.parts) == 1 and len(manifest.replaced) == 8
    assert all(part.digest not in json.dumps([one.key for one in manifest.replaced]) for part in manifest.parts)
    compact(tmp_path, store, "risk", Capture(max_bytes=manifest.parts[0].size_bytes, max_age_s=0))
    assert kept(store, tmp_path).total() == 8 and len(list(store.list("sha256/"))) == 1


def test_a_little_is_left_to_gather(tmp_path: Path, store: FolderArtifactStore) -> None:
    write(tmp_path, traffic("a"))
    compact(tmp_path, store, "risk", OPEN, patience_s=300, now=NOW)
    write(tmp_path, traffic("b"))
    compact(tmp_path, store, "risk", OPEN, patience_s=300, now=NOW + 299)
    assert kept(store, tmp_path) == Counter("a")
    compact(tmp_path, store, "risk", OPEN, patience_s=300, now=NOW + 301)
    assert kept(store, tmp_path) == Counter("ab")


def test_much_is_taken_in_passes(tmp_path: Path, store: FolderArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compacting, "_PASS_BYTES", 500)
    for segment in range(3):
        write(tmp_path, *(traffic(f"{segment}-{n}") for n in range(20)))
    compact(tmp_path, store, "risk", OPEN)
    assert kept(store, tmp_path) == Counter(f"{segment}-{n}" for segment in range(3) for n in range(20))
    assert not list(tmp_path.glob("risk/*.jsonl"))


def test_the_keeper_calls_it_as_a_process_and_reads_how_good_the_predictions_were(tmp_path: Path) -> None:
    now = time.time()
    rows = [traffic(str(n), now, revision=1 + n % 2, answer=b'{"predictions": [1]}') for n in range(10)]
    write(tmp_path, *rows, labels=tuple({"id": str(n), "label": int(n % 2 == 0), "at": now} for n in range(10)))
    capture = json.dumps({"risk": {"max_bytes": 1 << 30, "since": now - 60}, "idle": {}})
    command = [sys.executable, "-m", "fairway.serve.feedback.compact", "--spool", str(tmp_path), "--blobs", str(tmp_path / "blobs")]
    done = subprocess.run([*command, "--capture", capture, "--accuracy"], capture_output=True, text=True, check=True)
    risk, idle = (json.loads(line) for line in done.stdout.splitlines())
    assert (risk["endpoint"], risk["requests"], risk["labels"]) == ("risk", 10, 10)
    assert [(row["revision"], row["labels"], row["value"]) for row in risk["accuracy"]] == [(1, 5, 1.0), (2, 5, 0.0)]
    assert risk["since"] == [
        {"revision": 1, "labels": 5, "value": 1.0, "measure": "accuracy"},
        {"revision": 2, "labels": 5, "value": 0.0, "measure": "accuracy"},
    ]
    assert idle["files"] == 0 and idle["accuracy"] == []


def test_one_endpoint_in_trouble_does_not_stop_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, traffic("a"))
    (tmp_path / "bad").write_text("a file where a folder belongs")
    status = main(["--spool", str(tmp_path), "--blobs", str(tmp_path / "blobs"), "--capture", '{"bad": {}, "risk": {}}'])
    bad, risk = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert status == 1 and "FileExistsError" in bad["error"] and risk["requests"] == 1
