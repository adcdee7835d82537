"""scikit-learn computes with all processes of a gang: whatever it makes parallel by joblib."""

from __future__ import annotations

import os
from pathlib import Path

from tests.frameworks.gang_bench import train

STEP = """
    import os
    import fairway as fw
    import scoring

    @fw.step(gang=fw.gang(replicas=2, framework="sklearn"))
    def search() -> dict:
        import joblib, numpy as np
        from sklearn.datasets import make_classification
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import GridSearchCV

        x, y = make_classification(4000, 20, random_state=7)
        grid = {"C": [0.01, 0.1, 1.0, 10.0]}
        found = GridSearchCV(LogisticRegression(), grid, scoring=scoring.score, cv=3).fit(x, y)
        forest = RandomForestClassifier(10, random_state=7, n_jobs=-1).fit(x, y)
        with joblib.parallel_config("sequential"):
            alone = GridSearchCV(LogisticRegression(), grid, scoring="accuracy", cv=3).fit(x, y)
            same = RandomForestClassifier(10, random_state=7).fit(x, y)
        pids = joblib.Parallel()(joblib.delayed(lambda _: os.environ["FAIRWAY_RANK"])(n) for n in range(40))
        try:
            joblib.Parallel()(joblib.delayed(int)(text) for text in ("1", "one"))
        except ValueError as error:
            told = f"{error}"
        import listening
        return {"wide": listening.wide(),
                "off": float(abs(found.cv_results_["mean_test_score"] - alone.cv_results_["mean_test_score"]).max()),
                "best": [found.best_params_, alone.best_params_], "me": os.getpid(), "told": told,
                "pids": scoring.pids(), "ranks": sorted(set(pids)), "forest": bool((forest.predict(x) == same.predict(x)).all())}

    @fw.pipeline
    def gang():
        return search()
"""
SCORING = """
    import os
    import signal
    from pathlib import Path

    FOLDER = "{folder}"

    def score(model, x, y):
        rank = int(os.environ["FAIRWAY_RANK"])
        mine = Path(FOLDER, f"pid-{os.getpid()}-{rank}")
        if not mine.exists():
            mine.touch()
            signal.alarm(60)
            os.open(f"{FOLDER}/come-{rank}", os.O_RDWR)  # stays open
            os.close(os.open(f"{FOLDER}/come-{1 - rank}", os.O_RDONLY))  # waits for the other worker, which may still be importing
            signal.alarm(0)
        return (model.predict(x) == y).mean()

    def pids():
        return sorted(file.name.split("-")[1:] for file in Path(FOLDER).glob("pid-*"))
"""


def test_a_grid_search_runs_in_the_workers_of_all_ranks(tmp_path: Path) -> None:
    for rank in range(2):
        os.mkfifo(tmp_path / f"come-{rank}")
    found = train(tmp_path, STEP, scoring_py=SCORING.replace("{folder}", str(tmp_path)))
    assert {rank for _, rank in found["pids"]} == {"0", "1"}, "each worker scored some of the models"
    assert str(found["me"]) not in {pid for pid, _ in found["pids"]}
    assert found["off"] < 1e-12
    assert found["wide"] == []
    assert found["best"][0] == found["best"][1]
    assert found["forest"]
    assert found["ranks"] == ["0", "1"]
    assert "'one'" in found["told"]
