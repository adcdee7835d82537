"""Keys and rates: who calls, compared in constant time, and how often they may. Pure but for the clock that is given."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence

from fairway.spec.endpoint import Key

PREFIX = "fk1"
_NOBODY = "0" * 64


def digest_key(token: str) -> str:
    """The SHA-256 of a key, in hexadecimal: all that is ever stored."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def name_in(token: str) -> str:
    """The name that a key "fk1.NAME.SECRET" carries, "" if it is none."""
    parts = token.split(".")
    return ".".join(parts[1:-1]) if len(parts) >= 3 and parts[0] == PREFIX and parts[-1] else ""


def read_token(headers: Mapping[bytes, bytes]) -> str:
    """The key that a request carries: `authorization: Bearer KEY` or `x-api-key: KEY`; "" for none."""
    value = headers.get(b"authorization")
    if value is not None and value[:7].lower() == b"bearer ":
        return value[7:].strip().decode("latin-1")
    return headers.get(b"x-api-key", b"").strip().decode("latin-1")


class Keyring:
    """The keys of one endpoint."""

    __slots__ = ("_by_name",)

    def __init__(self, keys: Sequence[Key]) -> None:
        self._by_name: dict[str, list[Key]] = {}
        for key in keys:
            self._by_name.setdefault(key.name, []).append(key)

    def __bool__(self) -> bool:
        return bool(self._by_name)

    def find(self, token: str) -> Key | None:
        """The key, if the token is one. Takes as long for a wrong secret as for a wrong name."""
        digest = digest_key(token)
        found: Key | None = None
        for key in self._by_name.get(name_in(token)) or (None,):
            if hmac.compare_digest(digest, key.digest if key is not None else _NOBODY):
                found = key
        return found


class Bucket:
    """A token bucket: `rate` requests a second, `burst` at once."""

    __slots__ = ("_filled_at", "_left", "burst", "rate")

    def __init__(self, rate: float, burst: int, now: float) -> None:
        self.rate, self.burst = rate, float(burst if burst > 0 else max(1.0, rate))
        self._left, self._filled_at = self.burst, now

    def take(self, now: float) -> float:
        """0.0: go on; else in how many seconds to come again."""
        self._left = min(self.burst, self._left + max(0.0, now - self._filled_at) * self.rate)
        self._filled_at = max(now, self._filled_at)
        if self._left >= 1.0:
            self._left -= 1.0
            return 0.0
        return (1.0 - self._left) / self.rate

    def changed(self, rate: float, burst: int, now: float) -> Bucket:
        """One with another rate, as empty as this one."""
        made = Bucket(rate, burst, now)
        made._left = min(made.burst, self._left)
        return made
