"""`python tune_optuna.py ask|processes N`: the same search in Optuna. `ask` prints what suggesting and telling take, two trials at once."""

import sys
import time

import optuna


def objective(trial: optuna.Trial) -> float:
    x, y = trial.suggest_float("x", -5, 5), trial.suggest_float("y", -5, 5)
    return (x - 2) ** 2 + (y + 1) ** 2


def sampler(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.TPESampler(seed=seed, constant_liar=True)


def ask(count: int) -> None:
    """In one process, in memory: the least that it can take."""
    study = optuna.create_study(sampler=sampler(0))
    begun = time.perf_counter()
    waiting = list[tuple[optuna.Trial, float]]()
    for _ in range(count):
        trial = study.ask()
        waiting.append((trial, objective(trial)))
        if len(waiting) == 2:
            study.tell(*waiting.pop(0))
    study.tell(*waiting.pop())
    print(time.perf_counter() - begun)


def work(seed: int, count: int) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend("study.log"))
    optuna.load_study(study_name="search", storage=storage, sampler=sampler(seed)).optimize(objective, n_trials=count)


def processes(count: int) -> None:
    """Two processes by joblib with a journal as storage, as Optuna's documentation has it for several processes."""
    import joblib

    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend("study.log"))
    study = optuna.create_study(study_name="search", storage=storage)
    joblib.Parallel(n_jobs=2)(joblib.delayed(work)(seed, count // 2) for seed in range(2))
    assert len(study.trials) == count
    print(study.best_value)


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    {"ask": ask, "processes": processes}[sys.argv[1]](int(sys.argv[2]))
