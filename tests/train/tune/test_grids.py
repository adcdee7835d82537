"""A grid is walked whole, each point once: with several at once, over a kill, and whatever fails."""

from __future__ import annotations

import itertools

from fairway.engine.studies import studies_of
from tests.semantics.rig import Rig
from tests.train.tune.test_killed import check_record, kill_after

SOURCE = """
    @fw.step(cpu=0.2)
    def fit(n: int, kind: str, rate: float) -> float:
        if n == 2 and kind == "b":
            raise ValueError("never mind")
        return n + rate
"""
SPACE = "n: [int, 1, 4]\nkind: [a, b]\nrate: [float, 0.0, 1.0, 0.5]\n"
POINTS = sorted(itertools.product((1, 2, 3, 4), ("a", "b"), (0.0, 0.5, 1.0)))


def test_four_at_once_killed_and_resumed_walk_the_whole_grid_once(rig: Rig) -> None:
    file = rig.write(SOURCE)
    (rig.root / "space.yaml").write_text(SPACE)
    words = ["--metric", "result", "--space", "space.yaml", "--sampler", "grid", "--parallel", "4", "--no-cache"]
    process = rig.start("tune", file, *words)
    assert kill_after(rig, process, 17, new=True)
    process = rig.start("resume", "last")
    assert kill_after(rig, process, 10, new=False)
    said = rig.fairway("resume", "last")
    assert said.returncode == 0, said.stderr
    run = rig.last()
    assert run.status == "succeeded"
    check_record(run)
    (study,) = studies_of(run.workspace.state(run.id))
    assert sorted((t.params["n"], t.params["kind"], t.params["rate"]) for t in study.trials) == POINTS
    failed = [trial for trial in study.trials if trial.state == "failed"]
    assert {(trial.params["n"], trial.params["kind"]) for trial in failed} == {(2, "b")}
    assert len(failed) == 3
