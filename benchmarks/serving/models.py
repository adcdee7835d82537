"""The models that everybody serves, as each wants them on disk. Run as a script by an environment with pandas: CSV FOLDER [heavy]."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

IDENTITY = """
import numpy as np


def init():
    pass


def run(data: np.ndarray):
    return data
"""


HEAVY = """
import os

import joblib
import numpy as np


def init():
    global model
    model = joblib.load(os.path.join(os.environ["AZUREML_MODEL_DIR"], "heavy.joblib"))


def run(data: np.ndarray):
    return model.predict_proba(data)[:, 1]
"""
HEAVY_TREES = 600


def main(csv: str, folder: Path, what: str = "") -> None:
    """Train, and write: hgb.joblib, rows.npy, expected.npy, columns.json, fairway-hgb/, fairway-identity/. `what` "heavy": only the model
    with twelve times the trees, heavy.joblib, expected-heavy.npy, fairway-heavy/."""
    import joblib
    import numpy as np
    import pandas as pd
    from sklearn.ensemble import HistGradientBoostingClassifier

    import fairway as fw

    frame = pd.read_csv(csv)
    inputs = frame.drop(columns=["ID", "default.payment.next.month"]).astype(float)
    x, y = inputs.to_numpy(), frame["default.payment.next.month"].to_numpy()
    folder.mkdir(parents=True, exist_ok=True)
    if what == "heavy":
        heavy = HistGradientBoostingClassifier(random_state=0, max_iter=HEAVY_TREES, n_iter_no_change=HEAVY_TREES)
        heavy.fit(x[:3000], y[:3000])  # as many trees as deep, in a tenth of the time
        joblib.dump(heavy, folder / "heavy.joblib")
        np.save(folder / "expected-heavy.npy", heavy.predict_proba(x[:1000])[:, 1])
        write_script(folder / "fairway-heavy", HEAVY, folder / "fairway-hgb/schema.json")
        shutil.copy(folder / "heavy.joblib", folder / "fairway-heavy")
        return
    model = HistGradientBoostingClassifier(random_state=0).fit(x, y)
    joblib.dump(model, folder / "hgb.joblib")
    np.save(folder / "rows.npy", x[:1000])
    np.save(folder / "expected.npy", model.predict_proba(x[:1000])[:, 1])
    (folder / "columns.json").write_text(json.dumps(list(inputs.columns)))
    fw.Model(model, example=inputs.head(1)).save(str(folder / "fairway-hgb"))
    write_script(folder / "fairway-identity", IDENTITY, folder / "fairway-hgb/schema.json")


def write_script(folder: Path, script: str, schema: Path) -> None:
    """A package that is a script with that schema."""
    folder.mkdir(exist_ok=True)
    (folder / "score.py").write_text(script)
    shutil.copy(schema, folder)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
