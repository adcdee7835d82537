"""Traffic held to what the model was trained on: alarms are raised, cleared, kept and told, whatever is killed meanwhile."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fairway.data.drift import Baseline
from fairway.serve.feedback import compact as compacting
from fairway.serve.feedback import watching
from fairway.serve.feedback.compact import compact, read_manifest
from fairway.serve.feedback.watching import read_state, report_key, wanted, watch
from fairway.spec.endpoint import Capture
from fairway.step.folder import FolderArtifactStore
from tests.serve.feedback.watchrig import NOW, SCHEMA, WINDOW, baseline, package, rows, send

OPEN = Capture(max_bytes=0, max_age_s=0)
OTHERS = (0.8, 0.1, 0.1)


@pytest.fixture(scope="module")
def known() -> Baseline:
    return baseline()


@pytest.fixture
def store(tmp_path: Path) -> FolderArtifactStore:
    return FolderArtifactStore(tmp_path / "blobs")


@pytest.fixture
def revisions(store: FolderArtifactStore, known: Baseline) -> dict[int, Any]:
    said = package(store, {"schema.json": SCHEMA, "baseline.json": known.to_json()})
    return wanted(store, {"1": said})  # type: ignore[return-value]


def look(spool: Path, store: Any, revisions: dict[int, Any], now: float = NOW) -> dict[str, Any]:
    compact(spool, store, "risk", OPEN, watched=True, now=now)
    return watch(spool, store, "risk", revisions, now=now)


def told(state: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(one["kind"], one["column"], one["state"]) for one in state["alarms"]]


def view(state: dict[str, Any], number: int = 1) -> dict[str, Any]:
    return state["revisions"][str(number)]["view"]


def test_clean_traffic_is_quiet_and_what_changes_raises_and_clears(tmp_path: Path, store: Any, revisions: dict[int, Any]) -> None:
    send(tmp_path, rows(10 * WINDOW, 1))
    state = look(tmp_path, store, revisions)
    assert told(state) == [] and view(state)["rows"] == 10 * WINDOW and view(state)["windows"] == 10
    send(tmp_path, rows(3 * WINDOW, 2, weights=OTHERS), begin=NOW + 1000, prefix="r")
    state = look(tmp_path, store, revisions)
    assert told(state) == [("drift", "education", "raised")]
    assert state["alarms"][0]["message"].startswith("`education`: 'university' is less frequent")
    assert [one["column"] for one in view(state)["active"]] == ["education"]
    first = view(state)["facets"][0]
    assert first["key"] == "education" and first["active"] and len(first["before"]) == len(first["now"]) == len(first["labels"])
    send(tmp_path, rows(6 * WINDOW, 3), begin=NOW + 2000, prefix="s")
    state = look(tmp_path, store, revisions)
    assert told(state) == [("drift", "education", "raised"), ("drift", "education", "cleared")]
    assert view(state)["active"] == []


def test_rows_that_the_server_refuses_are_traffic_too(tmp_path: Path, store: Any, revisions: dict[int, Any]) -> None:
    send(tmp_path, rows(3 * WINDOW, 2, factor=1000.0))
    assert {("too-large", "limit", "raised"), ("drift", "limit", "raised")} <= set(told(look(tmp_path, store, revisions)))


def test_the_page_about_the_last_rows_stands_by_itself(tmp_path: Path, store: Any, revisions: dict[int, Any]) -> None:
    send(tmp_path, rows(3 * WINDOW, 2, weights=OTHERS))
    look(tmp_path, store, revisions)
    page = store.get(report_key("risk", 1)).decode()
    assert "education" in page and "the last 200 rows" in page and "<html" in page


def test_a_few_rows_wait_for_others_and_not_for_ever(tmp_path: Path, store: Any, revisions: dict[int, Any]) -> None:
    send(tmp_path, rows(40, 2))
    state = look(tmp_path, store, revisions)
    assert view(state)["rows"] == 40 and view(state)["filled"] == 40 and view(state)["checked_at"] == 0
    state = look(tmp_path, store, revisions, now=NOW + 7200)
    assert view(state)["checked_at"] == NOW + 7200 and view(state)["filled"] == 40 and state["revisions"]["1"]["held"] == []


def test_each_revision_is_held_to_its_own(tmp_path: Path, store: Any, revisions: dict[int, Any]) -> None:
    both = {**revisions, 2: revisions[1]}
    send(tmp_path, rows(3 * WINDOW, 1))
    send(tmp_path, rows(3 * WINDOW, 2, weights=OTHERS), revision=2, prefix="r")
    send(tmp_path, rows(3 * WINDOW, 3, weights=OTHERS), revision=3, prefix="s")
    state = look(tmp_path, store, both)
    assert [(one["revision"], one["column"]) for one in state["alarms"]] == [(2, "education")]
    assert view(state, 2)["rows"] == view(state, 1)["rows"] == 3 * WINDOW


def test_a_package_without_a_baseline_is_not_watched(tmp_path: Path, store: Any) -> None:
    plain = package(store, {"fairway-model.json": {}, "schema.json": SCHEMA})
    checked = package(store, {"fairway-model.json": {"data_schema": True}, "schema.json": SCHEMA})
    assert list(wanted(store, {"1": plain, "2": checked, "3": {"package": "00" * 32}})) == [2]
    send(tmp_path, rows(2 * WINDOW, 1, factor=1000.0), revision=2)
    state = look(tmp_path, store, wanted(store, {"2": checked}))  # type: ignore[arg-type]
    assert told(state) == [("too-large", "limit", "raised")] and not view(state, 2)["has_baseline"]


def test_predictions_are_held_to_the_baseline_that_has_some(tmp_path: Path, store: Any) -> None:
    said = package(store, {"schema.json": SCHEMA, "baseline.json": baseline(predictions=True).to_json()})
    sent = rows(3 * WINDOW, 1)
    send(tmp_path, sent, answers=[int(row["limit"] > 200_000) for row in sent])
    revisions = {1: said}
    assert told(look(tmp_path, store, revisions)) == []
    send(tmp_path, rows(3 * WINDOW, 2), answers=[1] * 3 * WINDOW, begin=NOW + 1000, prefix="r")
    assert told(look(tmp_path, store, revisions)) == [("drift", "prediction", "raised")]


def test_truth_that_comes_later_tells_when_the_model_is_wrong_more_often(tmp_path: Path, store: Any, revisions: dict[int, Any]) -> None:
    import asyncio

    from fairway.serve.feedback.spool import Spool

    def feedback(prefix: str, count: int, wrong: int) -> None:
        spool = Spool(tmp_path)
        labels = [{"id": f"{prefix}{place}", "label": int(place % 10 < wrong), "at": NOW} for place in range(count)]
        asyncio.run(spool.write_durably("risk", *labels))
        spool.close_now()

    send(tmp_path, rows(1_000, 1), each=1)
    feedback("q", 1_000, 1)
    state = look(tmp_path, store, revisions)
    assert told(state) == [] and view(state)["labels"] == 1_000
    send(tmp_path, rows(600, 2), begin=NOW + 1000, prefix="r", each=1)
    feedback("r", 600, 6)
    state = look(tmp_path, store, revisions)
    assert told(state) == [("concept", "", "raised")] and "errors rose" in state["alarms"][0]["message"]
    assert [one["kind"] for one in view(state)["active"]] == ["concept"]
    assert [one["kind"] for one in view(look(tmp_path, store, revisions))["active"]] == ["concept"]


class Killed(BaseException):
    pass


class Mortal:
    """A store at whose `left`-th write the process dies: before it, or right after."""

    def __init__(self, store: FolderArtifactStore, left: int, *, after: bool) -> None:
        self.store, self.left, self.after = store, left, after

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.store, name)
        return self._count(found) if name in ("put", "delete") else found

    def _count(self, do: Any) -> Any:
        def done(*args: Any, **more: Any) -> Any:
            self.left -= 1
            if self.left == 0 and not self.after:
                raise Killed
            made = do(*args, **more)
            if self.left == 0:
                raise Killed
            return made

        return done


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_write_no_row_counts_twice_and_none_is_passed_over(
    tmp_path: Path, known: Baseline, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compacting, "_MERGED", 2)
    batches = [rows(150, 1), rows(500, 2, weights=OTHERS), rows(90, 3), rows(800, 4)]

    def go(folder: Path, left: int) -> tuple[dict[str, Any], bool]:
        store = FolderArtifactStore(folder / "blobs")
        said = package(store, {"schema.json": SCHEMA, "baseline.json": known.to_json()})
        mortal: Any = Mortal(store, left, after=after)
        was_killed = False
        for place, sent in enumerate(batches):
            send(folder, sent, begin=NOW + 1000 * place, prefix=f"{place}-")
            try:
                look(folder, mortal, {1: said}, now=NOW + 1000 * place)
            except Killed:
                was_killed = True
        look(folder, store, {1: said}, now=NOW + 1000 * len(batches))
        state = look(folder, store, {1: said}, now=NOW + 1000 * len(batches))
        assert read_manifest(store, "risk").fresh == () and state["consumed"] == []
        return state, was_killed

    whole, _ = go(tmp_path / "whole", -1)
    assert Counter(told(whole)) == {("drift", "education", "raised"): 1, ("drift", "education", "cleared"): 1}
    for left in range(1, 60):
        state, was_killed = go(tmp_path / str(left), left)
        assert view(state)["rows"] == 1540 and view(state)["requests"] == 154
        assert Counter(told(state)) == Counter(told(whole)), left
        if not was_killed:
            break
    else:
        pytest.fail("it writes more often than that")


def test_rows_that_somebody_else_brought_in_are_watched_all_the_same(
    tmp_path: Path, store: Any, revisions: dict[int, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compacting, "_MERGED", 2)
    look(tmp_path, store, revisions)
    for place in range(4):  # as fw.traffic does
        send(tmp_path, rows(100, place), begin=NOW + place, prefix=f"{place}-")
        compact(tmp_path, store, "risk", OPEN)
    assert view(look(tmp_path, store, revisions))["rows"] == 400
    compact(tmp_path, store, "risk", OPEN, watched=True)
    assert read_manifest(store, "risk").fresh == () and len(read_manifest(store, "risk").parts) == 1


def test_rows_are_not_kept_longer_than_the_traffic(tmp_path: Path, store: Any, revisions: dict[int, Any]) -> None:
    send(tmp_path, rows(WINDOW, 1))
    look(tmp_path, store, revisions)
    assert len(read_state(store, "risk")["revisions"]["1"]["recent"]) == WINDOW
    watch(tmp_path, store, "risk", revisions, max_age_s=3600.0, now=NOW + 7200)
    assert read_state(store, "risk")["revisions"]["1"]["recent"] == []


def test_another_model_begins_anew(tmp_path: Path, store: Any, revisions: dict[int, Any]) -> None:
    send(tmp_path, rows(WINDOW, 1))
    look(tmp_path, store, revisions)
    other = package(store, {"baseline.json": baseline(predictions=True).to_json()})
    send(tmp_path, rows(WINDOW, 2), prefix="r")
    assert view(look(tmp_path, store, {1: other}))["rows"] == WINDOW


def test_without_news_nothing_is_written(tmp_path: Path, store: Any, revisions: dict[int, Any]) -> None:
    send(tmp_path, rows(WINDOW, 1))
    look(tmp_path, store, revisions)
    mortal: Any = Mortal(store, 1, after=False)
    compact(tmp_path, store, "risk", OPEN, watched=True)
    watch(tmp_path, store, "risk", revisions, now=NOW)
    compact(tmp_path, mortal, "risk", OPEN, watched=True)
    watch(tmp_path, mortal, "risk", revisions, now=NOW)
    assert json.loads(store.get(watching.state_key("risk")))["version"] == watching.VERSION


def test_without_numpy_the_page_says_so_and_files_are_merged_all_the_same(
    tmp_path: Path, store: Any, known: Baseline, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = package(store, {"schema.json": SCHEMA, "baseline.json": known.to_json()})
    wish = json.dumps({"risk": {"revisions": {"1": said}, "patience_s": 0.0}})
    words = ["--spool", str(tmp_path), "--blobs", str(store.root), "--capture", wish]
    monkeypatch.setattr(compacting, "find_spec", lambda name: None)
    send(tmp_path, rows(WINDOW, 1))
    compacting.main(words)
    line = json.loads(capsys.readouterr().out)
    assert "numpy is not installed" in line["drift"]["error"] and read_manifest(store, "risk").fresh == ()
    monkeypatch.undo()
    send(tmp_path, rows(WINDOW, 2), prefix="r")
    compacting.main(words)
    line = json.loads(capsys.readouterr().out)
    assert [one["rows"] for one in line["drift"]["revisions"]] == [WINDOW] and line["drift"]["waiting"] == 0


def test_where_the_watch_never_comes_files_do_not_stay_for_ever(
    tmp_path: Path, store: Any, revisions: dict[int, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compacting, "_FRESH", 2)
    monkeypatch.setattr(compacting, "_MERGED", 2)
    for place in range(6):
        send(tmp_path, rows(20, place), begin=NOW + place, prefix=f"{place}-")
        compact(tmp_path, store, "risk", OPEN, watched=True)
    manifest = read_manifest(store, "risk")
    assert len(manifest.fresh) == 2 and len(manifest.parts) == 3
    assert view(watch(tmp_path, store, "risk", revisions, now=NOW))["rows"] == 40


def test_many_rows_are_judged_as_they_come_and_looked_back_at(
    tmp_path: Path, store: Any, revisions: dict[int, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fairway.serve.feedback import revisionwatch

    monkeypatch.setattr(revisionwatch, "_MOST", WINDOW)
    send(tmp_path, rows(4 * WINDOW, 1))
    state = look(tmp_path, store, revisions)
    assert view(state)["checked_at"] == NOW and view(state)["windows"] == 4 and state["revisions"]["1"]["held"] == []
    assert "the last 200 rows" in store.get(report_key("risk", 1)).decode()
