"""The same training loop under Fairway and under what its framework brings, in pairs: samples a second, the first steps aside."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.figures import OURS, Bar, interval_of_ratios, ratio_of_pairs
from benchmarks.process import Command, CommandError
from benchmarks.session import Benchmark, Session
from benchmarks.training.bench import command, found_by, project
from benchmarks.training.rounds import take_rounds


@dataclass(frozen=True)
class Duel:
    """`ours` is a pipeline, `theirs` the words that start the same loop without us; `steps` take some seconds here."""

    name: str
    framework: str
    ours: str
    theirs: tuple[str, ...]
    steps: int

    @property
    def bar(self) -> Bar:
        what = f"{self.framework}, 2 ranks: samples a second in a step that logs every loss, of those under `{self.name}`"
        return Bar(f"training-throughput-{self.name}", what, 0.97, f"of {self.name}", at_least=True)


PAIRS, QUICK_PAIRS = 10, 5
_MPIRUN = ("mpirun", "--allow-run-as-root", "-np", "2", "python", "mpi_loop.py")
DUELS = (
    Duel("torchrun", "PyTorch", "torch_gang.py", ("torchrun", "--nproc-per-node", "2", "torch_loop.py"), 400),
    Duel("xgb.dask", "XGBoost", "xgboost_gang.py", ("python", "xgboost_dask.py"), 150),
    Duel("mpirun", "MPI", "mpi_gang.py", _MPIRUN, 3000),
)


def measure(session: Session) -> None:
    folder = project(session, "throughput")
    for duel in DUELS:
        if duel.theirs[0] == "mpirun" and not shutil.which("mpirun"):
            session.record(duel.bar.name, OURS, duel.bar.unit, [], "not installed: tools/apt_install.sh openmpi-bin")
            continue
        variables = {"STEPS": str(duel.steps)}
        ways = {
            OURS: command(session, folder, "fairway", "run", duel.ours, variables=variables),
            duel.name: command(session, folder, *duel.theirs, variables=variables),
        }
        pairs = QUICK_PAIRS if session.quick else PAIRS
        try:
            taken = take_rounds({name: partial(speed, words, folder) for name, words in ways.items()}, pairs, session.talk)
        except CommandError as error:
            session.record(duel.bar.name, OURS, duel.bar.unit, [], str(error))
            continue
        found = taken.found
        for name, values in found.items():
            session.record(f"samples a second of {duel.framework}", name, "", values)
        ratios = [ratio_of_pairs([ours], [theirs]) for ours, theirs in zip(found[OURS], found[duel.name], strict=True)]
        row = session.record(duel.bar.name, OURS, duel.bar.unit, ratios, "; ".join(filter(None, (f"{pairs} pairs", taken.note))))
        row.interval = interval_of_ratios(ratios) or ()


def speed(words: Command, folder: Path) -> float:
    """Samples a second of one run. Raises CommandError."""
    told = found_by(words, folder / "found.json")
    return told["samples"] / told["seconds"]


BENCHMARK = Benchmark("training-throughput", "training under Fairway and without it", tuple(duel.bar for duel in DUELS), measure)
