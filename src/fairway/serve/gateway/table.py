"""The gateway's table: which endpoints there are, how their traffic is spread, which replicas run. Parsed whole or refused whole; pure."""

from __future__ import annotations

import math
import re
import typing
from functools import cache
from typing import Any

import msgspec

from fairway.errors import ConfigError
from fairway.spec.endpoint import Capture, Key, Limits
from fairway.spec.record import Record, field, from_plain, record

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
RESERVED = frozenset({"health", "metrics", "v1", "v2"})
"""What the gateway answers itself below `/`: no endpoint has such a name."""


@record
class ReplicaRow(Record):
    """`address`: "unix:/path" or "host:port"; `grpc`: "host:port" of its second port, "" for none. `draining`: it gets nothing new."""

    id: str
    address: str
    draining: bool = False
    grpc: str = ""


@record
class EndpointRow(Record):
    """`traffic`: (revision, weight). `hold_s`: how long a request waits while nothing runs. `hosts`: names in the Host header that stand
    for it. `secret`: the key of digests in what is captured, hexadecimal. `columns`: by revision, of its schema, in order: names for rows
    that come without, in what is captured."""

    name: str
    traffic: tuple[tuple[int, float], ...] = ()
    shadow: int = 0
    sticky: str = ""
    is_open: bool = False
    paused: bool = False
    keys: tuple[Key, ...] = ()
    limits: Limits = field(default_factory=Limits)
    capture: Capture = field(default_factory=Capture)
    hold_s: float = 60.0
    hosts: tuple[str, ...] = ()
    secret: str = ""
    columns: dict[int, tuple[str, ...]] = field(default_factory=dict)
    replicas: dict[int, tuple[ReplicaRow, ...]] = field(default_factory=dict)


@record
class Table(Record):
    version: int = 0
    endpoints: dict[str, EndpointRow] = field(default_factory=dict)


def parse_table(data: bytes) -> Table:
    """The table that the JSON describes. Raises ConfigError, which names the place."""
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"the table is not JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("endpoints"), dict):
        raise ConfigError("the table has to be an object with 'version' and 'endpoints'")
    version = document.get("version", 0)
    if not isinstance(version, int) or isinstance(version, bool):
        raise ConfigError(f"/version: came {version!r}, expected a whole number")
    endpoints = {name: _parse_endpoint(name, row) for name, row in document["endpoints"].items()}
    _check_hosts(endpoints)
    return Table(version, endpoints)


def _parse_endpoint(name: str, row: Any) -> EndpointRow:
    where = f"/endpoints/{name}"
    if not NAME.fullmatch(name) or name in RESERVED:
        raise ConfigError(f"{where}: {name!r} cannot be an endpoint's name", hint="use letters, digits, '-', '_' and '.'")
    if not isinstance(row, dict):
        raise ConfigError(f"{where}: came {type(row).__name__}, expected an object")
    replicas = row.get("replicas", {})
    if not isinstance(replicas, dict):
        raise ConfigError(f"{where}/replicas: expected an object of lists, one for each revision")
    plain = {key: value for key, value in row.items() if key not in ("name", "replicas", "traffic", "columns")}
    try:
        made = from_plain(EndpointRow, {**plain, "name": name})
        made.traffic = parse_traffic(row.get("traffic", ()), where)
        made.columns = _parse_columns(row.get("columns", {}), f"{where}/columns")
        made.replicas = {
            _parse_number(n, f"{where}/replicas"): _parse_replicas(rows, f"{where}/replicas/{n}") for n, rows in replicas.items()
        }
        _check_endpoint(made, where)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise ConfigError(f"{where}: {error}") from error
    return made


def parse_traffic(pairs: Any, where: str) -> tuple[tuple[int, float], ...]:
    """(revision, weight) for each, by revision, those without weight left out. Raises ConfigError."""
    if not isinstance(pairs, list | tuple):
        raise ConfigError(f"{where}/traffic: expected a list of [revision, weight]")
    found: dict[int, float] = {}
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise ConfigError(f"{where}/traffic: came {pair!r}, expected [revision, weight]")
        number, weight = _parse_number(pair[0], f"{where}/traffic"), pair[1]
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight) or weight < 0:
            raise ConfigError(f"{where}/traffic: the weight {weight!r} of revision {number} is not a number from 0")
        found[number] = found.get(number, 0.0) + float(weight)
    return tuple((number, found[number]) for number in sorted(found) if found[number] > 0)


def _parse_number(value: Any, where: str) -> int:
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ConfigError(f"{where}: {value!r} is not a revision's number")
    return number


def _parse_columns(by_revision: Any, where: str) -> dict[int, tuple[str, ...]]:
    if not isinstance(by_revision, dict):
        raise ConfigError(f"{where}: expected an object of lists, one for each revision")
    for number, names in by_revision.items():
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ConfigError(f"{where}/{number}: came {names!r}, expected a list of texts")
    return {_parse_number(number, where): tuple(names) for number, names in by_revision.items()}


def _parse_replicas(rows: Any, where: str) -> tuple[ReplicaRow, ...]:
    if not isinstance(rows, list):
        raise ConfigError(f"{where}: expected a list of replicas")
    made = tuple(from_plain(ReplicaRow, row) for row in rows)
    for row in made:
        _check_fields(row, where)
        host, colon, port = row.address.rpartition(":")
        is_path = row.address.startswith("unix:/")
        if not is_path and not (colon and host and port.isdecimal()):
            raise ConfigError(f"{where}: the address {row.address!r} is neither 'unix:/path' nor 'host:port'")
    return made


def _check_endpoint(row: EndpointRow, where: str) -> None:
    for part, place in ((row, where), (row.limits, f"{where}/limits"), (row.capture, f"{where}/capture")):
        _check_fields(part, place)
    for key in row.keys:
        _check_fields(key, f"{where}/keys")
        if not re.fullmatch(r"[0-9a-f]{64}", key.digest):
            raise ConfigError(f"{where}/keys: the digest of {key.name!r} is not a SHA-256 in hexadecimal")
    if row.sticky not in ("", "key") and not row.sticky.startswith("header:"):
        raise ConfigError(f"{where}/sticky: came {row.sticky!r}, expected '', 'key' or 'header:NAME'")
    try:
        bytes.fromhex(row.secret)
    except ValueError:
        raise ConfigError(f"{where}/secret: expected hexadecimal digits") from None


def _check_fields(part: Record, where: str) -> None:
    """Are they of the kinds that are annotated? No number here is below 0."""
    for name, hint in _hints(type(part)).items():
        value: Any = getattr(part, name)
        if hint is float or hint is int:
            kinds = (int, float) if hint is float else int
            if isinstance(value, bool) or not isinstance(value, kinds) or not 0 <= value < math.inf:
                raise ConfigError(f"{where}/{name}: came {value!r}, expected a {'whole ' if hint is int else ''}number from 0")
        elif hint in (str, bool) and not isinstance(value, hint):
            raise ConfigError(f"{where}/{name}: came {value!r}, expected {'text' if hint is str else 'true or false'}")
        elif hint == tuple[str, ...] and isinstance(value, tuple) and not all(isinstance(item, str) for item in value):
            raise ConfigError(f"{where}/{name}: came {list(value)!r}, expected a list of texts")


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _check_hosts(endpoints: dict[str, EndpointRow]) -> None:
    owners: dict[str, str] = {}
    for name, row in endpoints.items():
        for host in row.hosts:
            other = owners.setdefault(host.lower(), name)
            if other != name:
                raise ConfigError(f"/endpoints: the host {host!r} stands for both {other!r} and {name!r}")
