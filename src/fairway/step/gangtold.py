"""The file from which a rank in a fresh interpreter knows its attempt. Secrets are not in it."""

from __future__ import annotations

import json
import os

from fairway.spec.attempt import AttemptSpec
from fairway.spec.gang import World
from fairway.spec.record import from_plain, to_plain

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_PLAIN = ("home", "source", "scratch", "began_at")


class Told:
    """`scratch` is the name of the attempt's working folder under the home; `began_at` when its leader began."""

    def __init__(self, spec: AttemptSpec, world: World, home: str, source: str, scratch: str, began_at: float) -> None:
        self.spec, self.world, self.home, self.source, self.scratch, self.began_at = spec, world, home, source, scratch, began_at


def write_told(told: Told, path: str) -> None:
    """For this user's eyes only: it has the gang's key."""
    plain = {"spec": to_plain(told.spec), "world": to_plain(told.world)}
    plain |= {name: getattr(told, name) for name in _PLAIN}
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8", errors="surrogatepass") as file:
        file.write(_encode(plain))


def read_told(path: str) -> Told:
    """What `write_told` wrote."""
    with open(path, encoding="utf-8", errors="surrogatepass") as file:
        plain = json.load(file)
    return Told(from_plain(AttemptSpec, plain["spec"]), from_plain(World, plain["world"]), **{name: plain[name] for name in _PLAIN})
