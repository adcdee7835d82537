"""What a training loop loses to an asynchronous checkpoint of 500 MB: while `save` blocks it, and in the seconds in which it is written."""

from __future__ import annotations

from statistics import median

from benchmarks.figures import OURS, Bar
from benchmarks.session import Benchmark, Session
from benchmarks.training.bench import command, found_by, project

TAKEN = Bar(
    "training-checkpoint",
    "a checkpoint of 500 MB amid training on one core: time taken from it, of a synchronous save",
    0.05,
    "× synchronous",
)
BOTH = "on both cores, which leaves none to the writer"


def measure(session: Session) -> None:
    folder = project(session, "checkpoint")
    saves = 3 if session.quick else 6
    for threads, where in ((1, "on one core"), (2, BOTH)):
        session.talk(f"checkpoints, {threads} threads")
        threaded = {"OMP_NUM_THREADS": str(threads)}
        words = command(
            session,
            folder,
            "fairway",
            "run",
            "saved.py",
            "--saves",
            str(saves),
            "--threads",
            str(threads),
            variables=threaded,
            timeout_s=300,
        )
        found = found_by(words, folder / "found.json")
        made = found["saves"]
        blocked, lost = [each["blocked"] for each in made], [each["lost"] for each in made]
        sync = median(found["sync"])
        taken = [(each["blocked"] + each["lost"]) / sync for each in made]
        through = f"written {median(each['through'] for each in made):.2f} s after its beginning; steps of {1000 * made[0]['pace']:.1f} ms"
        figure = TAKEN.name if threads == 1 else f"time taken from training {where}, of a synchronous save"
        session.record(figure, OURS, TAKEN.unit, list(taken), through)
        session.record(f"`save` blocks training {where}", OURS, "s", blocked, f"the first, into new memory: {found['first']:.3f} s")
        session.record(f"training loses while it is written {where}", OURS, "s", lost)
        durable = "with SHA-256 of all; survives a kill, not a power cut, as torch.save does"
        session.record(f"synchronous save {where}", OURS, "s", found["sync"], durable)
        session.record(f"synchronous save {where}", "torch.save", "s", found["torch"], "no digests")


BENCHMARK = Benchmark("training-checkpoint", "an asynchronous checkpoint of 500 MB", (TAKEN,), measure)
