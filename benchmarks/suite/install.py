"""Installing into an empty environment: how much comes along; how long importing and asking for help take there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks import installed
from benchmarks.figures import OURS, Bar, difference_of_pairs
from benchmarks.peers import ROOT
from benchmarks.process import Command, CommandError, run_in_turns
from benchmarks.session import Benchmark, Session

DISTRIBUTIONS = Bar("install-distributions", "distributions in an environment that was empty", 16, "distributions")
SIZE = Bar("install-size", "their size, compiled files included", 30, "MB")
IMPORT = Bar("import", "`import fairway` over `python -c pass`", 30, "ms")
HELP = Bar("help", "`fairway --help`", 80, "ms")


def measure(session: Session) -> None:
    try:
        python = make_environment(session, session.work / "empty")
    except CommandError as error:
        session.record(DISTRIBUTIONS.name, OURS, "distributions", [], str(error))
        return
    pythons = {OURS: (python, "fairway", "fairway")}
    for peer in session.peers.present():
        found = session.peers.find_python(peer)
        if peer.distribution and peer.environment == peer.name and found:
            pythons[peer.name] = (found, peer.distribution, peer.module)
    for name, (each, distribution, _) in pythons.items():
        done = subprocess.run([each, installed.__file__, distribution], capture_output=True, text=True, check=False)
        if done.returncode:
            session.record(DISTRIBUTIONS.name, name, "distributions", [], done.stderr.strip().rpartition("\n")[2])
            continue
        size = json.loads(done.stdout)
        session.record(DISTRIBUTIONS.name, name, "distributions", [float(size["distributions"])])
        session.record(SIZE.name, name, "MB", [size["mb"]])
    time_imports(session, {name: (each, module) for name, (each, _, module) in pythons.items()})
    command = {OURS: Command((str(python.with_name("fairway")), "--help"), session.work, expect="Usage: fairway")}
    found = run_in_turns(command, 3 * session.runs, progress=session.talk)[OURS]
    row = session.record(HELP.name, OURS, "ms", [wall and wall * 1000 for wall in found.walls], found.error)
    row.cpu_s, row.load = found.cpus, found.load


def make_environment(session: Session, folder: Path) -> Path:
    """The Python of a new environment with nothing but Fairway's wheel and what that requires."""
    session.talk("building the wheel")
    _must(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(session.work / "dist"), str(ROOT))
    wheel = next((session.work / "dist").glob("fairway-*.whl"))
    session.talk("installing the wheel")
    _must(sys.executable, "-m", "venv", str(folder))
    python = folder / "bin/python"
    _must(str(python), "-m", "pip", "install", "--quiet", str(wheel))
    return python


def _must(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandError(f"{' '.join(words[1:4])}: {(done.stderr or done.stdout).strip().rpartition(chr(10))[2]}")


def time_imports(session: Session, modules: dict[str, tuple[Path, str]]) -> None:
    """Each environment's `python -c "import M"` beside the same Python's `-c pass`."""
    commands = {}
    for name, (python, module) in modules.items():
        commands[name, "import"] = Command((str(python), "-c", f"import {module}"), session.work)
        commands[name, "pass"] = Command((str(python), "-c", "pass"), session.work)
    found = run_in_turns(commands, 3 * session.runs, progress=session.talk)
    for name in modules:
        imported, bare = found[name, "import"], found[name, "pass"]
        row = session.record(IMPORT.name, name, "ms", difference_of_pairs(imported.walls, bare.walls, 1000), imported.error)
        row.cpu_s = difference_of_pairs(imported.cpus, bare.cpus)


BENCHMARK = Benchmark("install", "installing, importing, asking for help", (DISTRIBUTIONS, SIZE, IMPORT, HELP), measure)
