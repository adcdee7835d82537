"""What the serving extra brings over the base and what the model needs, and how much the others' servers bring over a model's libraries."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks import installed
from benchmarks.figures import OURS, Bar
from benchmarks.process import CommandError
from benchmarks.serving.bench import contenders
from benchmarks.serving.contenders import CONTENDERS, SKLEARN
from benchmarks.session import Benchmark, Session

DISTRIBUTIONS = Bar(
    "serving-install-distributions", "distributions that the serving extra adds to the base and to scikit-learn", 12, "distributions"
)
SIZE = Bar("serving-install-size", "their size, compiled files included", 15, "MB")
_MODEL = ("scikit-learn", "skops")


def measure(session: Session) -> None:
    if not any(contender.name == OURS for contender, _ in contenders(session)):
        raise CommandError(f"our own environment is not installed: python -m benchmarks peers install {CONTENDERS[0].environment}")
    for contender, python in contenders(session):
        session.talk(contender.name)
        names = ["fairway[serve]", *_MODEL] if contender.name == OURS else [*contender.installs]
        try:
            if contender.name == OURS:
                _record(session, (DISTRIBUTIONS.name, SIZE.name), OURS, count(python, names, ["fairway", *_MODEL]))
            brought = count(python, names, [*_MODEL, *SKLEARN])
            _record(session, ("what is installed beside scikit-learn's", "its size"), contender.name, brought)
        except CommandError as error:
            session.record(DISTRIBUTIONS.name, contender.name, "distributions", [], str(error)[:200])


def count(python: Path, names: Sequence[str], less: Sequence[str]) -> dict[str, float]:
    """What these need in that environment beyond what `less` needs. Raises CommandError."""
    words = [python, installed.__file__, *names, "--less", *less]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandError(done.stderr.strip().rpartition("\n")[2])
    return json.loads(done.stdout)


def _record(session: Session, figures: tuple[str, str], name: str, found: dict[str, float]) -> None:
    session.record(figures[0], name, "distributions", [float(found["distributions"])])
    session.record(figures[1], name, "MB", [found["mb"]])


BENCHMARK = Benchmark("serving-install", "what a model server brings along", (DISTRIBUTIONS, SIZE), measure)
