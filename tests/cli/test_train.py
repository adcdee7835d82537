"""`fairway train --dry-run`: each rank's variables and command, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairway.cli import main

PIPELINE = """
import fairway as fw

@fw.step
def load() -> int:
    return 1

@fw.step(gang=fw.gang(replicas=2, framework="torch", processes=2), cpu=4, env=fw.env(variables={"MASTER_PORT": "7", "MINE": "1"}))
def fit(data: int) -> int:
    raise AssertionError("nothing runs")

serve = fw.command(["torchrun", "train.py"], name="serve", gang=fw.gang(replicas=2, framework="torch", processes=3))
cast = fw.command(["python", "tf.py"], name="cast", gang=fw.gang(framework="tensorflow", roles={"chief": 1, "ps": 1}))
search = fw.command(["Rscript", "fit.R"], name="search", gang=fw.gang(replicas=2, framework="r"))
grow = fw.container("lightgbm:4", ["lightgbm"], name="grow", gang=fw.gang(replicas=2, framework="lightgbm"))
spread = fw.command(["python", "total.py"], name="spread", gang=fw.gang(replicas=2, framework="dask"))
typo = fw.command(["python", "train.py"], name="typo", gang=fw.gang(replicas=2, framework="pytorch"))
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
def three():
    search()
    grow()
    spread()

@fw.pipeline
def bad():
    wrong()

@fw.pipeline
def slip():
    typo()

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
    assert "  MASTER_PORT=7\n" in text, "what the step sets beats what the row says"
    assert "  MINE=1\n" in text


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


def test_programs_beside_ranks_are_shown_with_what_they_are_told(pipeline: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, f"{pipeline}:three:search")
    first, second = text.partition("\nrank 0")[2].split("\nrank 1")
    assert "  beside it, R relay: python -m fairway.train.beside.relay 127.0.0.1 " in first
    assert "R relay" not in second
    assert "  beside it, R worker: Rscript --vanilla FOLDER/worker.R\n" in second
    assert "  lends its machine: rank 0 alone runs the step\n" in second
    assert "  FAIRWAY_GANG_KEY=SECRET\n" in text
    assert "ATTEMPT, FOLDER and SECRET stand for each attempt's own." in text


def test_files_of_every_rank_are_shown_and_what_container_runs_it(pipeline: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, f"{pipeline}:three:grow")
    assert text.startswith("grow: 2 replicas of LightGBM, in lightgbm:4\n")
    assert text.count("\n  $ lightgbm\n") == 2
    assert "FOLDER/0-lightgbm.conf\n" in text
    assert "FOLDER/1-lightgbm.conf\n" in text


def test_no_file_that_is_made_of_the_secret_is_shown(pipeline: str, capsys: pytest.CaptureFixture[str]) -> None:
    made = plan(capsys, f"{pipeline}:three:spread")
    assert {made["files"][name] for name in ("gang.crt", "gang.key")} == {"(made of the gang's secret when it starts)\n"}
    assert made["files"]["hostfile"] == "127.0.0.1 slots=2\n"


@pytest.mark.parametrize(
    ("words", "says", "hint"),
    [
        (":none", "no step of none is a gang", "gang=fw.gang"),
        (":one:load", "`load` is no gang", "gang=fw.gang"),
        (":one:nope", "one has no step 'nope'", "its gangs are fit"),
        (":two", "two has 3 gangs", ":two:cast"),
        (":bad", "no role 'boss'", ""),
        (":slip", "the step `typo`: there is no framework 'pytorch' for a gang\n  at gangs_", "Did you mean `torch`?"),
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


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--dry-run", "--scale", "1,2"), "--dry-run starts nothing, and --scale trains"),
        (("--dry-run", "-p", "n=1"), "--param goes with --scale"),
        (("--dry-run", "--by", "time"), "--by goes with --scale"),
        (("--scale", "1,2", "--hosts", "a,b"), "--hosts goes with --dry-run"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(
    pipeline: str, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str
) -> None:
    assert says in refused(capsys, f"{pipeline}:one", *words)


def test_on_a_cluster_the_job_is_shown_as_its_server_makes_it(pipeline: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("fairway.toml").write_text('[targets.campus]\nkind = "kubernetes"\nnamespace = "lab"\nimage = "python:3.11"\n')
    fence, document = yaml.safe_load_all(said(capsys, f"{pipeline}:one", "--on", "campus").partition("in the cluster\n")[2])
    assert (document["kind"], document["spec"]["completions"], document["metadata"]["namespace"]) == ("Job", 2, "lab")
    assert (fence["kind"], fence["metadata"]["name"]) == ("NetworkPolicy", document["metadata"]["name"])
    assert plan(capsys, f"{pipeline}:one", "--on", "campus")["objects"] == [fence, document]
    *_, program = plan(capsys, f"{pipeline}:three:grow", "--on", "campus")["objects"]
    assert program["spec"]["template"]["spec"]["containers"][0]["image"] == "lightgbm:4"
    assert "objects" not in plan(capsys, f"{pipeline}:one")
