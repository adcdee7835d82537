"""`fairway train --dry-run`: each rank's variables and command, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fairway.cli import main

PIPELINE = """
import fairway as fw

@fw.step
def load() -> int:
    return 1

@fw.step(gang=fw.gang(replicas=2, framework="torch", processes=2), cpu=4)
def fit(data: int) -> int:
    raise AssertionError("nothing runs")

serve = fw.command(["torchrun", "train.py"], name="serve", gang=fw.gang(replicas=2, framework="torch", processes=3))
cast = fw.command(["python", "tf.py"], name="cast", gang=fw.gang(framework="tensorflow", roles={"chief": 1, "ps": 1}))
wrong = fw.command(["python", "tf.py"], name="wrong", gang=fw.gang(framework="tensorflow", roles={"chief": 1, "boss": 1}))

@fw.pipeline
def one():
    return fit(load())

@fw.pipeline
def two():
    serve()
    cast()
    fit(load())

@fw.pipeline
def bad():
    wrong()

@fw.pipeline
def none():
    return load()
"""


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    name = f"gangs_{abs(hash(str(tmp_path)))}.py"
    (tmp_path / name).write_text(PIPELINE)
    return name


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["train", *words, "--dry-run"]) == 0
    return capsys.readouterr().out


def plan(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    return json.loads(said(capsys, *words, "-o", "json"))


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["train", *words]) == 2
    return capsys.readouterr().err


def test_the_only_gang_is_shown_with_what_all_ranks_share_said_once(pipeline: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, f"{pipeline}:one")
    assert text.startswith("fit: 2 replicas of PyTorch, 2 processes each\n")
    assert text.count("  WORLD_SIZE=4\n") == 1
    assert text.count("  OMP_NUM_THREADS=2\n") == 1, "four cores for two processes"
    for rank in range(4):
        assert f"\nrank {rank} (127.0.0.1, replica {rank // 2})\n" in text
        assert text.count(f"\n  RANK={rank}\n") == 1
    assert text.count(".fit()") == 4


def test_json_has_every_variable_of_every_rank(pipeline: str, capsys: pytest.CaptureFixture[str]) -> None:
    made = plan(capsys, f"{pipeline}:one:fit")
    assert [rank["variables"]["RANK"] for rank in made["ranks"]] == ["0", "1", "2", "3"]
    assert {rank["variables"]["MASTER_ADDR"] for rank in made["ranks"]} == {"127.0.0.1"}
    assert made["framework"] == "torch"


def test_addresses_can_be_those_of_a_cluster(pipeline: str, capsys: pytest.CaptureFixture[str]) -> None:
    made = plan(capsys, f"{pipeline}:one", "--hosts", "10.0.0.1,10.0.0.2")
    assert [rank["host"] for rank in made["ranks"]] == ["10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.2"]
    assert "GLOO_SOCKET_IFNAME" not in made["ranks"][0]["variables"]
    assert "--hosts names 1 addresses" in refused(capsys, f"{pipeline}:one", "--dry-run", "--hosts", "10.0.0.1")


def test_a_launcher_is_the_command_of_one_process_in_each_replica(pipeline: str, capsys: pytest.CaptureFixture[str]) -> None:
    made = plan(capsys, f"{pipeline}:two:serve")
    assert [rank["command"] for rank in made["ranks"]] == [["torchrun", "train.py"], [], [], ["torchrun", "train.py"], [], []]
    assert {rank["runs"] for rank in made["ranks"] if not rank["command"]} == {"is started by the launcher"}
    assert {rank["variables"]["PET_NPROC_PER_NODE"] for rank in made["ranks"]} == {"3"}


def test_roles_are_named(pipeline: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, f"{pipeline}:two:cast")
    assert "rank 0 (127.0.0.1, replica 0, chief)" in text
    assert "rank 1 (127.0.0.1, replica 1, ps)" in text
    assert text.count("  $ python tf.py\n") == 2


@pytest.mark.parametrize(
    ("words", "says", "hint"),
    [
        (":none", "no step of none is a gang", "gang=fw.gang"),
        (":one:load", "`load` is no gang", "gang=fw.gang"),
        (":one:nope", "one has no step 'nope'", "its gangs are fit"),
        (":two", "two has 3 gangs", ":two:cast"),
        (":bad", "no role 'boss'", ""),
    ],
)
def test_what_is_no_gang_is_refused_with_what_to_do(
    pipeline: str, capsys: pytest.CaptureFixture[str], words: str, says: str, hint: str
) -> None:
    err = refused(capsys, pipeline + words, "--dry-run")
    assert says in err
    assert hint in err


def test_without_a_wish_it_says_what_there_is(pipeline: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--dry-run" in refused(capsys, f"{pipeline}:one")
