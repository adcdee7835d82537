"""What the gateway is told on its command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from fairway.errors import ConfigError
from fairway.spec.record import Record, record


@record
class Options(Record):
    """`listen`: (host, port); `admin`: "unix:/path" or "host:port"; `grpc`: (host, port) for gRPC; `fd`, `admin_fd`,
    `grpc_fd`: sockets that were handed down (-1: none);
    `replaces`: the process whose sockets these are, which ends when this one answers."""

    table: Path
    listen: tuple[str, int]
    admin: str
    admin_token: str = ""
    spool: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    drain_s: float = 30.0
    grpc: tuple[str, int] | None = None
    fd: int = -1
    admin_fd: int = -1
    grpc_fd: int = -1
    replaces: int = 0

    @property
    def is_local(self) -> bool:
        """Can only this machine reach it?"""
        return self.listen[0] in ("localhost", "::1") or self.listen[0].startswith("127.")


def parse_options(arguments: Sequence[str]) -> Options:
    """Raises ConfigError; SystemExit for what argparse itself refuses."""
    parser = argparse.ArgumentParser(
        prog="python -m fairway.serve.gateway", description="Holds the names of endpoints and spreads their traffic."
    )
    parser.add_argument("--table", required=True, type=Path, metavar="FILE", help="the endpoints and their replicas, JSON")
    parser.add_argument("--listen", default="127.0.0.1:8000", metavar="HOST:PORT", help="where callers come")
    parser.add_argument("--admin", required=True, metavar="ADDRESS", help="where the keeper comes: unix:/PATH or HOST:PORT")
    parser.add_argument("--admin-token-file", default="", metavar="FILE", help="the keeper's token; needed with HOST:PORT")
    parser.add_argument("--spool", default="", metavar="DIR", help="where captured traffic and feedback are kept")
    parser.add_argument("--tls-cert", default="", metavar="FILE", help="certificate chain, PEM; read again when it changes")
    parser.add_argument("--tls-key", default="", metavar="FILE", help="its private key, PEM")
    parser.add_argument("--drain", type=float, default=30.0, metavar="SECONDS", help="how long requests may go on after SIGTERM")
    parser.add_argument("--grpc", default="", metavar="HOST:PORT", help="where callers come with gRPC")
    for name in ("--fd", "--admin-fd", "--grpc-fd"):
        parser.add_argument(name, type=int, default=-1, help=argparse.SUPPRESS)
    parser.add_argument("--replaces", type=int, default=0, help=argparse.SUPPRESS)
    found = parser.parse_args(arguments)
    if bool(found.tls_cert) != bool(found.tls_key):
        raise ConfigError("a certificate and its key belong together", hint="give both --tls-cert and --tls-key")
    token = ""
    if found.admin_token_file:
        try:
            token = Path(found.admin_token_file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigError(f"--admin-token-file: {error}") from error
    if not token and not found.admin.startswith("unix:/"):
        raise ConfigError("--admin HOST:PORT needs a token", hint="give --admin-token-file FILE, or --admin unix:/PATH")
    return Options(
        found.table, parse_address(found.listen, "--listen"), found.admin, token, found.spool, found.tls_cert, found.tls_key, found.drain,
        parse_address(found.grpc, "--grpc") if found.grpc else None, found.fd, found.admin_fd, found.grpc_fd, found.replaces,
    )  # fmt: skip


def parse_address(text: str, what: str) -> tuple[str, int]:
    """(host, port) of "host:port" or "[::1]:port". Raises ConfigError."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"{what}: came {text!r}, expected HOST:PORT", hint="for example 127.0.0.1:8000")
    return host.strip("[]"), int(port)
