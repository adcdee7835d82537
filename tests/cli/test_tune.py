"""`fairway tune`: searches from the command line, what they say while they run, and what is shown of them afterwards."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from fairway.cli.live import LiveDisplay
from fairway.cli.trials import render_live, render_table, render_trial, spell_counts
from fairway.cli.tunestart import parse_vary
from fairway.engine.apply import fold
from fairway.errors import ConfigError
from fairway.spec.study import Study, Trial, best_of
from tests.cli.project import Project
from tests.cli.test_terminal import Terminal

FIT = """
import fairway as fw


@fw.step
def fit(lr: float, kind: str = "a", base: float = 0.0) -> float:
    if kind == "bad":
        raise ValueError("no such kind")
    for epoch in range(1, 6):
        fw.log(acc=base + lr * epoch, step=epoch)
    return base + lr


@fw.step
def load() -> int:
    return 1


@fw.pipeline
def train(lr: float = 0.5, base: float = 0.0):
    load()
    return {"score": fit(lr, base=base)}
"""
SPACE = """
lr: [float, 0.001, 1.0, log]
kind: [a, b, bad]
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.write("fit.py", FIT)
    made.write("space.yaml", SPACE)
    return made


def test_a_search_over_a_step_ends_with_its_best_trial_and_how_to_get_it(project: Project) -> None:
    words = "--metric acc --space space.yaml --trials 9 --parallel 2 -p base=2 --name mine"
    said = project.ask("tune", "fit.py:fit", *words.split())
    assert said.status == 0, said.text
    assert "trial 0  acc" in said.err
    assert "failed: ValueError: no such kind" in said.err or "kind=bad" not in said.err
    assert "best  trial" in said.err
    run = project.last()
    assert f"get it:      fairway artifacts get {run.id} best" in said.err
    assert f"all trials:  fairway tune show {run.id}" in said.err
    assert run.summary.name == "mine"
    assert set(run.outputs) == {"best", "best_params", "best_value", "best_trial", "trials"}
    got = project.ask("artifacts", "get", "last", "best", "--to", str(project.root / "model.json"))
    assert got.status == 0, got.text
    assert (project.root / "model.json").exists()

    shown = project.ask("tune", "show", "last")
    assert shown.status == 0
    assert "9 of 9 trials" in shown.out
    (study,) = project.ask("tune", "show", "-o", "json").data
    assert study["params"] == ["lr", "kind"]
    assert [trial["number"] for trial in study["trials"]] == list(range(9))
    best = study["trials"][study["best"][0]]
    assert best["values"] == [run.outputs["best_value"].load()]
    assert len(best["reports"]) == 5
    rows = list(csv.DictReader(io.StringIO(project.ask("tune", "show", "last", "-o", "csv").out)))
    assert [row["number"] for row in rows] == [str(n) for n in range(9)]
    assert [row["best"] for row in rows].count("1") == 1
    assert float(rows[study["best"][0]]["acc"]) == best["values"][0]


@pytest.mark.parametrize("wrong", [("--vary", "lrr=float:0:1"), ("--vary", "lr=float:0:1", "--sampler", "tpee")])
def test_what_the_command_line_says_wrong_stands_at_no_line_of_a_library(project: Project, wrong: tuple[str, ...]) -> None:
    said = project.ask("tune", "fit.py", "--metric", "score", *wrong)
    assert said.status == 2, said.text
    assert "Did you mean" in said.err
    assert "\n  at " not in said.err


def test_a_name_that_is_not_in_the_file_is_told_its_steps_too(project: Project) -> None:
    said = project.ask("tune", "fit.py:fitt", "--metric", "acc", "--vary", "lr=float:0:1")
    assert said.status == 2
    assert "fit.py has neither a pipeline nor a step `fitt`\n  it has fit, load, train. Did you mean `fit`?" in said.err


