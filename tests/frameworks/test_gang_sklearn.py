"""scikit-learn computes with all processes of a gang: whatever it makes parallel by joblib."""

from __future__ import annotations

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
        return {"off": float(abs(found.cv_results_["mean_test_score"] - alone.cv_results_["mean_test_score"]).max()),
                "best": [found.best_params_, alone.best_params_], "me": os.getpid(), "told": told,
                "pids": scoring.pids(), "ranks": sorted(set(pids)), "forest": bool((forest.predict(x) == same.predict(x)).all())}

    @fw.pipeline
    def gang():
        return search()
"""
SCORING = """
    import os
    import time
    from pathlib import Path

    FOLDER = "{folder}"

    def score(model, x, y):
        Path(FOLDER, f"pid-{os.getpid()}-{os.environ['FAIRWAY_RANK']}").touch()
        until = time.monotonic() + 60
        while len(pids()) < 2 and time.monotonic() < until:  # the other worker may still be importing
            time.sleep(0.01)
        return (model.predict(x) == y).mean()

    def pids():
        return sorted(file.name.split("-")[1:] for file in Path(FOLDER).glob("pid-*"))
"""


def test_a_grid_search_runs_in_the_workers_of_all_ranks(tmp_path: Path) -> None:
    found = train(tmp_path, STEP, scoring_py=SCORING.replace("{folder}", str(tmp_path)))
    assert {rank for _, rank in found["pids"]} == {"0", "1"}, "each worker scored some of the models"
    assert str(found["me"]) not in {pid for pid, _ in found["pids"]}
    assert found["off"] < 1e-12
    assert found["best"][0] == found["best"][1]
    assert found["forest"]
    assert found["ranks"] == ["0", "1"]
    assert "'one'" in found["told"]
