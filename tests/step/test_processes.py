"""Processes and their descendants: found, measured, and ended, whatever they do to get away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from fairway.step import processes
from tests.waiting import await_true

PAUSE = [sys.executable, "-S", "-c", "import signal; signal.pause()"]
DEAF = [sys.executable, "-S", "-c", "import signal; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"]


def in_child(work: Callable[[], object], report: Path) -> str:
    """Run `work` in a forked process; what it returned, as text."""
    pid = os.fork()
    if pid == 0:
        try:
            report.write_text(str(work()))
        except BaseException as error:
            report.write_text(repr(error))
        os._exit(0)
    os.waitpid(pid, 0)
    return report.read_text()


def is_gone(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def spawn_all_kinds(folder: Path, count: int) -> None:
    """Children that have a session of their own, ignore SIGTERM, or hide behind a parent that is gone; each writes its id."""
    for _ in range(count):
        if os.fork() == 0:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            if os.fork() == 0:
                os.setsid()
                if os.fork() > 0:
                    os._exit(0)  # the grandchild is an orphan now
            (folder / str(os.getpid())).touch()
            while True:
                signal.pause()


def test_descendants_are_found_parents_first() -> None:
    child = subprocess.Popen(
        ["sh", "-c", f"{sys.executable} -S -c 'import signal; print(1, flush=True); signal.pause()'; true"], stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    child.stdout.readline()
    found = processes.find_descendants(os.getpid())
    assert found.index(child.pid) == 0 or child.pid in found
    (inner,) = processes.find_children(child.pid)
    assert found.index(child.pid) < found.index(inner)
    os.kill(inner, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert processes.find_children(child.pid) == []


def test_children_of_every_thread_are_found() -> None:
    started: list[subprocess.Popen[bytes]] = []
    end = threading.Event()

    def start() -> None:
        started.append(subprocess.Popen(PAUSE))
        end.wait()

    thread = threading.Thread(target=start)
    thread.start()
    await_true(lambda: bool(started), "no child")
    assert started[0].pid in processes.find_children(os.getpid())
    end.set()
    thread.join()
    started[0].kill()
    started[0].wait()


def test_no_descendant_gets_away(tmp_path: Path) -> None:
    folder = tmp_path / "pids"
    folder.mkdir()

    def work() -> int:
        processes.adopt_orphans()
        spawn_all_kinds(folder, 10)
        await_true(lambda: len(list(folder.iterdir())) == 20, "not all have started")
        return processes.kill_children()

    killed = in_child(work, tmp_path / "report")
    assert int(killed) >= 20, killed
    assert [pid.name for pid in folder.iterdir() if not is_gone(int(pid.name))] == []


def test_a_bomb_that_goes_on_forking_is_put_out(tmp_path: Path) -> None:
    def work() -> str:
        processes.adopt_orphans()
        if os.fork() == 0:
            while True:  # each generation lives for a moment and starts the next
                if os.fork() > 0:
                    os._exit(0)
        killed = processes.kill_children()
        return f"{killed > 0} {processes.find_children(os.getpid())}"

    assert in_child(work, tmp_path / "report") == "True []"


def test_those_to_be_kept_are_kept_with_what_they_started(tmp_path: Path) -> None:
    def work() -> str:
        kept, other = subprocess.Popen(PAUSE), subprocess.Popen(PAUSE)
        killed = processes.kill_children({kept.pid})
        alive = kept.poll() is None
        kept.kill()
        return f"{killed} {alive} {is_gone(other.pid)}"

    assert in_child(work, tmp_path / "report") == "1 True True"


def test_killing_none_is_quick_and_fine(tmp_path: Path) -> None:
    assert in_child(processes.kill_children, tmp_path / "report") == "0"


def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    report = tmp_path / "pid"

    def work() -> int:
        parent = os.getpid()
        ready, told = os.pipe()
        pid = os.fork()
        if pid == 0:
            processes.die_with_parent(parent)
            os.write(told, b"x")
            signal.pause()
        os.read(ready, 1)
        return pid

    pid = int(in_child(work, report))
    await_true(lambda: is_gone(pid), "it outlived its parent")


def test_a_child_whose_parent_is_gone_already_ends_at_once(tmp_path: Path) -> None:
    pid = os.fork()
    if pid == 0:
        processes.die_with_parent(1 << 22)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1


def test_signals_to_nobody_are_fine() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    processes.signal_quietly(child.pid, signal.SIGTERM)
    processes.signal_quietly(child.pid, signal.SIGTERM, group=True)


def test_a_tree_is_measured_together() -> None:
    script = "import os, signal; held = b'x' * (40 << 20); sum(range(3_000_000)); os.fork(); print('ready', flush=True); signal.pause()"
    child = subprocess.Popen([sys.executable, "-S", "-c", script], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    child.stdout.readline()
    used = processes.measure(child.pid)
    assert used is not None
    assert used.rss_bytes > 70 << 20, "both hold the same pages, and both are counted"
    assert 0 < used.cpu_s < 60
    processes.signal_quietly(*processes.find_children(child.pid), signal.SIGKILL)
    child.kill()
    child.wait()
    child.stdout.close()
    assert processes.measure(child.pid) is None


def test_marked_processes_are_found_by_their_starting_environment() -> None:
    mark = f"FAIRWAY_TEST_ONLY={os.urandom(6).hex()}"
    name, _, value = mark.partition("=")
    children = [subprocess.Popen(DEAF, env={**os.environ, name: value}, stdout=subprocess.PIPE, start_new_session=True) for _ in range(2)]
    for child in children:
        assert child.stdout is not None
        child.stdout.readline()
    assert set(processes.find_marked(mark)) == {child.pid for child in children}
    for child in children:
        child.kill()
        child.communicate()
    assert processes.find_marked(mark) == []


def test_kills_for_memory_are_counted_where_the_kernel_says() -> None:
    with open("/proc/vmstat") as file:
        tells = any(line.startswith("oom_kill ") for line in file)
    count = processes.count_oom_kills()
    assert (count >= 0) is tells
    counter = processes.OomKills()
    assert counter.read(0.0) == counter.read(60.0) >= count


def test_a_hidden_process_cannot_be_looked_into() -> None:
    code = "from fairway.step import processes; processes.hide(); print(processes._prctl(3, 0))"  # PR_GET_DUMPABLE
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"
