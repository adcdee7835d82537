"""TCP ports for what is yet to listen: ranks of a gang, on this machine and in its pods alike, and processes of ours that are started."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress

_PORTS = (range(20_000, 30_000), range(61_000, 65_536))
"""Where they are looked for: above what most programs listen at, without those that Kubernetes gives to services on its nodes."""
_CONNECTIONS = (32_768, 65_535)
"""The ports of connections where the kernel does not say: Linux' own, and those of macOS (from 49,152)."""
_TOLD = "/proc/sys/net/ipv4/ip_local_port_range"
_ANYWHERE = ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::"))
_ANSWER_S = 1.0
_NO_IPV6 = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def free_ports(count: int) -> tuple[int, ...]:
    """Ports that nobody has now, at any address of this machine or pod.

    Seconds may pass until somebody listens there: a rank loads its framework first. So they are none of those that the kernel gives to
    connections, any of which could take them meanwhile; those are only taken where no others are left.
    """
    found: list[int] = []
    for port in _quiet_ports(*ports_of_connections()):
        if len(found) == count:
            break
        if is_free(port):
            found.append(port)
    return (*found, *_given_ports(count - len(found)))


def ports_of_connections() -> tuple[int, int]:
    """The first and the last that the kernel gives to connections; for IPv6 they are the same."""
    with suppress(OSError, ValueError), open(_TOLD, encoding="ascii") as file:
        first, last = map(int, file.read().split())
        return first, last
    return _CONNECTIONS


def is_free(port: int) -> bool:
    """At every address, since frameworks listen at one or at all."""
    for family, address in _ANYWHERE:
        try:
            with socket.socket(family) as sock:
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.bind((address, port))
        except OSError as error:
            if error.errno not in _NO_IPV6:
                return False
    return True


def answers(address: str) -> bool:
    """Does something accept connections at HOST:PORT (IPv6's address in brackets) now?"""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S).close()
    except OSError:
        return False
    return True


def _quiet_ports(first: int, last: int) -> Iterator[int]:
    """Those that no connection is given, beginning where no other gang does: several may look at one moment. (Not by Python's generator:
    that of an attempt begins alike in each try.)"""
    below = [range(ports.start, min(ports.stop, first)) for ports in _PORTS]
    spans = [*below, *(range(max(ports.start, last + 1), ports.stop) for ports in _PORTS)]
    count = sum(map(len, spans))
    begin = int.from_bytes(os.urandom(4), "big") % max(1, count)
    for at in range(begin, begin + count):
        yield _at(spans, at % count)


def _at(spans: Sequence[range], place: int) -> int:
    for span in spans:
        if place < len(span):
            return span[place]
        place -= len(span)
    raise IndexError(place)


def _given_ports(count: int) -> tuple[int, ...]:
    """As the kernel gives them."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for sock in sockets:
            sock.bind(("", 0))
        return tuple(sock.getsockname()[1] for sock in sockets)
    finally:
        for sock in sockets:
            sock.close()
