"""Every store keeps the promises of its port."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fairway.spec.attempt import AttemptItem, AttemptSpec, Input, attempt_id
from fairway.spec.graph import Port, StepDef
from fairway.spec.ports import run_now
from fairway.step import folder
from fairway.step.folder import FolderArtifactStore, FolderStreamStore
from fairway.store.postgres import PostgresJournal
from fairway.store.sqlite import SqliteJournal
from fairway.testing.contracts import ArtifactStoreContract, ExecutorContract, JournalContract, StreamStoreContract
from fairway.testing.contracts.executor import ExecutorSubject
from fairway.testing.memory import MemoryArtifactStore, MemoryJournal, MemoryStreamStore
from fairway.testing.scripted import Call, ScriptedExecutor


class TestSqliteJournal(JournalContract):
    @pytest.fixture
    def journal(self, tmp_path: Path) -> Iterator[SqliteJournal]:
        journal = SqliteJournal(tmp_path / "home" / "fairway.db")
        yield journal
        run_now(journal.close())


class TestPostgresJournal(JournalContract):
    @pytest.fixture
    def journal(self, postgres_url: str) -> Iterator[PostgresJournal]:
        journal = PostgresJournal(postgres_url)
        yield journal
        run_now(journal.close())


class TestMemoryJournal(JournalContract):
    @pytest.fixture
    def journal(self) -> MemoryJournal:
        return MemoryJournal()


class TestFolderArtifactStore(ArtifactStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> FolderArtifactStore:
        return FolderArtifactStore(tmp_path / "home" / "blobs")


class TestFolderArtifactStoreThatSurvivesAPowerCut(ArtifactStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> FolderArtifactStore:
        return FolderArtifactStore(tmp_path / "home" / "blobs", durability="power")


class TestFolderArtifactStoreWithoutHardLinks(ArtifactStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderArtifactStore:
        def refuse(*args: object, **kwargs: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(folder.os, "link", refuse)
        return FolderArtifactStore(tmp_path / "home" / "blobs")

    # There are no other names on such a file system; a class attribute that is no function is no test.
    test_a_taken_file_cannot_be_changed_through_another_name = None  # type: ignore[assignment]


class TestMemoryArtifactStore(ArtifactStoreContract):
    @pytest.fixture
    def store(self) -> MemoryArtifactStore:
        return MemoryArtifactStore()


class TestFolderStreamStore(StreamStoreContract):
    @pytest.fixture
    def streams(self, tmp_path: Path) -> FolderStreamStore:
        return FolderStreamStore(tmp_path / "home" / "streams")


class TestMemoryStreamStore(StreamStoreContract):
    @pytest.fixture
    def streams(self) -> MemoryStreamStore:
        return MemoryStreamStore()


class TestScriptedExecutor(ExecutorContract):
    @pytest.fixture
    def subject(self) -> ExecutorSubject:
        def compute(call: Call) -> int:
            if call.inputs["x"] == -1:
                raise ValueError("x must not be -1")
            return call.inputs["x"] + 1

        def make(n: int, inputs: dict[str, Input], items: tuple[AttemptItem, ...]) -> AttemptSpec:
            step = StepDef("step", inputs=(Port("x", "int"),))
            return AttemptSpec(attempt_id("r", "step", n), "r", "step", n, step, "", items, inputs)

        store = MemoryArtifactStore()
        return ExecutorSubject(ScriptedExecutor(store, compute), store, make)
