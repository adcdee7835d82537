"""A store that is full, read-only, or goes away, and inputs that cannot be read: what went wrong and what to do, in a few lines."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reliability.rig import Shell

FLOW = """
import os, shutil

@fw.step
def first(x: int) -> int:
    return x

@fw.step
def blob(x: int) -> bytes:
    return os.urandom(x << 10)

@fw.step
def size(data: bytes) -> int:
    return len(data)

@fw.pipeline
def flow(kib: int = 10):
    return size(blob(first(kib)))
"""


@pytest.fixture
def shell(shell: Shell) -> Shell:
    shell.write(FLOW)
    return shell


@pytest.fixture
def small_disk(shell: Shell) -> Iterator[Path]:
    """The project's store on a disk of 3 MiB."""
    shell.home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(shell.home)], check=True)
    yield shell.home
    subprocess.run(["umount", str(shell.home)], check=True)


def check_told(done: subprocess.CompletedProcess[str], status: int, *wanted: str) -> None:
    """It ended with `status`, in at most ten lines of talk in which all of `wanted` stand."""
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    assert len(done.stderr.splitlines()) <= 10, done.stderr
    assert "Traceback" not in done.stderr and "defect of Fairway" not in done.stderr
    for pattern in wanted:
        assert re.search(pattern, done.stderr, re.MULTILINE), f"{pattern!r} is not in\n{done.stderr}"


def test_a_full_disk_fails_the_task_that_met_it_and_the_run_goes_on_when_there_is_room(shell: Shell, small_disk: Path) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * (2 << 20))
    check_told(
        shell("run", "flow.py", "--kib", "900"),
        4,
        r"✗ blob +the step's result cannot be written: No space left on device",
        r"is there room in",
        r"go on: +fairway resume",
    )
    assert shell.status() == "failed"
    filler.unlink()
    resumed = shell("resume")
    assert (resumed.returncode, resumed.stdout) == (0, "result  921600\n"), resumed.stderr


FILLING = """
@fw.step
def alone() -> int:
    open("mine.bin", "wb").write(bytes(8 << 20))
    return 1

@fw.step(gang=fw.gang(replicas=2, restarts=0), cpu=0.1)
def together() -> int:
    open("mine.bin", "wb").write(bytes(8 << 20))
    return 1

@fw.step
def dies() -> int:
    with open("mine.bin", "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        finally:
            os._exit(3)

@fw.pipeline
def one():
    return alone()

@fw.pipeline
def two():
    return together()

@fw.pipeline
def three():
    return dies()
"""


@pytest.mark.parametrize(
    ("pipeline", "says"),
    [
        ("one", r"OSError: \[Errno 28\] No space left on device"),
        ("two", r"OSError: rank \d of 2 failed first: \[Errno 28\] No space left on device"),
        ("three", "the step ended its process with exit code 3 before it returned"),
    ],
)
def test_a_step_that_fills_the_disk_by_itself_is_told_that_at_its_line(shell: Shell, small_disk: Path, pipeline: str, says: str) -> None:
    shell.write("import os\n" + FILLING)
    check_told(shell("run", f"flow.py:{pipeline}"), 3, says)
    assert shell.status() == "failed"
    assert not list(small_disk.glob("scratch/**/mine.bin")), "what it left there went first, so that there was room to say so"


