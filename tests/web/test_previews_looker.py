"""Looking into artifacts by processes of their own: what they see is kept, and whatever becomes of them the server goes on."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from fairway.errors import NotFoundError
from fairway.spec.artifact import blob_key
from fairway.step.folder import FolderArtifactStore
from fairway.testing.memory import MemoryArtifactStore
from fairway.web.previews.kept import Kept
from fairway.web.previews.looker import Looker, Subject

SHELL = ("/bin/sh", "-c")


def put(store: Any, data: bytes, name: str = "") -> Subject:
    digest = hashlib.sha256(data).hexdigest()
    store.put(blob_key(digest), data)
    return Subject(digest, len(data), None, name)


@pytest.fixture
def store(tmp_path: Path) -> FolderArtifactStore:
    return FolderArtifactStore(tmp_path / "blobs")


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_one_process_answers_several_looks_and_ends_with_the_looker(tmp_path: Path, store: FolderArtifactStore) -> None:
    looker = Looker(str(tmp_path), store)
    assert looker.look("value", put(store, b'{"a": [1, NaN]}'))["value"] == {"a": [1, None]}
    (eye, _), *others = looker._idle
    assert looker.look("text", put(store, b"a\nb\n"))["lines"] == ["a", "b"]
    assert (looker._idle[0][0], others) == (eye, [])
    pid = eye._process.pid
    looker.close()
    assert not is_there(pid)


def test_what_was_seen_is_kept_by_digest_and_question(tmp_path: Path, store: FolderArtifactStore) -> None:
    looker = Looker(str(tmp_path), store)
    subject = put(store, b"one\n")
    seen = looker.look("text", subject)
    looker.close()
    again = Looker(str(tmp_path), store, command=(*SHELL, "exit 1"))  # nothing can be looked at any more
    assert again.look("text", subject) == seen
    assert "broke off" in again.look("text", subject, {"hex": True})["problem"]


def test_a_problem_is_not_kept(tmp_path: Path, store: FolderArtifactStore) -> None:
    subject = put(store, b"{")
    failing = Looker(str(tmp_path), store, command=(*SHELL, "exit 1"))
    assert "problem" in failing.look("value", subject)
    working = Looker(str(tmp_path), store)
    assert working.look("value", subject)["problem"] == "this is not JSON"
    working.close()


def test_a_process_that_takes_too_long_is_killed(tmp_path: Path, store: FolderArtifactStore) -> None:
    file = tmp_path / "pid"
    looker = Looker(str(tmp_path), store, timeout_s=3.0, command=(*SHELL, f"echo $$ > {file}; exec sleep 600"))
    assert "too long" in looker.look("value", put(store, b"1"))["problem"]
    assert not is_there(int(file.read_text()))
    assert looker._idle == []


def test_a_process_that_crashes_costs_its_look_alone(tmp_path: Path, store: FolderArtifactStore) -> None:
    looker = Looker(str(tmp_path), store, command=(*SHELL, "read line; kill -SEGV $$"))
    assert f"signal {signal.SIGSEGV.value}" in looker.look("value", put(store, b"1"))["problem"]
    assert looker._idle == []


def test_one_that_died_while_it_was_idle_is_replaced(tmp_path: Path, store: FolderArtifactStore) -> None:
    looker = Looker(str(tmp_path), store)
    looker.look("value", put(store, b"1"))
    process = looker._idle[0][0]._process
    process.kill()
    process.wait()
    assert looker.look("value", put(store, b"2"))["value"] == 2
    looker.close()


def test_memory_has_a_limit(tmp_path: Path, store: FolderArtifactStore) -> None:
    rows = json.dumps({"title": "", "columns": [f"c{n}" for n in range(20)], "rows": [["some text"] * 20] * 20_000}).encode()
    subject = put(store, rows)
    small = Looker(str(tmp_path), store, memory_bytes=32 << 20)
    assert "more memory than a preview may take (32 MiB)" in small.look("rows", subject, {"form": "table"})["problem"]
    large = Looker(str(tmp_path), store)
    assert large.look("rows", subject, {"form": "table"})["total"] == 20_000
    large.close()


def test_an_answer_without_end_is_cut_off(tmp_path: Path, store: FolderArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairway.web.previews.looker._ANSWER_LIMIT_BYTES", 1 << 16)
    looker = Looker(str(tmp_path), store, command=(*SHELL, "yes | tr -d '\\n'"))
    assert "more to show" in looker.look("value", put(store, b"1"))["problem"]


def test_no_secret_of_the_server_reaches_it(tmp_path: Path, store: FolderArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIRWAY_SIGNING_KEY", "hush")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    command = 'read line; printf \'{"value": "%s"}\\n\' "$(env | grep -c hush)"'
    assert Looker(str(tmp_path), store, command=(*SHELL, command)).look("value", put(store, b"1"))["value"] == "0"


def test_a_library_that_is_missing_is_named_with_what_installs_it(
    tmp_path: Path, store: FolderArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "without").mkdir()
    for name in ("pyarrow", "numpy"):
        (tmp_path / "without" / f"{name}.py").write_text(f"raise ModuleNotFoundError(name={name!r})")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "without"))
    looker = Looker(str(tmp_path), store)
    for what, name, args in (("rows", "pyarrow", {"form": "parquet"}), ("array", "numpy", {})):
        seen = looker.look(what, put(store, b"PAR1"), args)
        assert (seen["problem"], seen["hint"]) == (f"{name} is not installed where the dashboard runs", f"pip install {name}")
    looker.close()


def test_a_store_without_files_is_read_in_parts(tmp_path: Path) -> None:
    store = MemoryArtifactStore()
    looker = Looker(str(tmp_path), store)
    text = "\n".join(f"line {n}" for n in range(40_000))
    seen = looker.look("text", put(store, text.encode()))
    assert (seen["lines"][:2], seen["complete"]) == (["line 0", "line 1"], False)
    looker.close()


def test_an_inline_value_needs_no_blob(tmp_path: Path) -> None:
    looker = Looker(str(tmp_path), MemoryArtifactStore())
    assert looker.look("value", Subject("ab" * 32, 9, '{"a": 1}'))["value"] == {"a": 1}
    with pytest.raises(NotFoundError, match="not in the store"):
        looker.look("value", Subject("cd" * 32, 9))
    looker.close()


def test_kept_answers_take_no_more_than_their_share(tmp_path: Path) -> None:
    kept = Kept(tmp_path, limit_bytes=20_000)
    for number in range(120):
        kept.keep(f"question {number}", {"noise": os.urandom(300).hex()})
        path = kept._path(f"question {number}")
        os.utime(path, (number, number))
    kept._sweep()
    assert sum(path.stat().st_size for path in tmp_path.glob("*/*")) <= 20_000
    assert kept.find("question 0") is None
    assert kept.find("question 119") is not None


def test_a_damaged_kept_answer_is_none(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.keep("question", {"a": 1})
    kept._path("question").write_bytes(b"half")
    assert kept.find("question") is None


def test_where_nothing_can_be_kept_looks_go_on(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    kept = Kept(tmp_path / "file" / "previews")
    kept.keep("question", {"a": 1})
    assert kept.find("question") is None
