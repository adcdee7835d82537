"""What a training loop loses to an asynchronous checkpoint of 500 MB: while `save` blocks it, and in the seconds in which it is written."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from benchmarks.figures import OURS, Bar
from benchmarks.session import Benchmark, Session
from benchmarks.training.bench import command, found_by, project

_WHAT = "a checkpoint of 500 MB, beside=True: time taken from a training on one core, of a synchronous save"
_PLAIN = "the same without beside=True: time taken from training"
TAKEN = Bar("training-checkpoint", _WHAT, 0.05, "× synchronous")


@dataclass(frozen=True)
class Setting:
    """How the loop is run, and what of it is said. `durable`: what the checkpoint survives."""

    threads: int
    power: bool
    where: str

    @property
    def durable(self) -> str:
        return "with SHA-256 of all; survives " + ("a power cut" if self.power else "a kill, not a power cut, as torch.save does")


SETTINGS = (
    Setting(1, False, "on one core"),
    Setting(1, True, 'on one core, durability="power"'),
    Setting(2, False, "on both cores, which leaves none to the writer"),
)


def measure(session: Session) -> None:
    folder = project(session, "checkpoint")
    saves = 3 if session.quick else 6
    for number, setting in enumerate(SETTINGS):
        session.talk(f"checkpoints {setting.where}")
        many = saves if setting.threads == 1 else 1  # the writer hardly comes to its turn there
        asked = ("--saves", str(many), "--threads", str(setting.threads), *(("--power",) if setting.power else ()))
        threads = {"OMP_NUM_THREADS": str(setting.threads)}
        words = command(session, folder, "fairway", "run", "saved.py", *asked, variables=threads, timeout_s=300)
        found = found_by(words, folder / "found.json")
        made = found["saves"]
        sync = median(found["sync"])
        taken = [(each["blocked"] + each["lost"]) / sync for each in made]
        through = f"written {median(each['through'] for each in made):.2f} s after its beginning; steps of {1000 * made[0]['pace']:.1f} ms"
        figure = f"time taken from training {setting.where}, of a synchronous save" if number else TAKEN.name
        session.record(figure, OURS, TAKEN.unit, list(taken), through)
        plain = [(each["blocked"] + each["lost"]) / sync for each in found["plain"]]
        session.record(f"{_PLAIN} {setting.where}", OURS, TAKEN.unit, plain)
        session.record(f"`save` blocks training {setting.where}, beside=False", OURS, "s", [each["blocked"] for each in found["plain"]])
        first = f"the first, into new memory: {found['first']:.3f} s"
        session.record(f"`save` blocks training {setting.where}", OURS, "s", [each["blocked"] for each in made], first)
        session.record(f"training loses while it is written {setting.where}", OURS, "s", [each["lost"] for each in made])
        session.record(f"synchronous save {setting.where}", OURS, "s", found["sync"], setting.durable)
        theirs = "no digests" + (", with fsync" if setting.power else "")
        session.record(f"synchronous save {setting.where}", "torch.save", "s", found["torch"], theirs)


BENCHMARK = Benchmark("training-checkpoint", "an asynchronous checkpoint of 500 MB", (TAKEN,), measure)
