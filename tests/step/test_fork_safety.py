"""Which zygotes may be forked: the table of libraries, and what threads say."""

from __future__ import annotations

import os
import sys
import threading
from types import ModuleType, SimpleNamespace

import pytest

from fairway.step import forks
from tests.executors.rig import Bench


def in_child(answer: object) -> bool:
    """`answer()` in a forked process, which has one thread whatever pytest runs."""
    pid = os.fork()
    if pid == 0:
        os._exit(0 if answer() else 1)  # type: ignore[operator]
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_process_of_one_thread_bears_a_fork() -> None:
    assert in_child(lambda: all(sys.modules.pop(name, True) for name in forks.UNSAFE_TO_FORK) and forks.bears_fork())


def test_the_table_is_the_one_that_is_documented() -> None:
    assert set(forks.UNSAFE_TO_FORK) == {"polars", "grpc", "tensorflow", "jax", "ray", "pyspark"}


@pytest.mark.parametrize("library", forks.UNSAFE_TO_FORK)
def test_each_library_of_the_table_forbids_forks_once_it_is_imported(library: str) -> None:
    def answer() -> bool:
        sys.modules[library] = ModuleType(library)
        return forks.bears_fork()

    assert not in_child(answer)


@pytest.mark.parametrize("initialised", [False, True])
def test_an_initialised_gpu_forbids_forks(initialised: bool) -> None:
    def answer() -> bool:
        torch = ModuleType("torch")
        torch.cuda = SimpleNamespace(is_initialized=lambda: initialised)  # type: ignore[attr-defined]
        sys.modules["torch"] = torch
        return forks.bears_fork()

    assert in_child(answer) is not initialised


def test_a_thread_that_lives_on_forbids_forks() -> None:
    def answer() -> bool:
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        return forks.bears_fork()

    assert not in_child(answer)


def test_threads_that_a_library_ends_before_a_fork_do_not() -> None:
    def answer() -> bool:
        end = threading.Event()
        thread = threading.Thread(target=end.wait, daemon=True)
        thread.start()

        def stop() -> None:
            end.set()
            thread.join()

        os.register_at_fork(before=stop)  # as OpenBLAS does
        return forks.bears_fork()

    assert in_child(answer)


PID = """
import os
{imports}

def where(x):
    return [os.getpid(), os.getppid(), {used}]
"""


def test_numpy_pandas_and_sklearn_are_imported_once_and_forked(bench: Bench) -> None:
    ones = "numpy.ones((300, 300))"
    imports = f"import numpy, pandas\nfrom sklearn.tree import DecisionTreeRegressor\nnumpy.dot({ones}, {ones})"
    bench.write(PID.format(imports=imports, used=f"float(numpy.dot({ones}, {ones}).sum())"))
    first, second = bench.value("where", 1, name="a"), bench.value("where", 2, name="b")
    assert first[1] == second[1] and first[0] != second[0], "two forks of one zygote"
    assert first[2] == second[2] == 300.0**3


def test_an_unsafe_library_gets_a_fresh_interpreter_for_each_attempt(bench: Bench) -> None:
    bench.write(PID.format(imports="import polars", used="polars.answer"))
    (bench.home / "bundles" / bench.bundle / "polars.py").write_text("answer = 42\n")
    first, second = bench.value("where", 1, name="a"), bench.value("where", 2, name="b")
    assert first[1] == second[1], "both are started by the worker itself"
    assert first[0] != second[0] and first[2] == second[2] == 42
