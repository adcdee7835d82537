"""Peak memory of a command's whole process tree, sampled from /proc in a run of its own (Linux).

PSS, the proportional set size, counts a page shared by n processes as 1/n of a page in each, so the sum over a tree is what it takes.
"""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from dataclasses import dataclass, field

from benchmarks.process import Command, check, end_group, start

INTERVAL_S = 0.002
MARK = "BENCHMARK_MARK"


@dataclass
class Peak:
    """Peaks in bytes: of the tree's PSS, of the PSS of any one process, of the first process's resident memory. `written`: bytes that the
    processes wrote, as far as they were seen; `count`: processes at once; `samples`: how often it was looked."""

    tree: int = 0
    process: int = 0
    leader: int = 0
    written: int = 0
    count: int = 0
    samples: int = 0


@dataclass
class Sampler:
    """Sees a tree's processes by their environment, which children inherit, whoever their parent is by now; and by their parent."""

    leader: int
    mark: bytes
    proc: str = "/proc"
    peak: Peak = field(default_factory=Peak)
    _ours: set[int] = field(default_factory=set)
    _others: set[int] = field(default_factory=set)

    def sample(self) -> None:
        """Look once, and keep what is higher than before."""
        sizes = [parse_kb(text, "Pss:") for pid in self.members() if (text := self._read(pid, "smaps_rollup"))]
        if sizes:
            peak = self.peak
            peak.tree = max(peak.tree, sum(sizes))
            peak.process = max(peak.process, *sizes)
            peak.leader = max(peak.leader, parse_kb(self._read(self.leader, "status"), "VmHWM:"))
            peak.count = max(peak.count, len(sizes))
            peak.samples += 1

    def note_writes(self) -> None:
        """Look at how much all have written so far: what they gave to write(), or what they dirtied in mapped files if that is more.

        A process that was waited for has left its counts to its parent, so those alive have it all.
        """
        total = 0
        for pid in self.members():
            counts = dict(line.split(": ") for line in self._read(pid, "io").splitlines() if ": " in line)
            total += max(int(counts.get("wchar", 0)), int(counts.get("write_bytes", 0)))
        self.peak.written = max(self.peak.written, total)

    def members(self) -> set[int]:
        """Pids of the tree that are alive now."""
        alive = {int(name) for name in os.listdir(self.proc) if name.isdigit()}
        self._ours &= alive
        self._others &= alive
        for pid in sorted(alive - self._ours - self._others):
            (self._ours if self._is_member(pid) else self._others).add(pid)
        return self._ours

    def _is_member(self, pid: int) -> bool:
        if pid == self.leader:
            return True
        try:
            with open(f"{self.proc}/{pid}/environ", "rb") as file:
                if self.mark in file.read():
                    return True
        except OSError:
            return False
        parent = self._read(pid, "stat").rpartition(")")[2].split()[1:2]
        return bool(parent) and int(parent[0]) in self._ours

    def _read(self, pid: int, name: str) -> str:
        try:
            with open(f"{self.proc}/{pid}/{name}", encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""  # it has ended


def parse_kb(text: str, label: str) -> int:
    """Bytes of the line `label  N kB`; 0 if there is none."""
    for line in text.splitlines():
        if line.startswith(label):
            return int(line[len(label) :].split()[0]) * 1024
    return 0


def measure_peak(command: Command, *, writes: bool = False) -> tuple[Peak, str]:
    """Run the command and sample it until it ends; returns its peaks and its output. Raises CommandError."""
    if command.before:
        command.before()
    mark = uuid.uuid4().hex
    with tempfile.TemporaryFile() as file:
        process = start(command, file.fileno(), {MARK: mark})
        sampler = Sampler(process.pid, f"{MARK}={mark}".encode())
        end = time.monotonic() + command.timeout_s
        while process.poll() is None and time.monotonic() < end:
            sampler.sample()
            if writes:
                sampler.note_writes()
            time.sleep(INTERVAL_S)
        hung = process.poll() is None
        if hung:
            end_group(process.pid)
            process.wait()
        file.seek(0)
        output = file.read().decode("utf-8", "replace")
    check(command, process.returncode, output, hung=hung)
    return sampler.peak, output
