"""Alarms of an endpoint are sent at least once, and by nothing that whoever deploys could abuse."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from fairway.errors import ConfigError
from fairway.serve.feedback.telling import parse, tell
from fairway.serve.feedback.watching import read_state, write_state
from fairway.step.folder import FolderArtifactStore

ALARM = {
    "id": "drift:x:1", "at": "2026-11-28T10:00:00+00:00", "kind": "drift", "column": "x", "severity": "error", "message": "`x` is higher",
    "value": 0.5, "threshold": 0.1, "state": "raised", "revision": 1,
}  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> FolderArtifactStore:
    return FolderArtifactStore(tmp_path / "blobs")


def leave(store: FolderArtifactStore, *ids: str) -> None:
    state = read_state(store, "risk")
    write_state(store, "risk", {**state, "untold": [*state["untold"], *({**ALARM, "id": one} for one in ids)]})


def hook(folder: Path, text: str) -> tuple[str, Path]:
    """A program that gets the alarms, and where it leaves them."""
    script, out = folder / "hook.py", folder / "told.ndjson"
    script.write_text(f"import sys, pathlib\nout = pathlib.Path({str(out)!r})\n{text}\n")
    return f"command:{sys.executable} {script}", out


WRITES = "with out.open('a') as file:\n    print(sys.stdin.read(), file=file)"


def got(path: Path) -> list[str]:
    return [one["id"] for line in path.read_text().splitlines() for one in json.loads(line)["alarms"]] if path.exists() else []


def test_each_alarm_is_told_once(tmp_path: Path, store: FolderArtifactStore) -> None:
    target, out = hook(tmp_path, WRITES)
    leave(store, "a", "b")
    assert tell(tmp_path, store, "risk", [target], is_local=True) == {"waiting": 0, "problem": ""}
    assert got(out) == ["a", "b"] and read_state(store, "risk")["untold"] == []
    assert json.loads(out.read_text().splitlines()[0])["source"] == "risk"
    tell(tmp_path, store, "risk", [target], is_local=True)
    assert got(out) == ["a", "b"]


def test_what_is_not_taken_waits_and_is_told_later(tmp_path: Path, store: FolderArtifactStore) -> None:
    target, out = hook(tmp_path, f"if not out.with_name('open').exists(): sys.exit('closed')\n{WRITES}")
    leave(store, "a")
    found = tell(tmp_path, store, "risk", [target], is_local=True)
    assert found["waiting"] == 1 and "closed" in found["problem"] and got(out) == []
    (tmp_path / "open").touch()
    leave(store, "b")
    assert tell(tmp_path, store, "risk", [target], is_local=True)["waiting"] == 0
    assert sorted(got(out)) == ["a", "b"]


def test_killed_before_the_state_is_written_it_tells_again(
    tmp_path: Path, store: FolderArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fairway.serve.feedback import telling

    target, out = hook(tmp_path, WRITES)
    leave(store, "a")

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(telling, "write_state", killed)
        with pytest.raises(KeyboardInterrupt):
            tell(tmp_path, store, "risk", [target], is_local=True)
    tell(tmp_path, store, "risk", [target], is_local=True)
    assert set(got(out)) == {"a"}


def test_where_nobody_is_told_nothing_waits(tmp_path: Path, store: FolderArtifactStore) -> None:
    leave(store, "a")
    assert tell(tmp_path, store, "risk", [], is_local=True) == {"waiting": 0, "problem": ""}
    assert read_state(store, "risk")["untold"] == []


def test_on_a_server_no_program_starts_and_no_variable_of_it_leaves(tmp_path: Path, store: FolderArtifactStore) -> None:
    variables = {"FAIRWAY_NOTIFY_SLACK": "hooks.example.org/x", "SECRET": "s3cret"}
    with pytest.raises(ConfigError, match="a server starts no programs"):
        parse(["command:rm -rf /"], is_local=False, variables=variables)
    with pytest.raises(ConfigError, match="SECRET is not set") as raised:
        parse(["https://evil.example.org/${SECRET}"], is_local=False, variables=variables)
    assert "FAIRWAY_NOTIFY_" in raised.value.hint
    assert len(parse(["slack+https://${FAIRWAY_NOTIFY_SLACK}"], is_local=False, variables=variables)) == 1
    assert len(parse(["https://mine.example.org/${SECRET}"], is_local=True, variables=variables)) == 1
    leave(store, "a")
    found = tell(tmp_path, store, "risk", ["command:true"], is_local=False)
    assert found["waiting"] == 1 and "starts no programs" in found["problem"]
    assert len(read_state(store, "risk")["untold"]) == 1
