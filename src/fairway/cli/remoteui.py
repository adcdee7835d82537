"""`fairway ui --on TARGET`: the dashboard of a server elsewhere. A way to a cluster is held open for as long as it is looked at."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from fairway.cli.dashboard import present
from fairway.engine.remote import Connection, open_connection
from fairway.errors import ConfigError

if TYPE_CHECKING:
    from fairway.engine.project import Project


_LOOK_EVERY_S = 1.0
"""For signals that the system has given to another thread: only the main one, once it is awake, acts on them."""


def show_remote(project: Project, *, browser: bool, port: int) -> int:
    """Show it; where that needs a way to a cluster, hold it open until Ctrl-C. Returns the exit status."""
    if port:
        raise ConfigError("--port is for the server on this machine", hint=f"leave it out with --on {project.target}")
    connection = open_connection(project)
    try:
        present(f"{connection.api.url}/login#code={_get_code(connection)}", browser=browser)
        if connection.target.kind == "kubernetes":
            sys.stderr.write(f"the way to {project.target} is open; Ctrl-C closes it\n")
            _wait_for_interrupt()
    finally:
        connection.close()
    return 0


def _get_code(connection: Connection) -> str:
    assert connection.facts  # a server that is too old has no pages, and says so better than "there is nothing"
    return str(connection.api.send("POST", "/session-code")["code"])


def _wait_for_interrupt() -> None:
    from signal import SIGTERM, signal
    from threading import Event

    ended = Event()
    before = signal(SIGTERM, lambda number, frame: ended.set())
    try:
        while not ended.wait(_LOOK_EVERY_S):
            pass
    except KeyboardInterrupt:
        sys.stderr.write("\n")
    finally:
        signal(SIGTERM, before)
