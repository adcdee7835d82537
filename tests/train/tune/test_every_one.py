"""Every sampler and every pruner by its name on the command line: the same seed gives the same trials, and hopeless ones end early."""

from __future__ import annotations

import pytest

from fairway.dsl.search import PRUNERS, SAMPLERS
from fairway.engine.studies import studies_of
from tests.semantics.rig import Rig
from tests.train.tune.test_killed import check_watched

FIT = """
    @fw.step(cpu=0.2)
    def fit(x: float, y: float) -> float:
        quality = 1 - abs(x - 0.6) - abs(y - 0.3) / 4
        for epoch in range(1, 10):
            falling = epoch > 5 and x < 0.5
            fw.log(acc=quality * (1 - 1 / (epoch + 1)) - (0.2 * epoch if falling else 0), size=x, step=epoch)
        return quality
"""
PAIRS = {
    "tpe": "median:n_startup_trials=2",
    "cmaes": "percentile:n_startup_trials=2",
    "random": "asha:min_resource=1",
    "grid": "hyperband:min_resource=1,max_resource=9",
    "qmc": "patience:patience=1",
}


def test_all_are_here() -> None:
    assert {*PAIRS, "nsga2"} == set(SAMPLERS)
    assert {pair.partition(":")[0] for pair in PAIRS.values()} | {"none"} == set(PRUNERS)


@pytest.mark.parametrize("sampler", PAIRS)
def test_a_sampler_and_a_pruner_by_their_names(rig: Rig, sampler: str) -> None:
    (rig.root / "space.yaml").write_text("x: [float, 0.0, 1.0, 0.25]\ny: [float, 0.0, 1.0, 0.5]\n")
    words = ["--metric", "acc", "--space", "space.yaml", "--trials", "15", "--sampler", sampler, "--pruner", PAIRS[sampler], "--seed", "3"]
    found = []
    for _ in range(2):
        said = rig.fairway("tune", rig.write(FIT, "flow.py"), *words, "--no-cache")
        assert said.returncode == 0, said.stderr
        (study,) = studies_of(rig.last().workspace.state(rig.last().id))
        found.append([(trial.params, trial.state, len(trial.reports)) for trial in study.trials])
    assert found[0] == found[1]
    states = [state for _, state, _ in found[0]]
    assert set(states) == {"complete", "pruned"}
    assert min(reports for _, state, reports in found[0] if state == "pruned") < (10 if sampler == "grid" else 9)  # Hyperband: at its last
    if sampler == "grid":
        assert len({(params["x"], params["y"]) for params, *_ in found[0]}) == 15


def test_nsga2_with_two_metrics_and_a_look_at_it_while_it_goes_on(rig: Rig) -> None:
    words = [
        "--metric",
        "acc",
        "--metric",
        "size",
        "--direction",
        "max",
        "--direction",
        "min",
        "--vary",
        "x=float:0:1",
        "--vary",
        "y=float:0:1",
    ]
    said = rig.fairway("tune", rig.write(FIT), *words, "--trials", "14", "--sampler", "nsga2:population_size=4", "--parallel", "2")
    assert said.returncode == 0, said.stderr
    assert "Pareto front" in said.stderr
    run = rig.last()
    (study,) = studies_of(run.workspace.state(run.id))
    values = {trial.number: trial.values for trial in study.trials}
    for number, (acc, size) in values.items():
        beaten = any(a >= acc and s <= size and (a, s) != (acc, size) for a, s in values.values())
        assert (number in study.best) is not beaten
    check_watched(run)
