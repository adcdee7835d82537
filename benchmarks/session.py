"""One call of the benchmarks: what is asked for, where it works, what was found so far."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.figures import OURS, Bar, Row, judge, ratio_of_pairs
from benchmarks.memory import measure_peak
from benchmarks.peers import Peers
from benchmarks.process import SLOW_S, Command, CommandError, Series, run, run_in_turns

PIPELINES = Path(__file__).parent / "pipelines"


@dataclass(frozen=True)
class Benchmark:
    """What `measure` records rows for. `bars`: the promises among them."""

    name: str
    what: str
    bars: tuple[Bar, ...]
    measure: Callable[[Session], None]


@dataclass
class Session:
    """`runs`: of short commands; `long_runs`: of those that take many seconds. `work`: a folder that is gone afterwards."""

    work: Path
    runs: int = 9
    long_runs: int = 3
    peers: Peers = field(default_factory=Peers)
    fairway: Path = field(default_factory=lambda: Path(sys.executable).with_name("fairway"))
    quick: bool = False
    talk: Callable[[str], None] = field(default=lambda _text: None)
    rows: list[Row] = field(default_factory=list)

    def project(self, name: str) -> Path:
        """A folder with a copy of our pipelines, as a user's project; made when first asked for."""
        folder = self.work / name
        if not folder.exists():
            shutil.copytree(PIPELINES, folder, ignore=shutil.ignore_patterns("__pycache__"))
        return folder

    def ours(self, folder: Path, *words: str, **more: object) -> Command:
        """`fairway WORDS` in `folder`."""
        return replace(Command((str(self.fairway), *words), folder), **more)

    def beside(self, ours: Command | None, mode: str, count: int, *, again: bool = False) -> dict[str, Command]:
        """Ours and each peer's command of that mode, by name. A peer that cannot be prepared is recorded as such."""
        commands = {OURS: ours} if ours else {}
        for peer in self.peers.present():
            command = self.peers.command(peer, mode, count, self.work / f"peers-{mode}", again=again)
            if command:
                commands[peer.name] = command
        return commands

    def time(
        self, figure: str, commands: Mapping[str, Command], *, runs: int = 0, warm_up: bool = True, unit: str = "s"
    ) -> dict[str, Series]:
        """Time commands in turns and record a row for each under `figure`."""
        found = run_in_turns(commands, runs or self.runs, warm_up=warm_up, progress=self.talk)
        self.record_series(figure, found, unit)
        return found

    def record_series(self, figure: str, found: Mapping[str, Series], unit: str = "s") -> None:
        """Record what was timed, with ratios by pairs."""
        ours = found[OURS].walls if OURS in found else []
        for name, series in found.items():
            ratio = None if name == OURS else ratio_of_pairs(series.walls, ours)
            self.rows.append(Row(figure, name, unit, series.walls, series.cpus, ratio, series.error, series.load))

    def record(self, figure: str, contender: str, unit: str, values: list[float | None], note: str = "") -> Row:
        """Record a figure that isn't a plain time; the ratio to ours is taken if ours was recorded before."""
        ours = next((row.values for row in self.rows if row.figure == figure and row.contender == OURS), [])
        row = Row(figure, contender, unit, values, ratio=None if contender == OURS else ratio_of_pairs(values, ours), note=note)
        row.load = os.getloadavg()[0]
        self.rows.append(row)
        return row

    def peak(self, figure: str, commands: Mapping[str, Command], *, runs: int) -> None:
        """Record each command's peak memory, the largest of at most `runs` runs (a sample misses peaks; it never invents them)."""
        for name, command in commands.items():
            self.talk(f"{name} memory")
            try:
                peaks = [measure_peak(command)[0]]
                begun = time.monotonic()
                while len(peaks) < runs and time.monotonic() - begun < SLOW_S:
                    peaks.append(measure_peak(command)[0])
            except CommandError as error:
                self.record(figure, name, "MB", [], str(error))
                continue
            most = max(peaks, key=lambda peak: peak.tree)
            note = f"{most.count} processes, {most.samples} samples"
            self.record(figure, name, "MB", [most.tree / 1e6], note)

    def run_once(self, command: Command) -> None:
        """Run it, to fill a cache or make a home. A failure shows when it is timed."""
        self.talk(f"{command.folder.name} once")
        with suppress(CommandError, OSError):
            run(command)

    def remove_home(self, folder: Path) -> None:
        """Forget all runs of a project."""
        shutil.rmtree(folder / ".fairway", ignore_errors=True)

    def tolerant(self, command: Command) -> Command:
        """The command, whatever its exit status."""
        return replace(command, statuses=tuple(range(-64, 256)))

    def verdicts(self, benchmark: Benchmark) -> dict[str, str]:
        """Bar -> met, missed, not measured."""
        return {bar.name: judge(bar, self.rows) for bar in benchmark.bars}


@contextmanager
def open_session(**options: object) -> Iterator[Session]:
    """A session in a new folder, removed at the end."""
    with tempfile.TemporaryDirectory(prefix="fairway-bench-", ignore_cleanup_errors=True) as folder:
        yield Session(Path(folder), **options)
