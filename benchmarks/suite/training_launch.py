"""From starting a gang of two PyTorch ranks to the moment at which both have met."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from benchmarks.figures import OURS, Bar, ratio_of_pairs
from benchmarks.process import Command, CommandError, run
from benchmarks.session import Benchmark, Session
from benchmarks.training.bench import command, last_run, marks, project
from benchmarks.training.rounds import take_rounds

WARM = Bar("training-warm", "two PyTorch ranks, worker warm: from the end of the step before to `init_process_group` done", 0.5, "s")
SCRIPT = Bar("training-cold", "nothing warm: from the shell to `init_process_group` done, the same script", 1.0, "of torchrun")
STEP = Bar("training-cold-step", "the same as a step in Python", 1.0, "of torchrun")
FIGURE = "from the shell to `init_process_group` done"


def measure(session: Session) -> None:
    folder = project(session, "launch")
    measure_warm(session, folder)
    ways = {
        OURS: command(session, folder, "fairway", "run", "launch_command.py"),
        "fairway, a step": command(session, folder, "fairway", "run", "launch_step.py"),
        "torchrun": command(session, folder, "torchrun", "--nproc-per-node", "2", "launch.py"),
    }
    for words in ways.values():  # a first round reads files from disk and compiles sources
        with suppress(CommandError):
            meet(words, folder)
    taken = take_rounds({name: partial(meet, words, folder) for name, words in ways.items()}, 5 if session.quick else 10, session.talk)
    found = taken.found
    for name, values in found.items():
        session.record(FIGURE, name, "s", values)
    for bar, name in ((SCRIPT, OURS), (STEP, "fairway, a step")):
        pairs = [ratio_of_pairs([ours], [theirs]) for ours, theirs in zip(found[name], found["torchrun"], strict=True)]
        session.record(bar.name, OURS, bar.unit, pairs, taken.note)


def meet(words: Command, folder: Path) -> float:
    """Seconds until the later rank has met the other."""
    made = marks(folder, "launch")
    begun = time.time()
    run(Command(words.argv, folder, {**words.variables, "MARKS": str(made)}, timeout_s=60))
    return latest(made, "") - begun


def latest(made: Path, prefix: str) -> float:
    """When the later of both ranks wrote its mark. Raises CommandError if one did not."""
    files = [made / f"{prefix}{rank}" for rank in range(2)]
    if not all(file.exists() for file in files):
        raise CommandError("a rank has not met the other")
    return max(float(file.read_text()) for file in files)


def measure_warm(session: Session, folder: Path) -> None:
    """A chain of gangs, the first of which is cold."""
    session.talk("warm")
    made = marks(folder, "warm")
    count = 6 if session.quick else 11
    run(command(session, folder, "fairway", "run", "launch_warm.py", variables={"MARKS": str(made), "GANGS": str(count)}))
    told = last_run(folder)
    ended = [event.at for _, event in told.workspace.events(told.id) if type(event).__name__ == "AttemptEnded"]
    session.record(WARM.name, OURS, "s", [latest(made, f"{number}-") - ended[number - 1] for number in range(1, count)])


BENCHMARK = Benchmark("training-launch", "how long two PyTorch ranks take to meet", (WARM, SCRIPT, STEP), measure)
