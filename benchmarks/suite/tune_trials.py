"""200 trials that do nothing, two at once, suggested by TPE: what each costs beyond Optuna's own asking and telling."""

from __future__ import annotations

from pathlib import Path

from benchmarks.figures import OURS, Bar
from benchmarks.process import Command, CommandError, run
from benchmarks.session import Benchmark, Session
from benchmarks.training.bench import command, has, project

TRIAL = Bar("tune-trial", "200 trivial trials, 2 at once, TPE, from the shell to the end: each, beyond Optuna's own ask and tell", 25, "ms")
MANY_TRIALS = Bar("tune-trial-2000", "2,000 of them: each, beyond Optuna's own ask and tell of as many", 25, "ms")
TRIALS, FEW, MANY = 200, 20, 2000
FIGURE = "a trial, from the shell to the end"


def search(session: Session, folder: Path, trials: int, **more: str) -> Command:
    """Ours, from the command line."""
    vary = ("--vary", "x=float:-5:5", "--vary", "y=float:-5:5", "--metric", "result", "--direction", "min", "--seed", "0")
    words = ("fairway", "tune", "tuned.py:trial", *vary, "--trials", str(trials), "--parallel", "2", "--no-cache")
    return command(session, folder, *words, variables=more, timeout_s=240 if trials < MANY else 1200)


def measure(session: Session) -> None:
    folder = project(session, "tune")
    ways = {OURS: (search(session, folder, TRIALS), TRIALS)}
    ways["optuna, 2 processes by joblib"] = (command(session, folder, "python", "tune_optuna.py", "processes", str(TRIALS)), TRIALS)
    ray = has(session, "ray.tune.search.optuna")
    if ray:
        trials = FEW if session.quick else TRIALS
        ways["ray tune"] = (command(session, folder, "python", "tune_ray.py", str(trials), timeout_s=300), trials)
    found: dict[str, list[float | None]] = {name: [] for name in ways}
    asking = list[float | None]()
    for number in range(2 if session.quick else 3):
        session.talk(f"ask and tell {number + 1}")
        asking.append(ask(session, folder, TRIALS))
        for name, (words, trials) in ways.items():
            if name == "ray tune" and number:
                continue
            session.talk(f"{name} {number + 1}")
            (folder / "study.log").unlink(missing_ok=True)
            try:
                found[name].append(1000 * run(words)[0].wall_s / trials)
            except CommandError as error:
                if name == OURS:
                    raise
                session.record(FIGURE, name, "ms", [], str(error))
    for name, (_, trials) in ways.items():
        if found[name]:
            few = ", so its start is a larger part" if trials < TRIALS else ""
            session.record(FIGURE, name, "ms", found[name], f"{trials} trials{few}")
    if not ray:
        session.record(FIGURE, "ray tune", "ms", [], "it does not install here")
    session.record("Optuna's own ask and tell, one process, in memory", "optuna", "ms", asking)
    session.record(TRIAL.name, OURS, "ms", [a - b for a, b in zip(found[OURS], asking, strict=True) if a is not None and b is not None])
    if not session.quick:
        measure_many(session, folder)


def ask(session: Session, folder: Path, trials: int) -> float:
    """Milliseconds a trial that Optuna asks and tells by itself."""
    return 1000 * float(run(command(session, folder, "python", "tune_optuna.py", "ask", str(trials)))[1].split()[-1]) / trials


def measure_many(session: Session, folder: Path) -> None:
    """What a search costs once it knows much."""
    session.talk(f"{MANY} trials, ask and tell")
    own = ask(session, folder, MANY)
    session.talk(f"{MANY} trials")
    took, _ = run(search(session, folder, MANY))
    session.record(
        f"a trial of {MANY}, from the shell to the end", OURS, "ms", [1000 * took.wall_s / MANY], f"{took.cpu_s:.0f} s of CPU in all"
    )
    session.record(f"Optuna's own ask and tell of {MANY}", "optuna", "ms", [own])
    session.record(MANY_TRIALS.name, OURS, "ms", [1000 * took.wall_s / MANY - own])


BENCHMARK = Benchmark("tune-trials", "searches of 200 and of 2,000 trivial trials", (TRIAL, MANY_TRIALS), measure)
