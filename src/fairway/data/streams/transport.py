"""What carries a stream: the protocol that stdin, files, HTTP, Kafka and Redis keep to."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

from fairway.errors import ConfigError

LARGEST_RECORD = 16 << 20
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_SECRET_PARAMETER = re.compile(r"([?&;](?:[^=&;]*(?:pass|secret|token|key|sig|auth)[^=&;]*)=)[^&;#]+", re.IGNORECASE)


class EndOfStream(Exception):
    """Nothing will ever come again."""


@dataclass(frozen=True)
class Records:
    """Records in the order in which they came. `mark(n)`: the position after the first `n` of them, as JSON."""

    payloads: list[bytes]
    mark: Callable[[int], Any]


class Transport(Protocol):
    """`position` is what `mark` of the last committed record told, None if nothing was committed."""

    notes: list[str]
    resumable: bool
    """Does what was not committed come again?"""

    keeps_offsets: bool
    """Does the other side keep what was committed (Kafka, Redis)?"""

    def open(self, position: Any) -> None:
        """Go to what follows `position`."""
        ...

    def receive(self, timeout_s: float) -> Records | None:
        """What has come, at most about a megabyte; None if nothing did within `timeout_s`. Raises EndOfStream."""
        ...

    def commit(self, positions: list[Any]) -> None:
        """What these marks told is done; the last is the furthest."""
        ...

    def close(self) -> None: ...


def fill_variables(uri: str, variables: Mapping[str, str]) -> str:
    """`${NAME}` replaced from the environment, so that no secret stands on a command line. Raises ConfigError."""
    missing = [name for name in _VARIABLE.findall(uri) if name not in variables]
    if missing:
        raise ConfigError(f"the environment variable {missing[0]} is not set", hint=f"set {missing[0]}, or write the URL without it")
    return _VARIABLE.sub(lambda match: variables[match[1]], uri)


def without_secrets(uri: str) -> str:
    """The URL as it may be shown: no password, no token in the query."""
    if "://" not in uri:
        return uri
    try:
        parts = urlsplit(uri)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return uri.partition("://")[0] + "://…"
    user = parts.netloc.rpartition("@")[0].partition(":")
    shown = f"{user[0]}:…@" if user[1] else f"{user[0]}@" if user[0] else ""
    return _SECRET_PARAMETER.sub(r"\1…", urlunsplit((parts.scheme, shown + host, parts.path, parts.query, "")))
