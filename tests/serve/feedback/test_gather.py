from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from fairway.serve.control.rollout import Window
from fairway.serve.control.view import DriftOf, DriftView
from fairway.serve.control.watched import Watched
from fairway.serve.feedback.compact import read_manifest
from fairway.serve.feedback.gather import Gathered, Gatherer
from fairway.serve.feedback.spool import Spool
from fairway.spec.endpoint import Capture, Endpoint, Revision, Rollout, ServeSpec
from fairway.spec.record import replace
from fairway.step.folder import FolderArtifactStore
from tests.serve.feedback.watchrig import package


def capture(folder: Path, name: str, *, count: int = 6, since: float = 0.0) -> None:
    spool, now = Spool(folder), time.time()
    for n in range(count):
        answer = b'{"predictions": [1], "score": 0.%d}' % n
        spool.write(name, {"id": str(n), "at": now, "revision": 1 + n % 2, "status": 200, "answer": answer})
    asyncio.run(spool.write_durably(name, *({"id": str(n), "label": 1 - n % 2, "at": now} for n in range(count))))
    spool.close_now()


def gather(folder: Path, *endpoints: Endpoint) -> tuple[Gatherer, list[str]]:
    told: list[str] = []
    gatherer = Gatherer(folder, folder / "blobs", tell=told.append)
    asyncio.run(gatherer.gather(endpoints))
    return gatherer, told


def test_what_was_captured_is_brought_in_and_judged(tmp_path: Path) -> None:
    capture(tmp_path, "risk")
    began = time.time() - 60
    rollout = Rollout(2, ((1, 100.0),), metric="accuracy", min_metric=0.5, step_began_at=began)
    endpoint = Endpoint("risk", capture=Capture(share=1.0), rollout=rollout)
    gatherer, told = gather(tmp_path, endpoint, Endpoint("quiet"))
    found = gatherer.found["risk"]
    assert (found.requests, found.labels, found.error) == (6, 6, "") and sorted(told) == ["quiet", "risk"]
    assert [(row.revision, row.labels, row.value) for row in found.accuracy] == [(1, 3, 1.0), (2, 3, 0.0)]
    assert found.metric == {1: (1.0, 3), 2: (0.0, 3)} and found.since == began
    assert len(read_manifest(FolderArtifactStore(tmp_path / "blobs"), "risk").parts) == 2
    one = Watched(endpoint)
    one.see_gathered(found)
    assert one.windows()[2] == Window(metric=0.0, labels=3)
    one.endpoint = replace(endpoint, rollout=replace(rollout, step_began_at=began + 1))
    assert one.windows() == {}, "of the step before"


def test_a_number_in_the_answers_can_be_the_metric(tmp_path: Path) -> None:
    capture(tmp_path, "risk")
    rollout = Rollout(2, (), metric="score", step_began_at=time.time() - 60)
    gatherer, _ = gather(tmp_path, Endpoint("risk", rollout=rollout))
    assert gatherer.found["risk"].metric == {1: (pytest.approx(0.2), 3), 2: (pytest.approx(0.3), 3)}


def test_trouble_is_remembered_with_what_was_known(tmp_path: Path) -> None:
    gatherer = Gatherer(tmp_path, tmp_path / "blobs")
    gatherer.found["risk"] = Gathered(requests=5)
    (tmp_path / "risk").write_text("a file where a folder belongs")
    asyncio.run(gatherer.gather([Endpoint("risk")]))
    assert gatherer.found["risk"].requests == 5 and "FileExistsError" in gatherer.found["risk"].error


def test_it_runs_when_it_is_time_and_there_is_something(tmp_path: Path) -> None:
    capture(tmp_path, "risk")
    now = 1_000_000.0

    async def main() -> None:
        nonlocal now
        gatherer = Gatherer(tmp_path, tmp_path / "blobs", clock=lambda: now)
        endpoints = [Endpoint("risk"), Endpoint("quiet")]
        gatherer.look(endpoints)
        gatherer.look(endpoints)
        running = [task for task in asyncio.all_tasks() if task.get_name() == "captured traffic"]
        assert len(running) == 1
        await running[0]
        assert gatherer.found["risk"].requests == 6 and "quiet" not in gatherer.found
        now += 61
        gatherer.look(endpoints)
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "captured traffic"], "nothing waits"
        now += 3600
        gatherer.look(endpoints)
        await gatherer.close()
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "captured traffic"]

    asyncio.run(main())


def test_alarms_that_nobody_took_are_tried_again_and_watched_traffic_has_less_patience(tmp_path: Path) -> None:
    now = 1_000_000.0

    async def main() -> None:
        nonlocal now
        gatherer = Gatherer(tmp_path, tmp_path / "blobs", clock=lambda: now)
        (tmp_path / "risk").mkdir()
        gatherer.look([Endpoint("risk")])
        await gatherer.close()
        gatherer.found["risk"] = Gathered(drift=DriftView((DriftOf(1),), waiting=1))
        now += 61
        gatherer.look([Endpoint("risk"), Endpoint("quiet")])
        running = [task for task in asyncio.all_tasks() if task.get_name() == "captured traffic"]
        assert len(running) == 1
        await running[0]
        assert gatherer.found["risk"].drift == DriftView(), "no revision of it is watched any more"

    asyncio.run(main())


def test_what_could_not_be_looked_at_keeps_what_was_known(tmp_path: Path) -> None:
    gatherer = Gatherer(tmp_path, tmp_path / "blobs")
    known = DriftView((DriftOf(1, rows=5),))
    gatherer.found["risk"] = Gathered(drift=known)
    folder = FolderArtifactStore(tmp_path / "blobs")
    said = package(folder, {"baseline.json": {"fairway": "baseline"}})
    folder.put("watch/risk", json.dumps({"version": 1, "consumed": []}).encode(), if_absent=False)
    revision = Revision(1, ServeSpec("m", {"digest": said["package"]}))
    asyncio.run(gatherer.gather([Endpoint("risk", revisions=(revision,), traffic=((1, 100.0),))]))
    drift = gatherer.found["risk"].drift
    assert drift.revisions == known.revisions and "KeyError" in drift.error and gatherer.found["risk"].error == ""
