"""A process that has imported Fairway's command line and forks itself for every command it is told to run: `fairway` without its start-up.

One JSON object a line comes in: `argv`, `dir` (where to run it; its output goes to `dir`/out), `moment` (None, or [name, number]: kill the
command's process at that call of a port, counted by name from 1). One a line goes out: `status`, as of `waitpid`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

from fairway.testing.faults import KillSwitch, watched


class Bomb(KillSwitch):
    """SIGKILL at the `number`th moment of that name."""

    def __init__(self, name: str, number: int) -> None:
        super().__init__()
        self.name, self.number = name, number

    def pass_moment(self, name: str) -> None:
        self.number -= name == self.name
        if self.number == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def run_command(order: dict[str, Any]) -> int:
    from fairway.cli import main
    from fairway.engine import submit

    os.chdir(order["dir"])
    os.environ["FAIRWAY_CRASH_DIR"] = order["dir"]
    os.environ["FAIRWAY_HOME"] = f"{order['dir']}/home"
    out = os.open("out", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for fd in (1, 2):
        os.dup2(out, fd)
    if order["moment"]:
        switch, open_services = Bomb(*order["moment"]), submit.open_services

        def open_watched(*args: Any, **options: Any) -> Any:
            services = open_services(*args, **options)
            services.journal = watched(services.journal, switch)
            services.artifacts = watched(services.artifacts, switch)
            services.executor = watched(services.executor, switch)
            return services

        submit.open_services = open_watched
    status = main(order["argv"])
    sys.stdout.flush()
    return status


def serve() -> None:
    import fairway.cli.drive
    import fairway.cli.resume
    import fairway.cli.run
    import fairway.dsl.load
    import fairway.engine.session
    import fairway.engine.submit  # noqa: F401

    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            status = 70
            try:
                status = run_command(json.loads(line))
            finally:
                os._exit(status)
        print(json.dumps({"status": os.waitpid(pid, 0)[1]}), flush=True)


if __name__ == "__main__":
    serve()
