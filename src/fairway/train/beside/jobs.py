"""joblib's backend of a gang: every task of `Parallel` runs in a worker beside one of the ranks."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from importlib import import_module
from multiprocessing import AuthenticationError
from typing import Any

from fairway.errors import TaskFailed
from fairway.train.beside.calls import reach
from fairway.train.beside.wire import Sent, pickle_task

_COME_S = 60.0
_calls = itertools.count(1)


class Worker:
    """A connection to one worker, and the thread that feeds it from the common queue."""

    def __init__(self, endpoint: str, key: str, tasks: queue.SimpleQueue[Any]) -> None:
        self._endpoint, self._tasks = endpoint, tasks
        self._connection = _connect(endpoint, key)
        self._call, self._has = 0, set[int]()
        threading.Thread(target=self._feed, name=f"joblib worker {endpoint}", daemon=True).start()

    def _feed(self) -> None:
        while (given := self._tasks.get()) is not None:
            call, sent, task, done = given
            try:
                result = self._ask(call, sent, task)
            except (OSError, EOFError):
                done(TaskFailed(f"the joblib worker at {self._endpoint} has gone", hint="its last lines are in the log of its rank"), None)
                return
            except BaseException as error:  # noqa: BLE001 - what cannot be pickled is the caller's error, not this thread's
                done(error, None)
            else:
                done(*result)
        self._connection.close()

    def _ask(self, call: int, sent: Sent, task: Any) -> tuple[BaseException | None, Any]:
        data, numbers = pickle_task(task, sent)
        if call != self._call:
            self._call, self._has = call, set()
        missing = [number for number in numbers if number not in self._has]
        self._connection.send((call, {number: sent.kept[number] for number in missing}, data))
        self._has.update(missing)
        return self._connection.recv()


def _connect(endpoint: str, key: str) -> Any:
    """Raises TaskFailed."""
    try:
        return reach(endpoint, key, _COME_S)
    except AuthenticationError:
        message = f"who listens at {endpoint} is no worker of this gang"
        raise TaskFailed(message, hint="another program has taken the port; run it again") from None
    except OSError as error:
        raise TaskFailed(f"no joblib worker at {endpoint}: {error}", hint="its last lines are in the log of its rank") from None


def _make_backend(workers: int, tasks: queue.SimpleQueue[Any]) -> type:
    base: Any = import_module("joblib.parallel").ParallelBackendBase

    class GangBackend(base):
        """Any number of jobs is as many as there are workers, unless it is one."""

        supports_retrieve_callback = True
        supports_inner_max_num_threads = False
        default_n_jobs = -1

        def effective_n_jobs(self, n_jobs: int | None) -> int:
            if n_jobs == 0:
                raise ValueError("n_jobs == 0 in Parallel has no meaning")
            return 1 if n_jobs in (None, 1) else workers if n_jobs < 0 else min(n_jobs, workers)

        def start_call(self) -> None:
            self._call, self._sent = next(_calls), Sent()

        def submit(self, func: Callable[[], Any], callback: Callable[[Any], None] | None = None) -> Any:
            ended = queue.SimpleQueue[Any]()

            def done(error: BaseException | None, value: Any) -> None:
                ended.put(None)
                if callback is not None:
                    callback((error, value))

            tasks.put((self._call, self._sent, func, done))
            return ended

        apply_async = submit  # as joblib before 1.5 calls it

        def retrieve_result_callback(self, out: Any) -> Any:
            error, value = out
            if error is not None:
                raise error
            return value

        def abort_everything(self, ensure_ready: bool = True) -> None:
            while not tasks.empty():
                tasks.get_nowait()

        def get_nested_backend(self) -> Any:
            return import_module("joblib.parallel").SequentialBackend(nesting_level=(self.nesting_level or 0) + 1), None

        def __reduce__(self) -> Any:
            return import_module("joblib.parallel").SequentialBackend, ()

    return GangBackend


@contextmanager
def gang_backend(endpoints: Sequence[str], key: str) -> Generator[None]:
    """joblib works through the workers at `endpoints` meanwhile; where nobody says how many jobs, it is all of them."""
    joblib: Any = import_module("joblib")
    tasks = queue.SimpleQueue[Any]()
    for endpoint in endpoints:
        Worker(endpoint, key, tasks)
    joblib.register_parallel_backend("fairway", _make_backend(len(endpoints), tasks))
    try:
        with joblib.parallel_config(backend="fairway", n_jobs=-1):
            yield
    finally:
        for _ in endpoints:
            tasks.put(None)
