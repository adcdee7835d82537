"""A door: a port that is open when a program is ready, for programs that must not be asked at their own port whether they are."""

from __future__ import annotations

import socket
import time

from fairway.errors import TaskFailed


def open_door(host: str, port: int) -> socket.socket:
    """It is open until the socket is closed; nobody needs to answer."""
    return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=512)


def wait_at(host: str, port: int, what: str, patience_s: float) -> None:
    """Until it is open. Raises TaskFailed."""
    until = time.monotonic() + patience_s
    while True:
        try:
            socket.create_connection((host, port), timeout=max(1.0, until - time.monotonic())).close()
        except OSError as error:
            if time.monotonic() > until:
                raise TaskFailed(
                    f"the {what} at {host} did not come in {patience_s:.0f} s: {error}", hint="its last lines are in its rank's log"
                ) from None
            time.sleep(0.05)
        else:
            return
