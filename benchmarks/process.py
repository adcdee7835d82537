"""Commands, timed from start to exit, one after the other and in turns."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from benchmarks.figures import Sample

SLOW_S, VERY_SLOW_S = 5.0, 20.0
"""A command whose warm-up takes longer is run three times; once if it takes longer than the second."""

K = TypeVar("K", bound=Hashable)


class CommandError(Exception):
    """A command that was to be measured did not do what it should; the message says why, in one line."""


@dataclass(frozen=True)
class Command:
    """What is run: words, folder, variables added to the clean environment. `before` restores what a run needs; it isn't timed.

    `expect`: a pattern that the output must contain; `statuses`: exit statuses that are right.
    """

    argv: Sequence[str]
    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    before: Callable[[], None] | None = None
    expect: str = ""
    statuses: tuple[int, ...] = (0,)
    timeout_s: float = 300.0

    def environ(self) -> dict[str, str]:
        """Variables of the command: ours without anything that would change how Fairway behaves or find another Python's modules."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("FAIRWAY_", "PYTHON", "VIRTUAL_ENV", "COV_"))}
        own = str(Path(self.argv[0]).parent)
        return {**kept, "HOME": str(self.folder), "PATH": f"{own}:{kept.get('PATH', '')}", **self.variables}


def run(command: Command) -> tuple[Sample, str]:
    """Run it once, its output into a file; returns the measures and the output. Raises CommandError."""
    if command.before:
        command.before()
    with tempfile.TemporaryFile() as file:
        load = os.getloadavg()[0]
        started = time.perf_counter()
        process = start(command, file.fileno())
        watchdog = threading.Timer(command.timeout_s, end_group, [process.pid])
        watchdog.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - started
        hung = not watchdog.is_alive()
        watchdog.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        file.seek(0)
        output = file.read().decode("utf-8", "replace")
    check(command, process.returncode, output, hung=hung)
    return Sample(wall_s, usage.ru_utime + usage.ru_stime, load), output


def start(command: Command, output: int, variables: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start it as the leader of a session of its own, both its outputs into the file descriptor `output`."""
    return subprocess.Popen(
        list(command.argv),
        cwd=command.folder,
        env={**command.environ(), **(variables or {})},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )


def end_group(leader: int) -> None:
    """Kill the session's process group that `leader` leads; nobody there is fine."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return


def check(command: Command, status: int, output: str, *, hung: bool = False) -> None:
    """Raise CommandError unless the status is right and the output has what it must."""
    name = " ".join(Path(word).name if word.startswith("/") else word for word in command.argv)
    last = next((line.strip() for line in reversed(output.splitlines()) if line.strip()), "no output")[:160]
    if hung:
        raise CommandError(f"{name}: did not end within {command.timeout_s:g} s; its last line: {last}")
    if status not in command.statuses:
        raise CommandError(f"{name}: exit status {status}: {last}")
    if command.expect and not re.search(command.expect, output):
        raise CommandError(f"{name}: its output has no {command.expect!r}: {last}")


@dataclass
class Series:
    """What one command gave: a sample for each round, None where it didn't take part; `error` once it had failed."""

    samples: list[Sample | None] = field(default_factory=list)
    error: str = ""

    @property
    def walls(self) -> list[float | None]:
        """Seconds, round by round."""
        return [sample and sample.wall_s for sample in self.samples]

    @property
    def cpus(self) -> list[float | None]:
        """CPU seconds, round by round."""
        return [sample and sample.cpu_s for sample in self.samples]

    @property
    def load(self) -> float | None:
        """The mean load average at the start of its runs."""
        loads = [sample.load for sample in self.samples if sample]
        return sum(loads) / len(loads) if loads else None


def run_in_turns(
    commands: Mapping[K, Command], runs: int, *, warm_up: bool = True, progress: Callable[[str], None] | None = None
) -> dict[K, Series]:
    """Each command `runs` times, in turns (A B C, A B C, …) after a warm-up round, so that all meet the same noise.

    One that fails drops out and says why. One that is slow (see SLOW_S) drops out of later rounds.
    """
    found = {name: Series() for name in commands}
    turns = dict.fromkeys(commands, runs)
    for number in range(-1 if warm_up else 0, runs):
        for name, command in commands.items():
            series = found[name]
            if series.error or number >= turns[name]:
                series.samples += [None] if number >= 0 else []
                continue
            if progress:
                progress(f"{' '.join(map(str, name)) if isinstance(name, tuple) else name} {number + 1 or 'warm-up'}")
            try:
                sample, _ = run(command)
            except (CommandError, OSError) as error:
                series.error = str(error)
                series.samples += [None] if number >= 0 else []
                continue
            if number >= 0:
                series.samples.append(sample)
            if sample.wall_s > SLOW_S:
                turns[name] = min(turns[name], 1 if sample.wall_s > VERY_SLOW_S else 3)
    return found
