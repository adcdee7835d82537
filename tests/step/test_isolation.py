"""An attempt is as isolated as a new process, whatever the user's module does when it is imported."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from fairway.spec.ports import run_now
from tests.executors.rig import Bench, result_of


def test_what_one_attempt_changes_no_other_sees(bench: Bench) -> None:
    bench.write(
        """
        import os
        seen = []

        def touch(x):
            seen.append(x)
            os.environ["LEFT_BY_A_STEP"] = "yes"
            return [list(seen), "LEFT_BY_A_STEP" in os.environ.copy(), len(seen)]

        def look(x):
            return [list(seen), os.environ.get("LEFT_BY_A_STEP", "")]
        """
    )
    assert bench.value("touch", 1) == [[1], True, 1]
    assert bench.value("touch", 2, name="again") == [[2], True, 1]
    assert bench.value("look") == [[], ""]


def test_random_numbers_depend_on_the_task_only(bench: Bench) -> None:
    bench.write(
        """
        import random
        import numpy

        def draw(x):
            return [random.random(), float(numpy.random.random())]

        def draw_late(x):
            import secrets
            return [random.random(), float(numpy.random.random())]
        """
    )
    batch = [result_of(item) for item in bench.run("draw", 1, 2, 3).items]
    assert len({json.dumps(pair) for pair in batch}) == 3
    assert [result_of(item) for item in bench.run("draw", 1, 2, 3, name="again").items] == batch
    assert result_of(bench.run("draw", 1, name="alone").items[0]) == batch[0], "whatever else is in the batch"
    run_now(bench.executor.close())
    bench.close()
    assert bench.value("draw", 1, name="elsewhere") == batch[0], "in another worker too"


def test_a_library_that_is_imported_by_the_step_itself_is_seeded_too(bench: Bench) -> None:
    bench.write(
        """
        def draw(x):
            import random
            from numpy import random as numbers
            return [random.random(), float(numbers.random())]
        """
    )
    assert bench.value("draw") == bench.value("draw", name="again")


def test_a_step_starts_in_an_empty_folder_of_its_own(bench: Bench) -> None:
    bench.write(
        """
        import os

        def drop(x):
            before = os.listdir(".")
            open("left.txt", "w").close()
            os.mkdir("deep")
            return [os.getcwd(), before]
        """
    )
    first, second = bench.spec("drop", 1, name="d1"), bench.spec("drop", 1, name="d2")
    bench.submit(first, second)
    found = [result_of(bench.wait(spec).items[0]) for spec in (first, second)]
    assert [before for _, before in found] == [[], []]
    for folder, _ in found:
        assert folder.startswith(str(bench.home))
    bench.close()
    assert not list((bench.home / "scratch").glob("*/*")), "nothing of it stays"


def test_a_step_has_no_input_and_its_own_session(bench: Bench) -> None:
    bench.write(
        """
        import os, sys

        def ask(x):
            return [sys.stdin.read(), os.getsid(0) == os.getpid()]
        """
    )
    assert bench.value("ask") == ["", True]


def test_what_a_module_prints_when_imported_does_not_land_in_the_runs_own_output(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    bench.write(
        """
        import os, sys
        print("hello from import")
        print("warning from import", file=sys.stderr)
        os.write(2, b"raw from import\\n")

        def one(x):
            print("from the step")
            return x
        """
    )
    spec = bench.spec("one", 1)
    bench.submit(spec)
    assert result_of(bench.wait(spec).items[0]) == 1
    assert bench.log(spec) == "from the step"
    assert capfd.readouterr() == ("", "")


def test_a_module_that_cannot_be_imported_is_reported_as_the_users_own_error(bench: Bench) -> None:
    bench.write("import os\n\nVALUE = {}['missing']\n\ndef one(x):\n    return x\n")
    outcome = bench.run("one", 1)
    error = outcome.items[0].error
    assert error is not None
    assert (error.kind, error.message) == ("KeyError", "'missing'")
    assert [(frame.line, frame.function, frame.own) for frame in error.frames if frame.own] == [(3, "<module>", True)]


def test_a_module_that_crashes_native_code_when_imported_ends_each_attempt_and_not_the_worker(bench: Bench) -> None:
    bench.write(
        """
        import ctypes, sys
        if "fairway.step.attempt" in sys.modules:
            ctypes.string_at(0)

        def one(x):
            return x
        """
    )
    for name in ("first", "second"):
        error = bench.run("one", 1, name=name).error
        assert error is not None
        assert (error.kind, "SIGSEGV" in error.message) == ("crash", True)
    bench.write("def two(x):\n    return x + 1\n", module="fine")
    assert bench.value("two", 1) == 2


def test_a_module_that_starts_a_thread_when_imported_gets_a_fresh_interpreter_for_each_attempt(bench: Bench) -> None:
    bench.write(
        """
        import os, threading
        asked, answered = threading.Event(), threading.Event()

        def answer():
            while True:
                asked.wait()
                asked.clear()
                answered.set()

        threading.Thread(target=answer, daemon=True).start()

        def ask(x):
            asked.set()
            return [answered.wait(60), os.getpid(), os.getppid()]
        """
    )
    first, second = bench.value("ask", 1, name="a1"), bench.value("ask", 1, name="a2")
    assert first[0] and second[0], "the thread is there"
    assert first[1] != second[1]


def test_a_step_may_use_threads_and_processes_of_its_own(bench: Bench) -> None:
    bench.write(
        """
        from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

        def double(n):
            return 2 * n

        def spread(x):
            with ThreadPoolExecutor(2) as threads, ProcessPoolExecutor(2) as processes:
                return [list(threads.map(double, range(3))), list(processes.map(double, range(3)))]
        """
    )
    assert bench.value("spread") == [[0, 2, 4], [0, 2, 4]]


def test_a_child_that_comes_back_from_the_step_does_not_end_the_task(bench: Bench) -> None:
    bench.write(
        """
        import os

        def split(x):
            child = os.fork()
            if child:
                os.waitpid(child, 0)
            return "parent" if child else "child"
        """
    )
    assert bench.value("split") == "parent", "the child was first"


def test_threads_of_a_step_may_end_or_not(bench: Bench) -> None:
    bench.write(
        """
        import threading

        def leave(x):
            threading.Thread(target=threading.Event().wait, daemon=False).start()
            return x
        """
    )
    assert bench.value("leave", 5) == 5


def test_output_of_both_streams_is_one_log_in_order(bench: Bench) -> None:
    bench.write(
        """
        import os, sys

        def talk(x):
            for n in range(200):
                print("out", n)
                print("err", n, file=sys.stderr)
                os.write(1, f"raw {n}\\n".encode())
            print("no end", end="")
            return x
        """
    )
    spec = bench.spec("talk", 1)
    bench.submit(spec)
    bench.wait(spec)
    wanted = [f"{word} {n}" for n in range(200) for word in ("out", "err", "raw")]
    assert bench.log(spec).split("\n") == [*wanted, "no end"]


def test_a_step_that_closes_or_replaces_its_streams_still_ends_well(bench: Bench) -> None:
    bench.write(
        """
        import io, os, sys

        def close(x):
            sys.stdout.close()
            os.close(2)
            return x

        def replace(x):
            sys.stdout = io.StringIO()
            print("into the void")
            return x
        """
    )
    assert bench.value("close", 3) == 3
    assert bench.value("replace", 4) == 4


def test_each_attempt_keeps_its_own_log(bench: Bench) -> None:
    bench.write("def talk(x):\n    for n in range(50):\n        print(x, n)\n    return x\n")
    specs = [bench.spec("talk", name, name=name) for name in ("ann", "bob", "cyd")]
    bench.submit(*specs)
    for spec, name in zip(specs, ("ann", "bob", "cyd"), strict=True):
        bench.wait(spec)
        assert bench.log(spec).split("\n") == [f"{name} {n}" for n in range(50)]


def test_the_users_modules_come_from_the_bundle_only(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work.py").write_text("def one(x):\n    return 'from the current folder'\n")
    monkeypatch.chdir(tmp_path)
    bench.write("import os\nfrom near import VALUE\n\ndef one(x):\n    return VALUE\n")
    (bench.home / "bundles" / bench.bundle / "near.py").write_text("VALUE = 'from the bundle'\n")
    assert bench.value("one") == "from the bundle"
    assert os.getcwd() == str(tmp_path)
