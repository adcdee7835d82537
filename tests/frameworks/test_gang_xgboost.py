"""XGBoost trains in gangs: every rank brings its own rows, and all get the model of all rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xgboost

from tests.frameworks.gang_bench import train

SETTINGS = {"objective": "binary:logistic", "tree_method": "hist", "max_depth": 4, "eta": 0.3, "nthread": 1}
STEP = f"""
    import fairway as fw
    import rows

    @fw.step(gang=fw.gang(replicas=2, framework="xgboost"))
    def fit() -> dict:
        import numpy as np, xgboost
        from xgboost import collective

        rank, world = fw.context().rank, fw.context().world_size
        x, y = rows.rows()
        booster = xgboost.train({SETTINGS!r}, xgboost.DMatrix(x[rank::world], y[rank::world]), 8)
        told = booster.predict(xgboost.DMatrix(x)).astype(float)
        both = collective.allreduce(told, collective.Op.SUM)
        import listening
        return {{"wide": listening.wide(ranks=2),
                "ranks": [collective.get_rank(), rank], "world": collective.get_world_size(), "told": told.tolist(),
                "apart": float(abs(both / world - told).max())}}

    @fw.pipeline
    def gang():
        return fit()
"""
ROWS = """
    import numpy as np

    def rows():
        # few values of each feature, so that a histogram of half the rows has the same bins
        x = np.random.default_rng(7).integers(0, 20, size=(2000, 6)).astype(float)
        return x, (x[:, 0] + x[:, 1] * x[:, 2] / 10 > 20).astype(float)
"""


def test_both_ranks_hold_the_model_that_one_process_makes_of_all_rows(tmp_path: Path) -> None:
    found = train(tmp_path, STEP, rows_py=ROWS)
    assert (found["world"], found["ranks"]) == (2, [0, 0])
    assert found["apart"] == 0.0
    assert len(found["wide"]) == 2, "every rank, as the guide says"
    made: dict[str, Any] = {}
    exec(compile("\n".join(line[4:] for line in ROWS.splitlines()), "rows", "exec"), made)
    x, y = made["rows"]()
    alone = xgboost.train(SETTINGS, xgboost.DMatrix(x, y), 8).predict(xgboost.DMatrix(x))
    assert np.abs(alone - np.array(found["told"])).max() < 1e-4
    half = xgboost.train(SETTINGS, xgboost.DMatrix(x[::2], y[::2]), 8).predict(xgboost.DMatrix(x))
    assert np.abs(half - np.array(found["told"])).max() > 1e-2  # one rank's rows alone make another
