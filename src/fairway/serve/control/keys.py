"""Keys of callers: made here, shown once, kept as a SHA-256."""

from __future__ import annotations

import re
import secrets
import time

from fairway.errors import ConfigError
from fairway.serve.gateway.access import PREFIX, digest_key
from fairway.spec.endpoint import Key

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._@-]{0,61}[A-Za-z0-9])?")


def make_key(name: str, *, rate: float = 0.0, burst: int = 0, by: str = "", now: float | None = None) -> tuple[str, Key]:
    """A new key for the caller `name`: its text, which nobody can make out of what is kept, and what is kept. Raises ConfigError."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} cannot be a key's name", hint="say who calls, in letters, digits, '-', '_', '.' and '@'")
    if rate < 0 or burst < 0:
        raise ConfigError("a rate and a burst are numbers from 0", hint="0 means: no limit")
    token = f"{PREFIX}.{name}.{secrets.token_urlsafe(24)}"
    return token, Key(name, digest_key(token), float(rate), int(burst), time.time() if now is None else now, by)
