"""What is deployed one after the other: two models of scikit-learn, a script, the same script with another library, one that fails."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

_SCRIPT = """
import json
import os

import joblib
import pricing


def init():
    global model
    model = joblib.load(os.path.join(os.path.dirname(__file__), "model.joblib"))


def run(raw_data):
    rows = json.loads(raw_data)["inputs"]
    return {"predictions": [pricing.weigh(value) for value in model.predict_proba(rows)[:, 1].tolist()]}
"""
_BROKEN = "def init():\n    pass\n\n\ndef run(raw_data):\n    raise ValueError('it never works')\n"
_ROW = [20000.0, 2.0, 2.0, 1.0, 24.0, 2.0, 2.0, -1.0]


@dataclass
class Revisions:
    """Sources, the body that all are asked with, and the first number that each revision has to answer."""

    first: str
    second: str
    script: str
    library: str
    broken: str
    body: bytes
    right: dict[bytes, float]

    def is_right(self, headers: dict[bytes, bytes], body: bytes) -> bool:
        """The answer of exactly the revision that says it gave it."""
        expected = self.right.get(headers.get(b"fairway-revision", b""))
        if expected is None:
            return False
        value = json.loads(body)["predictions"]
        value = value["predictions"] if isinstance(value, dict) else value  # a script's own
        return math.isclose(float(value[0]), expected, rel_tol=1e-6)


def make_revisions(folder: Path) -> Revisions:
    """Trains on the spot."""
    import joblib
    import numpy as np
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

    import fairway as fw

    generator = np.random.default_rng(7)
    x = generator.normal(size=(2000, len(_ROW))) * np.abs(_ROW)
    y = (x[:, 0] + x[:, 3] > 0).astype(int)
    one = HistGradientBoostingClassifier(random_state=0, max_iter=60).fit(x, y)
    two = RandomForestClassifier(n_estimators=8, max_depth=4, random_state=1, n_jobs=1).fit(x, y)
    for name, model in (("one", one), ("two", two)):
        fw.Model(model, example=np.array([_ROW])).save(str(folder / name))
    chance = float(one.predict_proba([_ROW])[0, 1])
    for name, factor in (("script", 10), ("library", 100)):
        (folder / name).mkdir()
        joblib.dump(one, folder / name / "model.joblib")
        (folder / name / "score.py").write_text(_SCRIPT)
        (folder / name / "pricing.py").write_text(f"def weigh(value):\n    return {factor} * value\n")
    (folder / "broken").mkdir()
    (folder / "broken/score.py").write_text(_BROKEN)
    return Revisions(
        str(folder / "one"), str(folder / "two"), str(folder / "script/score.py"), str(folder / "library/score.py"),
        str(folder / "broken/score.py"), json.dumps({"inputs": [_ROW]}).encode(),
        {b"1": float(one.predict([_ROW])[0]), b"2": float(two.predict([_ROW])[0]), b"3": 10 * chance, b"4": 100 * chance},
    )  # fmt: skip
