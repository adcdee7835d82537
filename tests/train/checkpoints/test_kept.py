"""Which checkpoints stay, which is loaded, and what happens to one that is not as it was written."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fairway.errors import DefinitionError, StoreUnavailable
from fairway.step import context
from fairway.step.saved import Manifest, Policy, Saved, best_of, dropped, folder_name, parse_manifest, render_manifest
from fairway.step.serializers.hashed import hash_file
from fairway.train.checkpoints import Checkpoints, parts
from tests.train.checkpoints.conftest import Ranks

Be = Callable[..., Checkpoints]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "a bit of the tensors": lambda path: flip(path / "tensors-00000.safetensors"),
    "a bit of the structure": lambda path: flip(path / "tree.json"),
    "a bit of the manifest": lambda path: flip(path / "manifest.json"),
    "half of the tensors": lambda path: os.truncate(path / "tensors-00000.safetensors", 100),
    "half of the manifest": lambda path: os.truncate(path / "manifest.json", 90),
    "no tensors": lambda path: (path / "tensors-00000.safetensors").unlink(),
    "nothing but the manifest": lambda path: [one.unlink() for one in path.iterdir() if one.name != "manifest.json"] and None,
    "an empty manifest": lambda path: os.truncate(path / "manifest.json", 0),
}


@pytest.mark.parametrize("size", [10, 500_000], ids=["read", "mapped"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_one_is_never_loaded_the_one_before_it_is(ranks: Ranks, damage: str, size: int) -> None:
    kept = ranks.be()
    for step in (1, 2):
        kept.save(step, {"x": np.full(size, step)})
    kept.wait()
    DAMAGES[damage](ranks.folders()[-1])
    kept = ranks.be(n=2)
    with pytest.warns(UserWarning) as said:
        assert kept.load()["x"][0] == 1
    assert kept.step == 1
    assert str(said[0].message).startswith("the checkpoint of step 2 is damaged and is not used: ")
    assert str(said[1].message) == "going on from the checkpoint of step 1, the newest that is whole"
    kept.save(3, "goes on")
    assert kept.load() == "goes on"


def test_with_none_left_it_begins_anew_and_says_so(ranks: Ranks) -> None:
    ranks.be().save(1, "x")
    flip(ranks.folders()[0] / "tree.json")
    with pytest.warns(UserWarning) as said:
        assert ranks.be(n=2).load("default") == "default"
    assert str(said[-1].message) == "no whole checkpoint is left: starting anew"


def test_a_folder_without_a_manifest_is_none_and_goes_with_the_next_save(ranks: Ranks, recwarn: pytest.WarningsRecorder) -> None:
    kept = ranks.be()
    for step in (1, 2):
        kept.save(step, step)
    (ranks.folders()[-1] / "manifest.json").unlink()
    kept = ranks.be(n=2)
    assert kept.load() == 1 and not recwarn.list
    kept.save(3, 3)
    assert [path.name for path in ranks.folders()] == [folder_name(1, 1, 1), folder_name(3, 2, 1)]


def test_the_last_and_the_best_stay(ranks: Ranks) -> None:
    kept = ranks.be()
    kept.keep(last=2, best=("auc", "max"), best_count=2)
    for step, auc in enumerate([0.5, 0.9, 0.6, 0.8, float("nan"), 0.7, 0.1]):
        kept.save(step, step, metrics={"auc": auc})
    assert [one.step for one in kept.all()] == [6, 5, 3, 1]
    best = kept.best()
    assert best is not None and (best.step, best.metrics, best.load()) == (1, {"auc": 0.9}, 1)
    assert kept.best("auc", "min").step == 6  # type: ignore[union-attr]
    assert ranks.be(n=2).best().step == 1, "the next try knows by what it was kept"  # type: ignore[union-attr]
    assert kept.latest().step == 6 and kept.best("loss", "min") is None  # type: ignore[union-attr]


def test_what_is_the_newest_is_a_matter_of_time_not_of_steps(ranks: Ranks) -> None:
    ranks.be().save(100, "first branch")
    second = ranks.be(n=2)
    second.save(60, "second branch")
    assert ranks.be(n=3).load() == "second branch"


def test_rules_are_pure() -> None:
    made = [Saved(folder_name(n, 1, n), [Manifest(n, 1, n, metrics={"m": float(n % 3)})]) for n in range(6)]
    torn = Saved(folder_name(9, 1, 9), [])
    assert [one.step for one in dropped([*made, torn], Policy(1, "m", "min"))] == [0, 1, 2, 4]
    assert [one.step for one in best_of([*made, torn], Policy(1, "m", "max", 3))] == [5, 2, 4]
    manifest = Manifest(3, 1, 2, metrics={"é": 0.1})
    assert parse_manifest(render_manifest(manifest)) == manifest
    whole = render_manifest(manifest)
    for number in range(len(whole)):
        with pytest.raises(ValueError):
            parse_manifest(whole[:number] + bytes([whole[number] ^ 4]) + whole[number + 1 :])
        with pytest.raises(ValueError):
            parse_manifest(whole[:number])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"last": 0}, "last must be a whole number from 1: 0"),
        ({"last": 1.5}, "last must be a whole number from 1: 1.5"),
        ({"best_count": 0}, "best_count must be a whole number from 1: 0"),
        ({"best": ("auc", "up")}, "best is by"),
        ({"best": "loss"}, "whether more or less of 'loss' is better has to be said"),
        ({"best": ("auc",)}, "best is a metric, and whether more of it is better"),
        ({"durability": "hope"}, "unknown durability 'hope'"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(be: Be, options: dict[str, object], says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        be().keep(**options)  # type: ignore[arg-type]


def test_which_way_is_better_is_never_guessed(be: Be) -> None:
    kept = be()
    kept.keep(best=("auc", "max"))
    kept.save(0, 0, metrics={"auc": 0.5, "loss": 2.0})
    kept.save(1, 1, metrics={"auc": 0.4, "loss": 1.0})
    with pytest.raises(DefinitionError) as refused:
        kept.best("loss")
    assert refused.value.hint == 'write fw.checkpoint.best("loss", "max") or fw.checkpoint.best("loss", "min")'
    with pytest.raises(DefinitionError, match='best is by "max" or "min", not \'less\''):
        kept.best("loss", "less")
    assert [kept.best(*asked).step for asked in ((), ("auc",), ("loss", "min"), ("", "min"))] == [0, 0, 1, 1]  # type: ignore[union-attr]
    with pytest.raises(DefinitionError) as refused:
        kept.keep(best="loss")  # type: ignore[arg-type]
    assert refused.value.hint == 'write best=("loss", "max") or best=("loss", "min")'


def test_parts_of_all_ranks_make_one_checkpoint(ranks: Ranks) -> None:
    for step in (1, 2):
        for rank in range(3):
            if (step, rank) != (2, 1):  # killed before it had saved
                ranks.be(1, rank, 3).save(step, {"rank": rank, "step": step}, sharded=True, metrics={"auc": step} if rank == 2 else None)
    for rank in range(3):
        assert ranks.be(2, rank, 3).load() == {"rank": rank, "step": 1}
    assert ranks.be(2, 0, 3).latest().metrics == {"auc": 1.0}  # type: ignore[union-attr]
    with pytest.raises(DefinitionError, match="is in 3 parts, one a rank, and there are 2 ranks now"):
        ranks.be(3, 0, 2).load()
    assert [part["rank"] for part in ranks.be(3, 1, 2).load(parts="all")] == [0, 1, 2]


def test_ranks_that_save_a_different_number_of_times_are_told_so_once(ranks: Ranks, capfd: pytest.CaptureFixture[str]) -> None:
    for step in (1, 2, 3):
        ranks.be(rank=0, world_size=3).save(step, step, sharded=True)
        ranks.be(rank=2, world_size=3).save(step, step, sharded=True)
        if step > 1:  # the one that has missed the first
            ranks.be(rank=1, world_size=3).save(step, step, sharded=True)
    said = capfd.readouterr().err.splitlines()
    assert said[0] == (
        "fairway: save number 1 of this try is of step 2 on rank 1, while ranks 0 and 2 have saved step 1: "
        "what ranks save in parts becomes a checkpoint only where all of them call save alike"
    )
    assert len(said) == len({line.partition(" on ")[2].partition(",")[0] for line in said}), "each once"
    ranks.be(n=2, rank=0, world_size=3).save(9, 9, sharded=True)
    assert not capfd.readouterr().err, "another try is another count"


def test_a_part_that_is_damaged_is_so_for_all_ranks_and_each_is_read_once(ranks: Ranks, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in (1, 2):
        for rank in range(3):
            ranks.be(1, rank, 3).save(step, {"rank": rank, "step": step}, sharded=True)
    flip(ranks.folders()[-1] / "00001.tree.json")
    read: list[str] = []
    monkeypatch.setattr(parts, "hash_file", lambda path: (read.append(path.rpartition("/")[2]), hash_file(path))[1])
    for rank in (0, 1, 2):
        with pytest.warns(UserWarning, match="the checkpoint of step 2 is damaged and is not used: the digest of 00001.tree.json"):
            assert ranks.be(2, rank, 3).load() == {"rank": rank, "step": 1}
    assert len(read) == 3, "what rank 0 has found of the others, they know"
    for step in (3, 4, 5, 6):
        for rank in range(3):
            ranks.be(2, rank, 3).save(step, step, sharded=True)
    assert [path.name for path in ranks.folders()] == [folder_name(step, 2, step - 2) for step in (3, 4, 5, 6)], "no word keeps a folder"


def test_a_manifest_of_another_checkpoint_is_none(ranks: Ranks) -> None:
    kept = ranks.be()
    for step in (1, 2):
        kept.save(step, step)
    first, second = ranks.folders()
    for name in ("manifest.json", "tree.json"):
        shutil.copy(first / name, second / name)
    with pytest.warns(UserWarning, match="the checkpoint of step 2 is damaged and is not used: manifest.json"):
        assert ranks.be(n=2).load() == 1


def test_a_clock_that_was_set_back_hides_nothing(ranks: Ranks, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as future:
        now = time.time()
        future.setattr(time, "time", lambda: now + 3600.0)
        ranks.be().save(1, "later")
    again = Ranks(ranks.home).be()  # another process of the same try
    assert again.load() == "later"
    again.save(2, "newer")
    assert [Ranks(ranks.home).be(n=2).load(), len(ranks.folders())] == ["newer", 2]


def test_a_try_that_should_be_gone_disturbs_nobody(ranks: Ranks) -> None:
    zombie, kept = ranks.be(n=1), ranks.be(n=2)
    for one, n in ((zombie, 1), (kept, 2)):
        ranks.be(n=n)
        one.keep(last=2, best=("auc", "max"))
    for step in range(6):
        ranks.be(n=1)
        zombie.save(100 + step, ("old", step), metrics={"auc": step})
        ranks.be(n=2)
        kept.save(step, ("new", step), metrics={"auc": -step})
        assert kept.load() == ("new", step)
    assert [one.load() for one in kept.all()][:2] == [("new", 5), ("new", 4)]
    assert ranks.be(n=3).load() == ("new", 5)


def test_a_folder_that_may_only_be_read_is_loaded_from_and_said(ranks: Ranks, monkeypatch: pytest.MonkeyPatch) -> None:
    for rank in (0, 1):
        ranks.be(1, rank, 2).save(1, rank, sharded=True)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    kept = ranks.be(2, 1, 2)
    for name in ("mkdir", "rename", "unlink", "rmdir"):  # as root nobody is refused
        monkeypatch.setattr(os, name, refuse)
    assert kept.load() == 1
    with pytest.raises(StoreUnavailable, match="the checkpoint of step 2 cannot be written: Read-only file system"):
        kept.save(2, 2, sharded=True)
    assert kept.load() == 1


def test_of_parts_the_last_complete_ones_stay_whoever_is_late(ranks: Ranks) -> None:
    for rank in (0, 1):
        ranks.be(1, rank, 2).keep(last=1)
    for step in range(1, 4):
        ranks.be(1, 0, 2).save(step, step, sharded=True)
    assert len(ranks.folders()) == 3, "rank 1 has saved none of them yet"
    for step in range(1, 4):
        ranks.be(1, 1, 2).save(step, step, sharded=True)
    ranks.be(1, 0, 2).save(4, 4, sharded=True)
    assert ranks.be(2, 1, 2).load() == 3
    for step in (5, 6):
        for rank in (1, 0):
            ranks.be(2, rank, 2).keep(last=1)
            ranks.be(2, rank, 2).save(step, step, sharded=True)
    ranks.be(2, 1, 2).save(7, 7, sharded=True)
    assert [path.name for path in ranks.folders()] == [folder_name(6, 2, 2), folder_name(7, 2, 3)]


def test_of_parts_on_machines_of_their_own_a_few_more_stay(ranks: Ranks) -> None:
    kept = ranks.be(1, 0, 2)
    kept.keep(last=1)
    for step in range(6):
        kept.save(step, step, sharded=True)
    assert [int(path.name.split("-")[1]) for path in ranks.folders()] == [3, 4, 5]


def test_what_all_ranks_share_is_saved_by_the_first_and_loaded_by_all(ranks: Ranks) -> None:
    for rank in (1, 0, 2):
        ranks.be(1, rank, 3).save(7, {"of": rank})
    assert [ranks.be(2, rank, 5).load() for rank in range(5)] == [{"of": 0}] * 5, "another world size is no matter"


def test_all_ranks_load_the_same_though_the_first_has_gone_on(ranks: Ranks) -> None:
    ranks.be(1, 0, 2).save(1, "old")
    first, slow = ranks.be(2, 0, 2), ranks.be(2, 1, 2)
    ranks.be(2, 0, 2)
    assert first.load() == "old"
    first.save(2, "new")
    ranks.be(2, 1, 2)
    assert slow.load() == "old"


def test_a_disk_that_is_full_fails_the_step_and_spares_what_was_there(ranks: Ranks) -> None:
    kept = ranks.be()
    kept.save(1, {"x": np.arange(300_000)})
    kept.wait()
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        kept.save(2, {"x": np.arange(300_000)})
        with pytest.raises(StoreUnavailable, match="the checkpoint of step 2 cannot be written: a file would be larger") as raised:
            kept.save(3, {"x": np.arange(3)})
        assert "as they were" in raised.value.hint
        kept.save(4, {"x": np.arange(300_000)})
        with pytest.raises(StoreUnavailable, match="step 4"):
            kept.leave()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert [path.name for path in ranks.folders()] == [folder_name(1, 1, 1)]
    assert len(ranks.be(n=2).load()["x"]) == 300_000


def test_what_was_loaded_outlives_its_files(ranks: Ranks) -> None:
    kept = ranks.be()
    kept.save(1, {"x": np.arange(500_000)})
    kept.wait()
    found = ranks.be(n=2).load()["x"]
    shutil.rmtree(ranks.home / "r")
    found += 1
    assert found[-1] == 500_000


def test_other_files_may_stand_beside_them(ranks: Ranks) -> None:
    kept = ranks.be()
    (kept.dir / "notes.txt").write_text("mine")
    for step in range(5):
        kept.save(step, step)
    assert (kept.dir / "notes.txt").read_text() == "mine"


def test_a_forked_process_does_not_wait_for_its_parents_save(ranks: Ranks) -> None:
    import fairway as fw

    fw.checkpoint.save(1, {"x": np.arange(2_000_000)})
    pid = os.fork()
    if pid == 0:
        fw.checkpoint.wait()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    fw.checkpoint.leave()


def test_power_durability_writes_through(be: Be, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.path.basename(os.readlink(f"/proc/self/fd/{fd}"))), real(fd)))
    kept = be()
    kept.save(0, 0)
    assert synced == []
    context.context().durability = "power"  # the project's setting
    kept.save(1, {"x": np.arange(3)})
    assert synced[:3] == ["tensors-00000.safetensors", "tree.json", "manifest.json.part"] and len(synced) == 6
    kept.keep(durability="process")
    kept.save(2, 2)
    assert len(synced) == 6, "what the step says comes first"
