"""Which endpoint a path means, and what is left of the path for its replica. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Set

from fairway.spec.record import Record, record


@record
class Way(Record):
    """`endpoint`: by name, "" if the path names none. `target`: what the replica is asked for (as in a request line, without a query).
    `prefix`: what was taken away. `revision`: the version that the path itself asks for, 0 for none."""

    endpoint: str
    target: bytes
    prefix: str = ""
    revision: int = 0


def find_way(path: bytes, host: bytes, known: Set[str], hosts: Mapping[bytes, str]) -> Way:
    """The way of a request. `path`: as it came, without its query; `host`: of its Host header, lower-case, without a port."""
    if hosts:
        owner = hosts.get(host)
        if owner is not None:
            return Way(owner, path)
    first, slash, rest = path[1:].partition(b"/")
    if first in (b"v1", b"v2") and rest.startswith(b"models/"):
        return _find_model(path, rest[7:], known)
    name = first.decode("latin-1")
    return Way(name, b"/" + rest if slash else b"/", "/" + name)


def _find_model(path: bytes, rest: bytes, known: Set[str]) -> Way:
    """`/v2/models/NAME[/versions/N]/infer`, `/v1/models/NAME:predict`."""
    segment, _, after = rest.partition(b"/")
    name = segment.decode("latin-1")
    if name not in known:
        name = name.partition(":")[0]
    revision = 0
    if after.startswith(b"versions/"):
        number = after[9:].partition(b"/")[0].partition(b":")[0]
        revision = int(number) if number.isdigit() and len(number) < 10 else -1
    return Way(name, path, "", revision)


def parse_host(value: bytes) -> bytes:
    """The name in a Host header, without its port."""
    value = value.strip().lower()
    if value.startswith(b"["):
        return value[1:].partition(b"]")[0]
    return value.partition(b":")[0]
