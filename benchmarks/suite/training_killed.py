"""A rank of two is killed while they train: how long until they train again, less what the framework needs, and what was lost."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from statistics import median

from benchmarks.figures import OURS, Bar
from benchmarks.process import Command, CommandError
from benchmarks.session import Benchmark, Session
from benchmarks.training.bench import Watched, command, marks, project

BACK = Bar("training-killed", "SIGKILL of a rank to both training from the newest checkpoint, less the framework's own load", 3, "s")
LOST = Bar("training-lost", "steps done again after it, the most of all kills, by those between two checkpoints", 1, "intervals")
EVERY, STEPS = 20, 100
KILLS = ((1, 45), (0, 50), (1, 55))
"""(rank, step): a quarter, a half and three quarters of the way to the next checkpoint."""
AT_ONCE = (0, 39)
"""While the checkpoint of that step is being written."""


def measure(session: Session) -> None:
    folder = project(session, "killed")
    loads, wholes, ours, losts, notes = list[float](), list[float | None](), list[float | None](), list[float](), list[str]()
    kills = KILLS[:2] if session.quick else KILLS * 2
    for number, (rank, step) in enumerate(kills):
        session.talk(f"load {number + 1}")
        loads.append(load(session, folder))
        session.talk(f"kill {number + 1}")
        whole, own, lost, note = kill(session, folder, rank, step)
        wholes.append(whole)
        ours.append(own)
        losts.append(lost)
        notes.append(note)
    session.record("to training again, all of it", OURS, "s", wholes, "; ".join(notes))
    session.record("the framework's own load: imports, a meeting, a first step", "two bare processes", "s", list(loads))
    beside = f"all of it {median(filter(None, wholes)):.2f} s; two bare processes take {median(loads):.2f} s to their first step"
    session.record(BACK.name, OURS, "s", ours, beside)
    session.record(LOST.name, OURS, LOST.unit, [max(losts) / EVERY], f"{', '.join(f'{lost:g}' for lost in losts)} steps of {EVERY}")
    *_, lost, note = kill(session, folder, *AT_ONCE)
    session.record("steps lost when killed while a checkpoint is written", OURS, "steps", [lost], note)


def kill(session: Session, folder: Path, rank: int, step: int) -> tuple[float, float, float, str]:
    """(seconds from the kill to the first step of the slower rank, of them ours, steps done again, what it was made of).

    The framework's own are from the beginning of the step's function until both have met, and from the checkpoint to the first step.
    """
    made = marks(folder, "killed")
    words = ("fairway", "run", "killed.py", "--steps", str(STEPS), "--every", str(EVERY))
    run = Watched(command(session, folder, *words, variables={"MARKS": str(made)}))
    run.until(lambda: last_step(made / f"1-{rank}") >= step)
    os.kill(int((made / f"1-{rank}").read_text().split()[0]), signal.SIGKILL)
    killed = time.time()
    run.until(lambda: all(last_step(made / f"2-{each}") >= 0 for each in range(2)))
    run.finish()
    done = max(last_step(made / f"1-{each}") for each in range(2))
    heads = [(made / f"2-{each}").read_text().splitlines()[:2] for each in range(2)]
    first = int(heads[0][0].split()[1])
    begun, met, loaded = (max(float(head[0].split()[at]) for head in heads) for at in (2, 3, 4))
    back = max(float(head[1].split()[1]) for head in heads)
    parts = {"function": begun, "met": met, "loaded": loaded, "trained": back}
    note = f"rank {rank} at {step}: " + ", ".join(f"{name} {at - killed:.2f}" for name, at in parts.items()) + " s"
    return back - killed, (begun - killed) + (loaded - met), float(done - first + 1), note


def last_step(file: Path) -> int:
    """The newest that stands there whole; -1 before there is one."""
    lines = file.read_text().rpartition("\n")[0].splitlines() if file.exists() else []
    return int(lines[-1].split()[0]) if len(lines) > 1 else -1


def load(session: Session, folder: Path) -> float:
    """Two processes with torchrun's variables, from their start until both have trained a step."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    words: Command = command(session, folder, "python", "load.py")
    begun = time.perf_counter()
    ranks = [
        subprocess.Popen(
            list(words.argv),
            cwd=folder,
            env={**words.environ(), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for rank in range(2)
    ]
    said = [rank.stdout.readline() if rank.stdout else b"" for rank in ranks]
    took = time.perf_counter() - begun
    for rank in ranks:
        rank.communicate()
    if any(line.strip() != b"trained" for line in said):
        raise CommandError("two bare ranks do not train")
    return took


BENCHMARK = Benchmark("training-killed", "a rank is killed", (BACK, LOST), measure)
