"""Checkpoints between a machine and its server: whole or not at all, whatever is lost; only what is needed comes back."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from fairway.errors import InfraError, NotFoundError
from fairway.spec.attempt import AttemptItem, AttemptSpec
from fairway.spec.graph import StepDef
from fairway.step import checkpoints
from fairway.step.checkpoints import CheckpointShipper
from fairway.step.saved import (
    ELSEWHERE,
    LOST,
    WANTED,
    Held,
    Manifest,
    Policy,
    find_saved,
    folder_name,
    manifest_name,
    render_manifest,
)

TASK = hashlib.sha256(b"train").hexdigest()[:20]


class Ledger:
    """The server's side of the channel. `lost`: for each call, whether its reply is."""

    def __init__(self, lost: list[bool] | None = None) -> None:
        self.files: dict[str, bytes] = {}
        self.calls: list[tuple[str, str]] = []
        self._lost = lost or []

    def put_checkpoint(self, id: str, path: str, file: BinaryIO) -> None:
        self.files[path] = file.read()
        self.calls.append(("put", path.partition("/")[2]))
        if self._lost and self._lost.pop():
            raise InfraError("no reply")

    def delete_checkpoint(self, id: str, path: str) -> None:
        self.files.pop(path, None)
        self.calls.append(("delete", path.partition("/")[2]))

    def list_checkpoint(self, id: str, folder: str = "") -> list[dict[str, Any]]:
        def digest(path: str) -> str:
            return hashlib.sha256(self.files[path]).hexdigest() if folder and path.startswith(f"{folder}/") else ""

        return [{"path": path, "size": len(data), "sha256": digest(path)} for path, data in self.files.items()]

    def get_checkpoint(self, id: str, path: str, file: BinaryIO, digest: str) -> None:
        if path not in self.files:
            raise NotFoundError(path)
        file.write(self.files[path])
        self.calls.append(("get", path.partition("/")[2]))

    def steps(self) -> set[int]:
        """Those that a later try would find: their manifests are there."""
        return {int(path.split("-")[1]) for path in self.files if "manifest" in path}


class Machine:
    """A task's checkpoint folder on one machine, and the way from there."""

    def __init__(self, home: Path, ledger: Ledger, n: int = 1) -> None:
        step = StepDef("train", "m", "train")
        spec = AttemptSpec(f"a-{n}", "r", "train", n, step, "", items=(AttemptItem("train"),))
        self.said: list[str] = []
        self.shipper = CheckpointShipper(ledger, str(home), spec, self.said.append)  # type: ignore[arg-type]
        self.folder, self.n, self.count = home / "checkpoints" / "r" / TASK, n, 0

    def save(
        self, step: int, last: int = 3, parts: int = 0, ranks: tuple[int, ...] = (0,), metrics: dict[str, float] | None = None
    ) -> Path:
        """As `fw.checkpoint.save`."""
        self.count += 1
        path = self.folder / folder_name(step, self.n, self.count)
        path.mkdir(parents=True, exist_ok=True)
        for rank in ranks:
            prefix = f"{rank:05d}." if parts else ""
            files: dict[str, Held] = {}
            for name in (f"{prefix}tensors-00000.safetensors", f"{prefix}tree.json"):
                data = f"{step} {name}".encode()
                (path / name).write_bytes(data)
                files[name] = Held(len(data), hashlib.sha256(data).hexdigest())
            made = Manifest(
                step, self.n, self.count, rank, parts or 1, bool(parts), 1.0, metrics or {}, Policy(last, "auc" if metrics else ""), files
            )
            (path / manifest_name(rank, parts or 1, bool(parts))).write_bytes(render_manifest(made))
        return path

    def drop(self, path: Path) -> None:
        for file in path.iterdir():
            file.unlink()
        path.rmdir()

    def here(self) -> list[str]:
        return sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file())


def test_a_manifest_goes_last_and_leaves_first(tmp_path: Path) -> None:
    ledger = Ledger()
    machine = Machine(tmp_path, ledger)
    first = machine.save(1)
    machine.shipper.ship(all=True)
    assert [kind for kind, _ in ledger.calls] == ["put"] * 3 and ledger.calls[-1] == ("put", f"{first.name}/manifest.json")
    machine.save(2)
    machine.drop(first)
    machine.shipper.ship(all=True)
    assert ledger.calls[5][1].endswith("manifest.json") and ledger.calls[6] == ("delete", f"{first.name}/manifest.json")
    assert ledger.steps() == {2} and len(ledger.files) == 3


def test_a_manifest_waits_for_files_whose_arrival_nobody_confirmed(tmp_path: Path) -> None:
    ledger = Ledger(lost=[True])
    machine = Machine(tmp_path, ledger)
    machine.save(1)
    with pytest.raises(InfraError):
        machine.shipper.ship(all=True)
    assert ledger.steps() == set()
    machine.shipper.ship(all=True)
    assert ledger.steps() == {1}