def test_a_search_over_a_pipeline_takes_its_parameters_and_learns_from_a_past_run(project: Project) -> None:
    first = project.ask("tune", "fit.py", "--metric", "score", "--vary", "lr=float:0:1", "--trials", "12", "-p", "base=1")
    assert first.status == 0, first.text
    assert "tune-train" in first.err
    then = project.ask("tune", "fit.py", "--metric", "score", "--vary", "lr=float:0:1", "--trials", "2", "--from", "last", "--seed", "5")
    assert then.status == 0, then.text
    learnt = project.ask("tune", "show", "-o", "json").data[0]
    plain = project.ask("tune", "fit.py", "--metric", "score", "--vary", "lr=float:0:1", "--trials", "2", "--seed", "5")
    assert plain.status == 0
    alone = project.ask("tune", "show", "-o", "json").data[0]
    assert [trial["params"] for trial in learnt["trials"]] != [trial["params"] for trial in alone["trials"]]
    none = project.ask("tune", "fit.py", "--metric", "other", "--vary", "lr=float:0:1", "--from", "last")
    assert none.status == 2
    assert "no complete trial for other" in none.err
    assert "its metrics: score" in none.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fit.py:fit", "--metric", "acc"], "nothing varies"),
        (["fit.py:fit", "--metric", "acc", "--vary", "lr"], "no `=` in it"),
        (["fit.py:fit", "--metric", "acc", "--vary", "lr=float:1"], "a low and a high end"),
        (["fit.py:fit", "--metric", "acc", "--vary", "rl=1,2"], "space: `rl` is no parameter of `fit`"),
        (["fit.py:fit", "--metric", "acc", "--space", "nowhere.yaml"], "there is no file nowhere.yaml"),
        (["fit.py:fti", "--metric", "acc", "--vary", "lr=1,2"], "has neither a pipeline nor a step `fti`"),
        (["fit.py:fit", "--metric", "acc", "--vary", "lr=1,2", "--sampler", "magic"], "no sampler 'magic'"),
        (["fit.py:fit", "--metric", "acc", "--vary", "lr=1,2", "--sampler", "tpe:n_startup=3"], "sampler tpe: "),
        (
            ["fit.py:fit", "--metric", "acc", "--vary", "lr=1,2", "--sampler", "nsga2:population=3"],
            "Did you mean population_size? its settings: population_size, mutation_prob, crossover_prob, swapping_prob\n",
        ),
        (["fit.py:fit", "--metric", "acc", "--vary", "lr=1,2", "--pruner", "median:n_warmup=3"], "pruner median: "),
        (
            ["fit.py:fit", "--metric", "acc", "--vary", "lr=1,2", "--pruner", "median:bad=1"],
            "  its settings: n_startup_trials, n_warmup_steps, interval_steps, n_min_trials\n",
        ),
        (
            ["fit.py:fit", "--metric", "acc", "--vary", "lr=1,2", "--pruner", "median:n_warmup=3"],
            "Did you mean n_warmup_steps? its settings",
        ),
        (["fit.py:fit", "--metric", "acc", "--vary", "lr=1,2", "--direction", "up"], "direction: 'up'"),
        (["fit.py:fit", "--metric", "loss", "--vary", "lr=1,2"], "--direction min or max"),
        (["fit.py:fit", "--metric", "acc", "--vary", "lr=1,2", "-p", "bse=1"], "bse"),
        (
            ["fit.py:fit", "--metric", "acc", "--vary", "lr=1,2", "--vary", "kind=a,b", "--vary", "base=1,2", "-p", "bse=1"],
            "its parameters: base (varies), kind (varies), lr (varies). Did you mean `base`?",
        ),
        (["fit.py:fit", "--metric", "acc", "--vary", "lr=1,2", "-p", "lr=1"], "-p lr: `lr` varies\n  leave it out of what varies"),
        (["fit.py:fit", "--vary", "lr=1,2"], "it gives result, acc: --metric result"),
        (
            ["fit.py:fit", "--metric", "acc", "--vary", "lr=0:1"],
            "`lr` takes a float, which '0:1' is not\n  a range is lr=float:0:1, in a file [\"float\", 0, 1]",
        ),
        (["fit.py:fit", "--metric", "acc", "--vary", "kind=float:0:1"], "`kind` is a range of floats, and takes a str"),
        (["fit.py:fit", "--metric", "auc", "--vary", "lr=1,2"], "nothing gives the metric `auc`: `fit` has no such output"),
        (["show", "last"], "holds no search"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_anything_runs(project: Project, words: list[str], message: str) -> None:
    assert project.ask("run", "flow.py").status == 0
    said = project.ask("tune", *words)
    assert said.status == 2, said.text
    assert message in said.err
    assert project.ask("runs", "-o", "json").out.count('"run"') == 1


def test_a_broken_space_is_named_by_file_line_and_field(project: Project) -> None:
    project.write("space.yaml", "lr: [float, 0, 1]\nkind:\n  choices: [a]\n  wehn: {lr: 1}\n")
    said = project.ask("tune", "fit.py:fit", "--metric", "acc", "--space", "space.yaml")
    assert said.status == 2
    assert "space.yaml:4" in said.err
    assert "kind.wehn" in said.err


@pytest.mark.parametrize(
    ("line", "message"),
    [("rl: [float, 0, 1]", "space: `rl` is no parameter of `fit`"), ("kind: [1, 2]", "`kind` takes a str, which 1 is not")],
)
def test_what_the_step_does_not_take_is_named_by_file_and_line(project: Project, line: str, message: str) -> None:
    project.write("space.yaml", f"lr: [float, 0, 1]\n\n{line}\n")
    said = project.ask("tune", "fit.py:fit", "--metric", "acc", "--space", "space.yaml")
    assert said.status == 2
    assert message in said.err
    assert "\n  at space.yaml:3" in said.err
    said = project.ask(
        "tune", "fit.py:fit", "--metric", "acc", "--space", "space.yaml", "--vary", line.replace(": [", "=").replace("]", "")
    )
    assert "space.yaml" not in said.err  # the command line said it last


def test_words_that_vary() -> None:
    assert parse_vary("lr=float:0.0001:0.1:log") == ("lr", ("float", 0.0001, 0.1, "log"))
    assert parse_vary("depth=int:2:9") == ("depth", ("int", 2, 9))
    assert parse_vary("model=svm,forest") == ("model", ["svm", "forest"])
    assert parse_vary("flag=true,false,none,1,0.5") == ("flag", [True, False, None, 1, 0.5])
    with pytest.raises(ConfigError):
        parse_vary("lr=int:1")


def study(trials: list[Trial], metrics: tuple[str, ...] = ("auc",), directions: tuple[str, ...] = ("max",)) -> Study:
    return Study("tune.fit", metrics, directions, ("lr",), {}, "tpe", "", 50, 2, tuple(trials), best_of(trials, directions))


def test_the_live_view_has_the_best_what_runs_and_the_latest() -> None:
    trials = [Trial(n, "complete", {"lr": n / 10}, (n / 100,), ended_at=float(n)) for n in range(30)]
    trials += [Trial(30, "running", {"lr": 0.5}), Trial(31, "failed", {"lr": 9.0}, error="boom", ended_at=31.0)]
    shown = study(trials)
    assert spell_counts(shown) == "31 of 50 trials: 1 running, 30 complete, 1 failed"
    lines = render_live(shown, {30: 0.25})
    assert len(lines) <= 14
    assert "★  29" in lines[1] and "auc 0.29" in lines[1]
    assert "▸  30" in lines[2] and "auc 0.25" in lines[2]
    assert "31" in lines[3] and lines[3].endswith("failed: boom")
    assert render_trial(shown, trials[29]).endswith("(the best so far)")
    assert "boom" in render_trial(shown, trials[31])
    assert render_live(study([])) == ["tune.fit  0 of 50 trials"]
    assert len(render_table(shown)) == 33


def test_a_long_error_is_cut_to_its_first_line() -> None:
    trial = Trial(0, "failed", {"lr": 9.0}, error="ValueError: fit: " + "x" * 100 + "\nmore")
    (row,) = render_live(study([trial]))[1:]
    assert "failed: ValueError: fit: xxx" in row and row.endswith("x…")
    assert render_table(study([trial]))[0].split()[-1] == "ERROR"


def test_of_several_metrics_the_front_is_marked() -> None:
    points = [(1.0, 5.0), (2.0, 4.0), (2.0, 6.0), (3.0, 3.0), (3.0, 3.0)]
    trials = [Trial(n, "complete", {"lr": 0.1}, values) for n, values in enumerate(points)]
    shown = study(trials, ("a", "b"), ("min", "min"))
    assert shown.best == (0, 1, 3, 4)
    assert [line[:1] for line in render_table(shown)[1:]] == ["★", "★", " ", "★", "★"]


def test_on_a_terminal_the_table_is_redrawn_below_the_steps(project: Project) -> None:
    terminal = Terminal(project.root, "tune", "fit.py:fit", "--metric", "acc", "--vary", "lr=float:0:1", "--trials", "8", "--parallel", "2")
    screen = terminal.read_until(lambda screen: "all trials:" in screen)
    assert "tune.fit  8 of 8 trials: 8 complete" in screen
    assert "★" in screen
    assert "best  trial" in screen


def test_a_search_s_own_steps_are_shown_only_where_its_trials_do_not_tell(project: Project) -> None:
    said = project.ask("tune", "fit.py:fit", "--metric", "acc", "--vary", "lr=float:0:1", "--trials", "3", "--parallel", "2")
    assert said.status == 0 and "tune.fit" in said.err
    assert "tune.suggest" not in said.err and "tune.best" not in said.err
    run = project.last()
    events = [event for _, event in run.workspace.events(run.id)]
    shown: list[str] = []
    for n in range(2, len(events) + 1):
        display, state = LiveDisplay(run.workspace.streams), fold(events[:n])
        display._run, display._state = run.id, state
        display.board.start(state, [])
        display.board.apply(events[:n], state)
        words = [line.split()[1] for line in display.draw().plain.splitlines()]
        shown.append(" ".join(word for word in words if word.startswith("tune.")))
    assert list(dict.fromkeys(shown)) == ["tune.fit", "tune.suggest tune.fit", "tune.fit tune.best"]
    assert shown[-1] == "tune.fit"


def test_a_suggestion_that_fails_is_shown(project: Project) -> None:
    project.write("fit.py", FIT.replace("fw.log(acc=base + lr * epoch, step=epoch)", "fw.log({kind: lr}, step=epoch)"))
    said = project.ask("tune", "fit.py:fit", "--metric", "acc", "--direction", "min", "--vary", "lr=float:0:1", "--trials", "3")
    assert said.status == 3
    assert "✗ tune.suggest[1]" in said.err
