"""`python -m benchmarks [NAME …]`: measure, print, and write benchmarks/results/*.json. `peers install` and `page` are beside it."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import peers, report
from benchmarks.data import contenders as readers_of_data
from benchmarks.machine import describe_machine
from benchmarks.process import CommandError
from benchmarks.serving import contenders
from benchmarks.session import Benchmark, Session, open_session
from benchmarks.suite import BENCHMARKS
from benchmarks.training import bench as training

RESULTS = Path(__file__).parent / "results"
PAGE = peers.ROOT / "docs/explanation/performance.md"
WORDS = {"peers", "page"}


def main(argv: list[str]) -> int:
    """Exit status 0 whether bars are met or missed: it measures. 2 for a name that there is not."""
    if argv[:2] == ["peers", "install"]:
        return install(argv[2:])
    if argv[:1] == ["page"]:
        return write_page([Path(name) for name in argv[1:]])
    options = parse(argv)
    known = {benchmark.name: benchmark for benchmark in BENCHMARKS}
    unknown = [name for name in options.names if name not in known]
    if unknown:
        print(f"there is no benchmark {unknown[0]!r}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    if options.list:
        for benchmark in BENCHMARKS:
            print(f"{benchmark.name:<22}{benchmark.what}\n" + "\n".join(f"  {bar.name:<24}{bar.what}" for bar in benchmark.bars))
        return 0
    wanted = None if options.peers == "all" else [] if options.peers == "none" else options.peers.split(",")
    found = peers.Peers(Path(options.peer_files), Path(options.peer_environments), wanted)
    settings = {"runs": options.runs or (3 if options.quick else 9), "long_runs": options.long_runs or (1 if options.quick else 3)}
    settings |= {
        "peers": found,
        "fairway": Path(options.fairway).absolute(),
        "quick": options.quick,
        "talk": talk if sys.stderr.isatty() else silent,
    }
    measure_all([known[name] for name in options.names or known], settings, options.output)
    return 0


def install(names: list[str]) -> int:
    """Make the environments of the peers named (those of pipelines, if none is). 1 if one could not be made."""
    servers = [name for name in names if name.startswith("serving-")]
    readers = [name for name in names if name.startswith("data-")]
    trainers = [name for name in names if name == training.FOLDER]
    others = [name for name in names if name not in (*servers, *readers, *trainers)]
    failed = contenders.install(servers, peers.ENVIRONMENTS) if servers else 0
    failed += readers_of_data.install(readers, peers.ENVIRONMENTS) if readers else 0
    failed += training.install(trainers, peers.ENVIRONMENTS) if trainers else 0
    failed += peers.install(others, peers.ENVIRONMENTS) if others or not names else 0
    return min(failed, 1)


def measure_all(chosen: list[Benchmark], settings: dict[str, Any], output: str) -> None:
    """Measure the benchmarks one after the other; the results so far are on disk after each."""
    started = datetime.now(UTC)
    path = Path(output) if output else RESULTS / f"{started:%Y%m%d-%H%M%S}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_session(**settings) as session:
        result = {
            "started_at": started.isoformat(timespec="seconds"),
            "load_before": os.getloadavg()[0],
            "machine": describe_machine(session.work),
        }
        result |= {"not_installed": session.peers.absent(), "results": []}
        machine = result["machine"]
        print(f"{machine['processor']}, {machine['cores']} cores, load {result['load_before']:.1f}; commit {machine['commit']}", flush=True)
        if session.peers.absent():
            print(f"not installed: {', '.join(session.peers.absent())}  (python -m benchmarks peers install NAME …)")
        done = []
        for benchmark in chosen:
            session.rows = []
            begun = time.monotonic()
            measure_one(session, benchmark)
            done.append((benchmark.bars, session.rows))
            result["results"].append(report.to_json(benchmark.name, benchmark.bars, session.rows))
            result["load_after"] = os.getloadavg()[0]
            path.write_text(json.dumps(result, indent=1, ensure_ascii=False), encoding="utf-8")
            took = f"{benchmark.name}: {benchmark.what} ({time.monotonic() - begun:.0f} s, load {os.getloadavg()[0]:.1f})"
            print("\r\033[K" * sys.stderr.isatty() + "\n" + report.render_benchmark(took, benchmark.bars, session.rows), flush=True)
    print(f"\n{report.render_summary(done)}\n\nwritten: {os.path.relpath(path)}")


def measure_one(session: Session, benchmark: Benchmark) -> None:
    """A benchmark that can't be prepared leaves its bars unmeasured and says why; the next one is measured all the same."""
    try:
        benchmark.measure(session)
    except CommandError as error:
        session.record(benchmark.bars[0].name, "fairway", benchmark.bars[0].unit, [], str(error))


def write_page(paths: list[Path]) -> int:
    """Put the figures of result files (the newest, if none is named; of several, the later one's where both measured) into the page.

    A section of which they measured nothing stays as it is.
    """
    newest = paths or sorted(RESULTS.glob("*.json"))[-1:]
    if not newest:
        print("nothing has been measured yet: python -m benchmarks", file=sys.stderr)
        return 2
    result = report.merge([json.loads(path.read_text(encoding="utf-8")) for path in newest], [benchmark.name for benchmark in BENCHMARKS])
    text = PAGE.read_text(encoding="utf-8")
    for section, part in report.split_sections(result).items():
        text = report.put_page(text, section, report.render_page(part))
        measured = {each["benchmark"] for each in part["results"]}
        absent = [each.name for each in BENCHMARKS if report.find_section(each.name) == section and each.name not in measured]
        print(f"figures of {section}" + (f", without {', '.join(absent)}" if absent else ""))
    PAGE.write_text(text, encoding="utf-8")
    print(f"written: {os.path.relpath(PAGE)}")
    return 0


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line of the measuring itself."""
    parser = argparse.ArgumentParser("python -m benchmarks", description="Measure every bar, peers in turns with us.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks (--list names them); all of them if left out")
    parser.add_argument("--list", action="store_true", help="say what there is to measure")
    parser.add_argument("--runs", type=int, default=0, help="runs of short commands (9; 3 with --quick)")
    parser.add_argument("--long-runs", type=int, default=0, help="runs of long commands (3; 1 with --quick)")
    parser.add_argument("--quick", action="store_true", help="fewer runs, and not the 10,000 heavy tasks")
    parser.add_argument("--peers", default="all", help="names with commas, `all` that are installed, or `none`")
    parser.add_argument("--peer-files", default=str(peers.FILES), help="folder with PEER/hello.py, PEER/pipe.py, …")
    parser.add_argument("--peer-environments", default=str(peers.ENVIRONMENTS), help="folder with an environment for each peer")
    parser.add_argument("--fairway", default=str(Path(sys.executable).with_name("fairway")), help="the program to measure")
    parser.add_argument("--output", default="", help="the JSON file to write")
    return parser.parse_args(argv)


def talk(text: str) -> None:
    """Say on the terminal what is running."""
    print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def silent(_text: str) -> None:
    """Nobody watches."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
