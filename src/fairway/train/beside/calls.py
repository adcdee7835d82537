"""How a rank reaches the programs that run beside the others: whoever answers has to know the gang's key."""

from __future__ import annotations

import time
from multiprocessing.connection import Client
from typing import Any


def reach(endpoint: str, key: str, patience_s: float) -> Any:
    """A connection to who listens at HOST:PORT, who may come a little later than we do. Raises AuthenticationError for somebody who does
    not know the key, OSError if nobody comes in `patience_s`."""
    host, _, port = endpoint.rpartition(":")
    until = time.monotonic() + patience_s
    while True:
        try:
            return Client((host.strip("[]"), int(port)), authkey=key.encode())
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
