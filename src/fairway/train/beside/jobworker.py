"""`python -m fairway.train.beside.jobworker HOST PORT CPUS`: runs joblib's tasks for the gang's rank 0. The key is in FAIRWAY_GANG_KEY."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from multiprocessing import AuthenticationError
from typing import Any

from fairway.train.beside.calls import listen
from fairway.train.beside.wire import unpickle_task


def serve(host: str, port: int, key: str) -> None:
    """One client after the other, until this process is ended."""
    with listen(host, port, key) as listener:
        while True:
            try:
                client = listener.accept()
            except (AuthenticationError, OSError, EOFError):
                print("fairway: refused a caller that does not know the gang's key", file=sys.stderr, flush=True)
                continue
            with client:
                _work_for(client)


def _work_for(client: Any) -> None:
    call, arrays = 0, dict[int, Any]()
    while True:
        try:
            asked, brought, data = client.recv()
        except (EOFError, OSError):
            return
        if asked != call:
            call, arrays = asked, {}
        arrays.update(brought)
        answer = _run(data, arrays)
        try:
            client.send(answer)
        except (EOFError, OSError):
            return
        except Exception as error:  # noqa: BLE001 - a result that cannot be pickled: the caller hears of it
            client.send((TypeError(f"the result of a task cannot be sent back: {error}"), None))


def _run(data: bytes, arrays: dict[int, Any]) -> tuple[BaseException | None, Any]:
    """(None, result) or (what it raised, None)."""
    try:
        return None, unpickle_task(data, arrays)()
    except Exception as error:  # noqa: BLE001 - whatever the task raises is raised again where it was asked for
        import traceback

        error.add_note("in the gang's worker " + os.environ.get("FAIRWAY_RANK", "") + ":\n" + "".join(traceback.format_exception(error)))
        return error, None


def limit_threads(cpus: int) -> None:
    """Libraries that this process imports later compute with as many threads as it has cores."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, str(cpus))


if __name__ == "__main__":
    limit_threads(int(sys.argv[3]))
    import_module("joblib")
    serve(sys.argv[1], int(sys.argv[2]), os.environ["FAIRWAY_GANG_KEY"])