def test_a_disk_that_is_full_before_the_run_is_named(shell: Shell, small_disk: Path) -> None:
    assert shell("run", "flow.py").returncode == 0
    with open(small_disk / "filler", "wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(b"x" * 4096)
    check_told(
        shell("run", "flow.py", "--kib", "20"), 4, r"^error: .*(disk is full|No space left on device)", r"free some space|is there room"
    )
    check_told(shell("runs"), 4, r"^error: cannot read the journal .*: the disk is full\n", r"free some space")
    (small_disk / "filler").unlink()
    assert shell("run", "flow.py", "--kib", "20").stdout == "result  20480\n"


def test_a_read_only_store_is_named_with_what_to_do(shell: Shell) -> None:
    assert shell("run", "flow.py").returncode == 0
    subprocess.run(["mount", "--bind", str(shell.home), str(shell.home)], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", str(shell.home)], check=True)
    try:
        check_told(shell("run", "flow.py", "--kib", "20"), 4, r"^error: .*Read-only file system", r"can you write|FAIRWAY_HOME")
        (shell.folder / "flow.py").write_text((shell.folder / "flow.py").read_text() + "\n\nMORE = 1\n")
        check_told(shell("run", "flow.py", "--kib", "21"), 4, r"^error: .*[Rr]ead-only", r"write|FAIRWAY_HOME")
    finally:
        subprocess.run(["umount", str(shell.home)], check=True)
    assert shell("run", "flow.py", "--kib", "20").stdout == "result  20480\n"


def test_a_store_that_cannot_be_made_is_named(shell: Shell) -> None:
    shell.home.write_text("a file where the folder should be")
    check_told(shell("run", "flow.py"), 4, r"^error: cannot make the folder .*\.fairway", r"FAIRWAY_HOME")


WIPE = """
import os, shutil

@fw.step
def wipe(x: int) -> int:
    shutil.rmtree(os.environ["SHELL_FOLDER"] + "/.fairway" + {what!r})
    return x

@fw.step
def table(x: int) -> bytes:
    return b"x" * 100_000

@fw.step
def use(data: bytes, x: int) -> int:
    return len(data) + x

@fw.pipeline
def flow():
    data = table(1)
    with fw.after(data):
        return use(data, wipe(2))
"""


def test_a_whole_store_deleted_under_a_run_ends_the_run_at_once(shell: Shell) -> None:
    shell.write(WIPE.format(what="").replace("with fw.after(data):", "if True:"))
    check_told(shell("run", "flow.py"), 4, r"^error: the journal .* was deleted or replaced while in use", r"start the run again")
    shell.check_nothing_left()
    again = shell("run", "flow.py:flow")
    assert again.returncode == 4, "it deletes it again"


def test_artifacts_deleted_under_a_run_fail_the_task_that_needs_them_and_a_new_run_makes_them_anew(shell: Shell) -> None:
    shell.write(
        """
        import os, shutil

        @fw.step
        def table(x: int) -> bytes:
            return b"x" * 100_000

        @fw.step
        def wipe(data: bytes) -> int:
            if not os.path.exists(os.environ["SHELL_FOLDER"] + "/kept"):
                shutil.rmtree(os.environ["SHELL_FOLDER"] + "/.fairway/blobs/sha256")
            return len(data)

        @fw.step
        def use(data: bytes, n: int) -> int:
            return len(data) + n

        @fw.pipeline
        def flow():
            data = table(1)
            return use(data, wipe(data))
        """
    )
    told = r"✗ use +input 'data' is gone from the store: there is no 'sha256/\w\w/\w+' in the store$"
    check_told(shell("run", "flow.py"), 4, told, r"was it deleted by hand\? A new `fairway run` makes it again")
    (shell.folder / "kept").touch()
    again = shell("run", "flow.py")
    assert (again.returncode, again.stdout) == (0, "result  200000\n"), again.stderr


def test_an_input_that_cannot_be_read_is_refused_before_anything_runs(shell: Shell) -> None:
    shell.write(
        """
        @fw.step
        def size(path: fw.File) -> int:
            return path.stat().st_size

        @fw.pipeline
        def flow(path: fw.File):
            return size(path)
        """
    )
    check_told(shell("run", "flow.py", "--path", "gone.csv"), 2, r"parameter 'path' names a file that does not exist: gone.csv")
    check_told(shell("run", "flow.py", "--path", "."), 2, r"parameter 'path' must name a file, and \. is a folder", r"fw\.Directory")
    check_told(
        shell("run", "flow.py", "--path", "/proc/self/mem"), 4, r"cannot store /proc/self/mem: Input/output error", r"can you read it"
    )
    assert shell.ask("runs") == []
