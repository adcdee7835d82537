"""A gigabyte of XML, read to the end with all its columns: how fast, and in how much memory."""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.figures import OURS, Bar
from benchmarks.peers import ROOT
from benchmarks.process import CommandError
from benchmarks.session import Benchmark, Session

TIME = Bar("data-xml-time", "reading 1 GB of XML, of which 40 MB/s are the bar", 25, "s/GB")
MEMORY = Bar("data-xml-memory", "memory meanwhile", 200, "MB")


def measure(session: Session) -> None:
    megabytes = 50 if session.quick else 1_000
    path = session.work / "catalogue.xml"
    _run("make", str(path), str(megabytes))
    gigabytes = path.stat().st_size / 1e9
    found = [json.loads(_run("read", str(path))) for _ in range(1 if session.quick else 3)]
    path.unlink()
    session.record(TIME.name, OURS, "s/GB", [one["wall_s"] / gigabytes for one in found])
    session.record("data-xml-cpu", OURS, "s/GB", [one["cpu_s"] / gigabytes for one in found])
    session.record(MEMORY.name, OURS, "MB", [one["mb"] for one in found])


def _run(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "benchmarks.data.xmlread", *words], cwd=ROOT, check=False, capture_output=True, text=True)
    if done.returncode:
        raise CommandError(done.stderr.strip().rpartition("\n")[2])
    return done.stdout


BENCHMARK = Benchmark("data-xml", "XML", (TIME, MEMORY), measure)
