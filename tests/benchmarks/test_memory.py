"""The sampler of peak memory: it sees a whole tree, whoever its processes' parents are by now, and nothing else."""

import os
import sys
from pathlib import Path

import pytest

from benchmarks.memory import Sampler, measure_peak, parse_kb
from benchmarks.process import Command, CommandError

ROLLUP = "00400000-7ffe00000000 ---p 00000000 00:00 0  [rollup]\nRss:   4100 kB\nPss:    828 kB\nPss_Dirty:  586 kB\n"


def make_process(proc: Path, pid: int, *, parent: int = 1, environ: bytes = b"", pss_kb: int = 0, wchar: int = 0) -> None:
    folder = proc / str(pid)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "environ").write_bytes(environ)
    (folder / "stat").write_text(f"{pid} (a (b) c) S {parent} 1 1")
    (folder / "smaps_rollup").write_text(f"Rss: 1 kB\nPss: {pss_kb} kB\n")
    (folder / "status").write_text(f"Name: x\nVmHWM:   {2 * pss_kb} kB\n")
    (folder / "io").write_text(f"rchar: 1\nwchar: {wchar}\nwrite_bytes: 0\n")


def test_the_proportional_size_is_read_and_not_the_resident_or_dirty_one():
    assert parse_kb(ROLLUP, "Pss:") == 828 * 1024
    assert parse_kb("", "Pss:") == 0


def test_members_are_the_leader_those_with_the_mark_and_children_of_members(tmp_path):
    make_process(tmp_path, 10, parent=2)
    make_process(tmp_path, 11, parent=1, environ=b"A=1\0MARK=x\0")  # its parent has died
    make_process(tmp_path, 12, parent=11)  # with a new environment
    make_process(tmp_path, 13, parent=2, environ=b"MARK=other\0")
    (tmp_path / "self").mkdir()
    assert Sampler(10, b"MARK=x", proc=str(tmp_path)).members() == {10, 11, 12}


def test_the_peak_is_of_the_sum_at_one_time_and_not_the_sum_of_peaks(tmp_path):
    sampler = Sampler(10, b"MARK=x", proc=str(tmp_path))
    for first, second in ((100, 10), (10, 70), (20, 20)):
        make_process(tmp_path, 10, pss_kb=first)
        make_process(tmp_path, 11, pss_kb=second, parent=10)
        sampler.sample()
    peak = sampler.peak
    assert (peak.tree, peak.process, peak.leader) == (110 * 1024, 100 * 1024, 200 * 1024)
    assert (peak.count, peak.samples) == (2, 3)


def test_what_a_child_wrote_counts_once_before_and_after_its_parent_has_taken_it_over(tmp_path):
    sampler = Sampler(10, b"MARK=x", proc=str(tmp_path))
    make_process(tmp_path, 10, wchar=5)
    make_process(tmp_path, 11, parent=10, wchar=200)
    sampler.note_writes()
    assert sampler.peak.written == 205
    for file in (tmp_path / "11").iterdir():
        file.unlink()
    (tmp_path / "11").rmdir()
    make_process(tmp_path, 10, wchar=207)
    sampler.note_writes()
    assert sampler.peak.written == 207


def test_the_kernel_hands_a_childs_writes_on_to_the_parent_that_waited(tmp_path):
    child = "open('big', 'wb').write(bytes(30_000_000)), os._exit(0)"
    code = f"import os; os.fork() or ({child}); os.wait(); [os.stat('big') for _ in range(50_000)]"
    peak, _ = measure_peak(Command((sys.executable, "-S", "-c", code), tmp_path, timeout_s=120), writes=True)
    assert 30e6 <= peak.written < 31e6


def test_the_memory_of_a_process_that_lost_its_parent_is_seen(tmp_path):
    """The leader starts a child that starts a grandchild and dies; the grandchild, an orphan, takes 60 MB and tells the leader."""
    script = tmp_path / "tree.py"
    script.write_text(
        "import os, sys\n"
        "told, tell = os.pipe()\n"
        "go, let_go = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    if os.fork() == 0:\n"
        "        os.read(go, 1)\n"  # its parent is gone by now
        "        data = b'x' * 60_000_000\n"
        "        for _ in range(200): open('/proc/self/stat').read(); sum(data[:100_000])\n"
        "        os.write(tell, b'.')\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "os.write(let_go, b'.')\n"
        "os.close(tell)\n"
        "os.read(told, 1)\n"
        "print('told')\n"
    )
    peak, output = measure_peak(Command((sys.executable, "-S", str(script)), tmp_path, timeout_s=120))
    assert "told" in output
    assert 60e6 < peak.tree < 120e6
    assert 60e6 < peak.process <= peak.tree
    assert peak.leader < 60e6
    assert peak.count >= 2


def test_a_command_that_never_ends_is_killed_and_named(tmp_path):
    command = Command(("sh", "-c", "echo here; exec sleep 1000"), tmp_path, timeout_s=1.5)
    with pytest.raises(CommandError, match=r"did not end within 1\.5 s; its last line: here"):
        measure_peak(command)
    assert str(tmp_path) not in [read_cwd(pid) for pid in os.listdir("/proc") if pid.isdigit()]


def read_cwd(pid: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return ""
