"""What leaves a machine while an attempt runs arrives once and in order, whatever is sent twice, lost or cut."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.errors import InfraError
from fairway.spec.layout import STREAMS
from fairway.step import shipping
from fairway.step.folder import FolderStreamStore
from fairway.step.shipping import CheckpointShipper, StreamShipper


class Ledger:
    """The server's side of the channel, with replies that may get lost. `lost`: for each call, whether its reply does."""

    def __init__(self, lost: list[bool] | None = None) -> None:
        self.streams: dict[str, bytes] = {}
        self.files: dict[str, bytes] = {}
        self.calls: list[tuple[str, str]] = []
        self._lost = lost or []

    def _reply(self) -> None:
        if self._lost and self._lost.pop():
            raise InfraError("no reply")

    def append(self, id: str, kind: str, offset: int, data: bytes) -> int:
        there = self.streams.get(kind, b"")
        if offset <= len(there):
            self.streams[kind] = there + data[len(there) - offset :]
        self._reply()
        return len(self.streams.get(kind, b""))

    def put_checkpoint(self, id: str, path: str, file: BinaryIO) -> None:
        self.files[path] = file.read()
        self.calls.append(("put", path.partition("/")[2]))
        self._reply()

    def delete_checkpoint(self, id: str, path: str) -> None:
        self.files.pop(path, None)
        self.calls.append(("delete", path.partition("/")[2]))

    def list_checkpoint(self, id: str) -> list[dict[str, Any]]:
        return [{"path": path, "size": len(data), "sha256": ""} for path, data in self.files.items()]

    def get_checkpoint(self, id: str, path: str, file: BinaryIO, digest: str) -> None:
        file.write(self.files[path])


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=12), st.lists(st.booleans(), max_size=30), st.data())
def test_a_stream_arrives_once_and_in_order_whatever_is_lost(pieces: list[bytes], lost: list[bool], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as home:
        ledger, streams = Ledger(lost), FolderStreamStore(f"{home}/{STREAMS}")
        shipper = StreamShipper(ledger, home, "r", "a-1")  # type: ignore[arg-type]
        for piece in pieces:
            streams.append("r/a-1/log", piece)
            if data.draw(st.booleans(), label="killed"):
                shipper = StreamShipper(ledger, home, "r", "a-1")  # type: ignore[arg-type]
            try:
                shipper.ship(all=True)
            except InfraError:
                continue
        while True:
            try:
                shipper.ship(all=True)
                break
            except InfraError:
                continue
        assert ledger.streams.get("log", b"") == b"".join(pieces)


def test_a_server_that_has_lost_a_part_gets_it_again(tmp_path: Path) -> None:
    ledger, streams = Ledger(), FolderStreamStore(tmp_path / STREAMS)
    shipper = StreamShipper(ledger, str(tmp_path), "r", "a-1")  # type: ignore[arg-type]
    streams.append("r/a-1/log", b"one two ")
    shipper.ship(all=True)
    ledger.streams["log"] = b"one "
    streams.append("r/a-1/log", b"three")
    shipper.ship(all=True)
    assert ledger.streams["log"] == b"one two three"


def test_a_new_disk_goes_on_behind_what_an_earlier_one_has_left(tmp_path: Path) -> None:
    ledger, streams = Ledger(), FolderStreamStore(tmp_path / STREAMS)
    ledger.streams["log"] = b"before "
    shipper = StreamShipper(ledger, str(tmp_path), "r", "a-1", {"log": 7})  # type: ignore[arg-type]
    streams.append("r/a-1/log", b"after")
    shipper.ship(all=True)
    assert ledger.streams["log"] == b"before after"


class Task:
    """A task's checkpoint folder on one machine, and the way from there."""

    def __init__(self, home: Path, ledger: Ledger) -> None:
        self.shipper = CheckpointShipper(ledger, str(home), "r", "a-1", ["train"])  # type: ignore[arg-type]
        (name,) = self.shipper._folders
        self.folder = home / "checkpoints" / "r" / name

    def save(self, value: str) -> None:
        """As `fw.checkpoint.save`: bytes, then the pointer, then the old bytes go."""
        saved = self.folder / ".saved" / "sha256"
        old = set(saved.rglob("*")) if saved.exists() else set()
        digest = value.encode().hex().ljust(64, "0")[:64]
        (saved / digest[:2]).mkdir(parents=True, exist_ok=True)
        (saved / digest[:2] / digest[2:]).write_text(value)
        (self.folder / ".saved.json").write_text(f'{{"digest": "{digest}"}}')
        for path in old:
            if path.is_file() and path.name != digest[2:]:
                path.unlink()


def test_a_saved_value_is_never_half_there(tmp_path: Path) -> None:
    ledger = Ledger()
    task = Task(tmp_path, ledger)
    task.save("first")
    task.shipper.ship(all=True)
    assert [kind for kind, _ in ledger.calls] == ["put", "put"] and ledger.calls[-1] == ("put", ".saved.json")
    task.save("second")
    task.shipper.ship(all=True)
    assert ledger.calls[3] == ("put", ".saved.json") and ledger.calls[-1][0] == "delete", (
        "the old bytes go when nothing on the server points at them"
    )
    elsewhere = Task(tmp_path / "elsewhere", ledger)
    elsewhere.shipper.restore()
    files = {path.relative_to(elsewhere.folder).as_posix(): path.read_text() for path in elsewhere.folder.rglob("*") if path.is_file()}
    assert sorted(files.values(), key=len)[0] == "second" and len(files) == 2


def test_a_pointer_waits_for_bytes_whose_arrival_nobody_confirmed(tmp_path: Path) -> None:
    ledger = Ledger(lost=[True])
    task = Task(tmp_path, ledger)
    task.save("first")
    with pytest.raises(InfraError):
        task.shipper.ship(all=True)
    assert ".saved.json" not in [name for _, name in ledger.calls]
    task.shipper.ship(all=True)
    assert ledger.calls[-1] == ("put", ".saved.json")


def test_what_has_not_changed_is_not_sent_again(tmp_path: Path) -> None:
    ledger = Ledger()
    task = Task(tmp_path, ledger)
    task.folder.mkdir(parents=True)
    (task.folder / "notes.txt").write_text("a")
    task.shipper.ship(all=True)
    task.shipper.ship(all=True)
    assert ledger.calls == [("put", "notes.txt")]
    (task.folder / "notes.txt").unlink()
    task.shipper.ship(all=True)
    assert ledger.files == {}


def test_a_file_that_is_still_written_waits_until_it_rests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping, "_CHECKPOINTS_EVERY_S", 0.0)
    ledger = Ledger()
    task = Task(tmp_path, ledger)
    task.folder.mkdir(parents=True)
    for text in ("a", "ab", "abc"):
        (task.folder / "weights.bin").write_text(text)
        task.shipper.ship()
    assert ledger.files == {}
    task.shipper.ship()
    assert list(ledger.files.values()) == [b"abc"]


def test_nothing_is_restored_outside_the_tasks_own_folder(tmp_path: Path) -> None:
    ledger = Ledger()
    task = Task(tmp_path, ledger)
    name = task.folder.name
    ledger.files = {f"{name}/good": b"1", "other/bad": b"2", f"{name}/../../../bad": b"3"}
    task.shipper.restore()
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["good"]
