"""`python tune_ray.py N`: the same search by Ray Tune with Optuna's sampler, two trials at once."""

import os
import sys

import optuna
import ray
from ray import tune
from ray.tune.search.optuna import OptunaSearch


def trial(config: dict[str, float]) -> dict[str, float]:
    return {"error": (config["x"] - 2) ** 2 + (config["y"] + 1) ** 2}


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    sampler = optuna.samplers.TPESampler(seed=0, constant_liar=True)
    search = OptunaSearch(metric="error", mode="min", sampler=sampler)
    space = {"x": tune.uniform(-5, 5), "y": tune.uniform(-5, 5)}
    settings = tune.TuneConfig(search_alg=search, num_samples=int(sys.argv[1]), max_concurrent_trials=2)
    run = tune.RunConfig(storage_path=os.path.abspath("ray"), verbose=0)
    found = tune.Tuner(trial, param_space=space, tune_config=settings, run_config=run).fit()
    assert len(found) == int(sys.argv[1])
    print(found.get_best_result("error", "min").metrics["error"])
