"""The example that learns emojis: how good its linear model is on the texts given, and how long it all takes."""

from __future__ import annotations

import shutil

from benchmarks.figures import OURS, Bar
from benchmarks.peers import ROOT
from benchmarks.process import CommandError, run
from benchmarks.session import Benchmark, Session
from benchmarks.training.bench import command, last_run

F1 = Bar("emoji-f1", "the linear model of examples/emoji on texts held out: macro F1", 0.25, "", at_least=True)
FIVE = Bar("emoji-five", "the right emoji is among the five most likely", 0.60, "", at_least=True)
TIME = Bar("emoji-time", "the pipeline from the shell to the end", 120, "s")
DATA = ROOT.parent / "shared/data/emoji"


def measure(session: Session) -> None:
    if not DATA.exists():
        raise CommandError("the emoji texts are not beside the checkout")
    folder = session.work / "training-emoji"
    shutil.copytree(ROOT / "examples/emoji", folder, ignore=shutil.ignore_patterns("__pycache__", ".fairway"))
    (folder / "fairway.toml").touch()
    session.talk("emoji")
    sample = run(command(session, folder, "fairway", "run", "pipeline.py", "--path", str(DATA), timeout_s=300))[0]
    found = last_run(folder).tasks["fit"].metrics
    session.record(F1.name, OURS, "", [found["macro_f1"]])
    session.record(FIVE.name, OURS, "", [found["top5"]])
    session.record(TIME.name, OURS, "s", [sample.wall_s]).cpu_s = [sample.cpu_s]


BENCHMARK = Benchmark("training-emoji", "text to emojis", (F1, FIVE, TIME), measure)
