"""Trains the model that score.py serves: who will default, from five columns of the customers that default_risk invents.

python train.py
"""

import shutil
import sys
from pathlib import Path

import fairway as fw

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "default_risk"))

from generate import TARGET, generate  # noqa: E402
from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: E402
from sklearn.metrics import roc_auc_score  # noqa: E402

COLUMNS = ["LIMIT_BAL", "AGE", "PAY_0", "BILL_AMT1", "PAY_AMT1"]


def train(rows: int = 5_000) -> fw.Model:
    """A small model, with an example of what it takes and how good it is on customers it has not seen."""
    seen, unseen = generate(rows, seed=1), generate(rows, seed=2)
    model = HistGradientBoostingClassifier(max_iter=50, random_state=0).fit(seen[COLUMNS], seen[TARGET])
    auc = roc_auc_score(unseen[TARGET], model.predict_proba(unseen[COLUMNS])[:, 1])
    return fw.Model(model, example=seen[COLUMNS].head(2), metrics={"auc": round(float(auc), 4)})


if __name__ == "__main__":
    shutil.rmtree(HERE / "model", ignore_errors=True)
    trained = train()
    trained.save(HERE / "model")
    print(f"wrote {HERE / 'model'}: {dict(trained.metrics)}")
