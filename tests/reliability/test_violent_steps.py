"""Steps that crash, hang, breed or eat: each is reported for what it is, in a few lines, and leaves no process behind."""

from __future__ import annotations

import re

import pytest

from tests.reliability.rig import Shell, lines_of

SETTINGS = '[targets.local]\ncpu = 4\nmemory = "{memory}"\ngrace = "300ms"\n'


def check_told(shell: Shell, *wanted: str) -> str:
    """Run flow.py: it fails with exit status 3 in at most ten lines that match `wanted` in order; returns them."""
    done = shell("run", "flow.py")
    assert (done.returncode, done.stdout) == (3, ""), done.stderr
    lines = lines_of(done.stderr)
    assert len(lines) <= 10, done.stderr
    assert "Traceback" not in done.stderr
    position = 0
    for pattern in wanted:
        found = next((n for n, line in enumerate(lines[position:], position) if re.search(pattern, line)), None)
        assert found is not None, f"{pattern!r} is not in\n{done.stderr}"
        position = found
    assert re.search(r"^look closer: fairway logs \S+ \S+$", lines[-2])
    assert re.search(r"^go on: fairway resume \S+$", lines[-1])
    shell.check_nothing_left()
    return done.stderr


def test_a_crash_of_native_code_shows_the_users_own_line(shell: Shell) -> None:
    shell.write(
        """
        import ctypes

        @fw.step
        def crash(x: int) -> int:
            return ctypes.string_at(0)

        @fw.pipeline
        def flow():
            return crash(1)
        """
    )
    check_told(
        shell,
        r"^✗ crash flow.py:7 in crash$",
        r"^return ctypes.string_at\(0\)$",
        r"^native code crashed the step's process \(SIGSEGV\) in string_at$",
        r"the fault is in the compiled library that this line called",
    )
    logs = shell("logs", "last", "crash")
    assert "Fatal Python error: Segmentation fault" in logs.stdout
    told = logs.stdout.partition("crash failed:")[2]
    assert f"{shell.folder}/flow.py" in told and "/fairway/step/" not in told, "our own frames are left out"


def test_a_kill_for_memory_is_called_so(shell: Shell) -> None:
    (shell.folder / "fairway.toml").write_text(SETTINGS.format(memory="100Mi"))
    shell.write(
        """
        import os, signal

        @fw.step
        def eat(x: int) -> int:
            held = b"x" * (100 << 20)
            os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does when the limit is reached
            return len(held)

        @fw.pipeline
        def flow():
            return eat(1)
        """
    )
    check_told(shell, r"^✗ eat killed by the system for memory at \d+ MiB of 100 MiB$", r'memory="8Gi"')


def test_memory_that_cannot_be_had_is_called_so_with_the_users_own_line(shell: Shell) -> None:
    shell.write(
        """
        import resource

        @fw.step(memory="1Gi")
        def eat(x: int) -> int:
            resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
            return len(bytearray(8 << 30))

        @fw.pipeline
        def flow():
            return eat(1)
        """
    )
    check_told(shell, r"^✗ eat flow.py:8 in eat$", r"^MemoryError: there is not enough memory$", r"smaller pieces")
    (task,) = shell.ask("show", "last", "eat")
    assert (task["error"]["kind"], task["error"]["code"]) == ("oom", "FW-TASK-OOM")


def test_a_step_that_ignores_sigterm_is_killed_and_both_are_said(shell: Shell) -> None:
    shell.write(
        """
        import signal

        @fw.step(timeout="2s")
        def deaf(x: int) -> int:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True:
                signal.pause()

        @fw.pipeline
        def flow():
            return deaf(1)
        """
    )
    check_told(shell, r"^✗ deaf took longer than its timeout of 2 s; it ignored SIGTERM and was killed after 0.3 s$", r"timeout=")


def test_a_step_that_hears_sigterm_cleans_up_and_times_out(shell: Shell) -> None:
    (shell.folder / "fairway.toml").write_text('[targets.local]\ngrace = "30s"\n')
    shell.write(
        """
        import os, threading

        @fw.step(timeout="2s")
        def slow(x: int) -> int:
            try:
                threading.Event().wait()
            finally:
                open(os.environ["SHELL_FOLDER"] + "/tidied", "w").close()

        @fw.pipeline
        def flow():
            return slow(1)
        """
    )
    check_told(shell, r"^✗ slow took longer than its timeout of 2 s$")
    assert shell.touched("tidied")()


BREED = """
import os, signal

def breed():
    reader, writer = os.pipe()
    for _ in range(100):
        if os.fork() == 0:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            if os.fork() == 0:
                os.setsid()
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.write(writer, b".")
            while True:
                signal.pause()
    came = 0
    while came < 200:  # all are there before the step goes on
        came += len(os.read(reader, 200))
"""


def test_two_hundred_children_that_want_to_stay_are_ended_with_the_step(shell: Shell) -> None:
    shell.write(
        BREED
        + """
@fw.step
def bomb(x: int) -> int:
    breed()
    return 1

@fw.pipeline
def flow():
    return bomb(1)
"""
    )
    done = shell("run", "flow.py")
    assert (done.returncode, done.stdout) == (0, "result 1\n".replace(" ", "  ")), done.stderr
    shell.check_nothing_left()
    assert shell("logs").stdout == "fairway: ended 200 processes that the step had left behind\n"


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", "os.kill(os.getppid(), 9); signal.pause()", "os._exit(3)", "raise ValueError"])
def test_children_are_ended_too_when_the_step_itself_dies(shell: Shell, end: str) -> None:
    shell.write(
        BREED
        + f"""
@fw.step
def bomb(x: int) -> int:
    breed()
    {end}

@fw.pipeline
def flow():
    return bomb(1)
"""
    )
    assert shell("run", "flow.py").returncode == 3
    shell.check_nothing_left()


def test_a_step_that_leaves_by_the_back_door_is_a_failure(shell: Shell) -> None:
    shell.write(
        """
        import os

        @fw.step
        def leave(x: int) -> int:
            print("no licence found", flush=True)
            os._exit(0)

        @fw.pipeline
        def flow():
            return leave(1)
        """
    )
    check_told(shell, r"^✗ leave the step ended its process with exit code 0 before it returned: no licence found$", r"os\._exit")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("cpu=64", r"step 'greedy' asks for 64 cpu \(this machine has 4\)"),
        ('memory="900Gi"', r"step 'greedy' asks for 900 GiB of memory \(this machine has [\d.]+ GiB\)"),
        ('accelerator="nvidia.com/gpu:99"', r"step 'greedy' asks for 99 nvidia.com/gpu \(this machine has \d+\)"),
    ],
)
def test_more_than_the_machine_has_is_refused_before_the_run(shell: Shell, asked: str, words: str) -> None:
    shell.write(
        f"""
        import os

        @fw.step
        def first(x: int) -> int:
            open(os.environ["SHELL_FOLDER"] + "/ran", "w").close()
            return x

        @fw.step({asked})
        def greedy(x: int) -> int:
            return x

        @fw.pipeline
        def flow():
            return greedy(first(1))
        """
    )
    done = shell("run", "flow.py")
    assert (done.returncode, done.stdout) == (2, "")
    assert re.search(words, done.stderr) and "at flow.py:10" in done.stderr and "ask for less" in done.stderr
    assert ('`accelerators = { "nvidia.com/gpu" = 99 }` under [targets.local]' in done.stderr) == ("accelerator" in asked)
    assert len(done.stderr.splitlines()) <= 5
    assert not shell.touched("ran")()
    assert shell.ask("runs") == []
