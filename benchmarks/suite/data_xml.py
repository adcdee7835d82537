"""A gigabyte of XML, read to the end with all its columns: how fast, and in how much memory."""

from __future__ import annotations

import sys

from benchmarks.data import tables, xmlread
from benchmarks.data.contenders import run_json
from benchmarks.figures import OURS, Bar
from benchmarks.session import Benchmark, Session

TIME = Bar("data-xml-time", "reading 1 GB of XML, of which 40 MB/s are the bar", 25, "s/GB")
MEMORY = Bar("data-xml-memory", "memory meanwhile", 200, "MB")
MEGABYTES = 1_000


def measure(session: Session) -> None:
    path = tables.catalogue(session, MEGABYTES)
    gigabytes = path.stat().st_size / 1e9
    session.talk("reading XML")
    found = [run_json([sys.executable, "-m", xmlread.__name__, "read", str(path)]) for _ in range(session.long_runs)]
    session.record("XML read in a second", OURS, "MB", [gigabytes * 1000 / one["wall_s"] for one in found])
    session.record(TIME.name, OURS, "s/GB", [one["wall_s"] / gigabytes for one in found]).cpu_s = [one["cpu_s"] for one in found]
    session.record(MEMORY.name, OURS, "MB", [max(one["mb"] for one in found)])


BENCHMARK = Benchmark("data-xml", "XML", (TIME, MEMORY), measure)
