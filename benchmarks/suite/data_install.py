"""What the data extra brings over the base, and all that is installed for others."""

from __future__ import annotations

from benchmarks.data.contenders import OURS_FOLDER, absent, present
from benchmarks.figures import OURS, Bar
from benchmarks.process import CommandError
from benchmarks.serving.bench import keep_fresh
from benchmarks.session import Benchmark, Session
from benchmarks.suite.serving_install import count

DISTRIBUTIONS = Bar("data-install-distributions", "distributions that the data extra adds to the base", 12, "distributions")
SIZE = Bar("data-install-size", "their size, compiled files included", 250, "MB")
WHOLE = ("all that is installed for it", "the size of all that")


def measure(session: Session) -> None:
    python = session.peers.environments / OURS_FOLDER / "bin/python"
    if not python.exists():
        raise CommandError(f"our own environment is not installed: python -m benchmarks peers install {OURS_FOLDER}")
    keep_fresh(session, python)
    record(session, (DISTRIBUTIONS.name, SIZE.name), OURS, count(python, ["fairway[data]"], ["fairway"]))
    record(session, WHOLE, OURS, count(python, ["fairway[data]"], []))
    for one in present(session.peers, each_once=True):
        session.talk(one.label)
        record(session, WHOLE, one.label, count(one.python, [one.contender.distribution], []))
    for one in absent(session.peers):
        session.record(WHOLE[0], one.name, "distributions", [], f"not installed: python -m benchmarks peers install {one.folder}")


def record(session: Session, figures: tuple[str, str], name: str, found: dict[str, float]) -> None:
    session.record(figures[0], name, "distributions", [float(found["distributions"])])
    session.record(figures[1], name, "MB", [found["mb"]])


BENCHMARK = Benchmark("data-install", "what the data extra brings along", (DISTRIBUTIONS, SIZE), measure)