def test_what_is_still_being_written_is_not_sent(tmp_path: Path) -> None:
    ledger = Ledger()
    machine = Machine(tmp_path, ledger)
    (machine.save(1) / "manifest.json").unlink()
    machine.shipper.ship(all=True)
    assert ledger.calls == []


def test_a_later_try_gets_the_newest_and_the_best_only(tmp_path: Path) -> None:
    ledger = Ledger()
    first = Machine(tmp_path / "one", ledger)
    for step, auc in enumerate((0.5, 0.9, 0.6, 0.7)):
        first.save(step, metrics={"auc": auc})
    first.shipper.ship(all=True)
    second = Machine(tmp_path / "two", ledger, n=2)
    second.shipper.restore()
    assert {path.partition("/")[0] for path in second.here()} == {folder_name(3, 1, 4), folder_name(1, 1, 2)}
    assert len(second.here()) == 6


def test_what_nobody_brought_back_goes_when_the_policy_drops_it(tmp_path: Path) -> None:
    ledger = Ledger()
    first = Machine(tmp_path / "one", ledger)
    for step in range(3):
        first.save(step)
    torn = first.save(3)
    first.shipper.ship(all=True)
    del ledger.files[f"{TASK}/{torn.name}/manifest.json"]  # the node was lost before it came
    second = Machine(tmp_path / "two", ledger, n=2)
    second.shipper.restore()
    second.save(4, last=2)
    second.shipper.ship(all=True)
    assert ledger.steps() == {2, 4} and len(ledger.files) == 6


def test_a_damaged_one_is_passed_over_aloud(tmp_path: Path) -> None:
    ledger = Ledger()
    first = Machine(tmp_path / "one", ledger)
    first.save(1)
    bad = first.save(2)
    first.shipper.ship(all=True)
    ledger.files[f"{TASK}/{bad.name}/tree.json"] = b"2 tree.jsoN"
    second = Machine(tmp_path / "two", ledger, n=2)
    second.shipper.restore()
    assert {path.partition("/")[0] for path in second.here()} == {folder_name(1, 1, 1)}
    assert second.said == ["the checkpoint of step 2 is damaged and is not used: tree.json is not what its manifest says"]


def test_parts_of_ranks_on_several_machines_make_one_checkpoint(tmp_path: Path) -> None:
    ledger = Ledger()
    one, two = Machine(tmp_path / "one", ledger), Machine(tmp_path / "two", ledger)
    for step in (1, 2):
        one.save(step, parts=2, ranks=(0,))
        one.shipper.ship(all=True)
    two.save(1, parts=2, ranks=(1,))
    two.shipper.ship(all=True)
    next_one = Machine(tmp_path / "three", ledger, n=2)
    next_one.shipper.restore()
    assert {path.partition("/")[0] for path in next_one.here()} == {folder_name(1, 1, 1)} and len(next_one.here()) == 6


def save_parts(tmp_path: Path, ledger: Ledger, steps: int = 2, world: int = 4) -> Path:
    """By a machine for each rank. The newest."""
    for rank in range(world):
        one = Machine(tmp_path / f"first-{rank}", ledger)
        for step in range(1, steps + 1):
            newest = one.save(step, parts=world, ranks=(rank,))
        one.shipper.ship(all=True)
    ledger.calls.clear()
    return newest


def fetched(ledger: Ledger) -> list[str]:
    """Files of states, without manifests."""
    return sorted(path.rpartition("/")[2] for kind, path in ledger.calls if kind == "get" and "manifest" not in path)


def test_each_replica_gets_the_parts_of_its_own_ranks_only(tmp_path: Path) -> None:
    ledger = Ledger()
    newest = save_parts(tmp_path, ledger)
    machine = Machine(tmp_path / "second", ledger, n=2)
    machine.shipper.restore(range(2, 4), 4)
    names = [f"{rank:05d}.{name}" for rank in (2, 3) for name in ("tensors-00000.safetensors", "tree.json")]
    assert fetched(ledger) == sorted(names)
    assert sum("manifest" in path for path in machine.here()) == 4 and find_saved(str(machine.folder))[0].complete
    ledger.calls.clear()
    wanted = machine.folder / f"{WANTED}{newest.name}"
    wanted.parent.mkdir()
    wanted.touch()
    machine.shipper.ship(all=True)
    assert sum("manifest" not in path and "." in path for path in machine.here()) == 8 and len(fetched(ledger)) == 4
    assert not wanted.exists() and not (machine.folder / newest.name / ELSEWHERE).exists()


def test_another_number_of_ranks_gets_all_parts(tmp_path: Path) -> None:
    ledger = Ledger()
    save_parts(tmp_path, ledger)
    machine = Machine(tmp_path / "second", ledger, n=2)
    machine.shipper.restore(range(1), 2)
    assert len(fetched(ledger)) == 8 and not list(machine.folder.glob(f"*/{ELSEWHERE}"))


