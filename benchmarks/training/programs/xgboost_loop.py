"""Rows, settings, and a clock for the rounds of boosting."""

import json
import os
import time
from pathlib import Path

import numpy as np
import xgboost

ROWS, FEATURES, WARM = 200_000, 20, 5
SETTINGS = {"objective": "binary:logistic", "tree_method": "hist", "max_depth": 6, "eta": 0.1, "nthread": 1}


def rows(rank: int, world: int) -> tuple[np.ndarray, np.ndarray]:
    """This rank's part of all."""
    features = np.random.default_rng(rank).random((ROWS // world, FEATURES), dtype=np.float32)
    return features, (features[:, 0] + features[:, 1] * features[:, 2] > 0.75).astype(np.float32)


class Clock(xgboost.callback.TrainingCallback):
    """One rank writes how long all rounds but the first ones took."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = 0.0

    def after_iteration(self, model, epoch, evals_log) -> bool:
        if epoch == WARM - 1:
            self.begun = time.perf_counter()
        return False

    def after_training(self, model):
        took, rounds = time.perf_counter() - self.begun, int(os.environ["STEPS"])
        if xgboost.collective.get_rank() == 0:
            found = {"seconds": took, "samples": rounds * ROWS, "workers": xgboost.collective.get_world_size()}
            Path(os.environ["FOUND"]).write_text(json.dumps(found))
        return model


def rounds() -> int:
    return int(os.environ["STEPS"]) + WARM
