"""LightGBM trains in gangs: data-parallel, every rank with its own rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np

from tests.frameworks.gang_bench import train

SETTINGS = {"objective": "binary", "num_leaves": 7, "num_threads": 1, "verbose": -1, "min_data_in_bin": 1, "deterministic": True}
STEP = f"""
    from pathlib import Path

    import fairway as fw

    FOLDER = "{{folder}}"

    @fw.step(gang=fw.gang(replicas=2, framework="lightgbm"))
    def fit() -> dict:
        import lightgbm
        from fairway.train.lightgbm import network
        from rows import rows

        rank, world = fw.context().rank, fw.context().world_size
        x, y = rows()
        mine = lightgbm.Dataset(x[rank::world], y[rank::world])
        booster = lightgbm.train({SETTINGS!r} | network(), mine, 10)
        trees = booster.model_to_string().partition("parameters:")[0]
        Path(FOLDER, f"model-{{rank}}").write_text(trees)
        import listening
        return {{"wide": listening.wide(ranks=2),
                "machines": network()["num_machines"], "told": booster.predict(x).tolist()}}

    @fw.pipeline
    def gang():
        return fit()
"""
ROWS = """
    import numpy as np

    def rows():
        # few values of each feature, so that half the rows have the same bins
        x = np.random.default_rng(7).integers(0, 20, size=(2000, 6)).astype(float)
        return x, (x[:, 0] + x[:, 1] * x[:, 2] / 10 > 20).astype(float)
"""


def test_both_ranks_hold_the_model_that_one_process_makes_of_all_rows(tmp_path: Path) -> None:
    found = train(tmp_path, STEP.replace("{folder}", str(tmp_path)), rows_py=ROWS)
    assert found["machines"] == 2
    assert found["wide"] == []
    assert (tmp_path / "model-0").read_text() == (tmp_path / "model-1").read_text()
    made: dict[str, Any] = {}
    exec(compile("\n".join(line[4:] for line in ROWS.splitlines()), "rows", "exec"), made)
    x, y = made["rows"]()
    alone = lightgbm.train(SETTINGS, lightgbm.Dataset(x, y), 10).predict(x)
    assert np.abs(np.asarray(alone) - np.array(found["told"])).max() < 1e-3
    half = lightgbm.train(SETTINGS, lightgbm.Dataset(x[::2], y[::2]), 10).predict(x)
    assert np.abs(np.asarray(half) - np.array(found["told"])).max() > 1e-2  # one rank's rows alone make another