def test_a_part_that_is_damaged_on_the_server_is_so_for_every_replica(tmp_path: Path) -> None:
    ledger = Ledger()
    newest = save_parts(tmp_path, ledger)
    ledger.files[f"{TASK}/{newest.name}/00003.tree.json"] = b"2 00003.tree.jsoN"
    for rank in range(4):
        machine = Machine(tmp_path / f"second-{rank}", ledger, n=2)
        machine.shipper.restore(range(rank, rank + 1), 4)
        assert [one.step for one in find_saved(str(machine.folder))] == [1]
        assert machine.said == ["the checkpoint of step 2 is damaged and is not used: 00003.tree.json is not what its manifest says"]


def test_parts_that_cannot_be_had_any_more_are_said_to_be_lost(tmp_path: Path) -> None:
    ledger = Ledger()
    newest = save_parts(tmp_path, ledger)
    machine = Machine(tmp_path / "second", ledger, n=2)
    machine.shipper.restore(range(1), 4)
    del ledger.files[f"{TASK}/{newest.name}/00003.tree.json"]
    wanted = machine.folder / f"{WANTED}{newest.name}"
    wanted.parent.mkdir()
    wanted.touch()
    machine.shipper.ship()
    machine.shipper.wait()
    assert (machine.folder / f"{LOST}{newest.name}").read_text() == "00003.tree.json is not what its manifest says"
    assert not wanted.exists()


def test_a_pod_that_comes_late_does_not_see_what_this_try_has_saved(tmp_path: Path) -> None:
    ledger = Ledger()
    Machine(tmp_path / "one", ledger).save(1)
    early, late = Machine(tmp_path / "two", ledger, n=2), Machine(tmp_path / "three", ledger, n=2)
    early.save(5)
    early.shipper.ship(all=True)
    late.shipper.restore()
    assert late.here() == []


def test_other_files_go_when_they_rest_and_only_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "_EVERY_S", 0.0)
    ledger = Ledger()
    machine = Machine(tmp_path, ledger)
    machine.folder.mkdir(parents=True)
    for text in ("a", "ab", "abc"):
        (machine.folder / "weights.bin").write_text(text)
        machine.shipper.ship()
        machine.shipper.wait()
    assert ledger.files == {}
    for _ in range(2):
        machine.shipper.ship()
        machine.shipper.wait()
    assert ledger.calls == [("put", "weights.bin")] and list(ledger.files.values()) == [b"abc"]
    (machine.folder / "weights.bin").unlink()
    machine.shipper.ship(all=True)
    assert ledger.files == {}


def test_what_marks_others_as_complete_goes_after_them_and_leaves_before_them(tmp_path: Path) -> None:
    ledger = Ledger()
    machine = Machine(tmp_path, ledger)
    (machine.folder / "b.part").mkdir(parents=True)
    for number, name in enumerate(("z.bin", "y.bin", "a.done", "b.part/half", "c.part")):
        (machine.folder / name).write_text(name)
        os.utime(machine.folder / name, (number, number))
    machine.shipper.ship(all=True)
    assert ledger.calls == [("put", "z.bin"), ("put", "y.bin"), ("put", "a.done")], "what is named so is not complete"
    for name in ("z.bin", "y.bin", "a.done"):
        (machine.folder / name).unlink()
    machine.shipper.ship(all=True)
    assert ledger.calls[3:] == [("delete", "a.done"), ("delete", "y.bin"), ("delete", "z.bin")]


def test_nothing_is_restored_outside_the_tasks_own_folder(tmp_path: Path) -> None:
    ledger = Ledger()
    machine = Machine(tmp_path, ledger, n=2)
    ledger.files = {f"{TASK}/good": b"1", "other/bad": b"2", f"{TASK}/../../../bad": b"3"}
    machine.shipper.restore()
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["good"]


@pytest.mark.parametrize("rank", [0, 2])
def test_what_lacks_parts_of_other_ranks_is_said_once_in_the_gang(tmp_path: Path, rank: int) -> None:
    ledger = Ledger()
    first = Machine(tmp_path / "first", ledger)
    for step, ranks in ((1, (0, 1)), (2, (0, 1, 2, 3)), (3, (0,)), (4, (0, 3))):
        first.save(step, parts=4, ranks=ranks)
    first.shipper.ship(all=True)
    second = Machine(tmp_path / "second", ledger, 2)
    second.shipper.restore((rank, rank + 1), 4)
    told = ["the checkpoint of step 4 is not whole and is not used: ranks 1 and 2 had not saved their parts"]
    assert second.said == ([] if rank else told)
    assert [one.step for one in find_saved(str(second.folder)) if one.complete] == [2]
