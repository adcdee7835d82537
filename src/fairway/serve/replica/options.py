"""What an inference server is told when it starts."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from fairway.errors import ConfigError
from fairway.spec.endpoint import Limits
from fairway.spec.record import Record, field, record, replace


@record
class ReplicaOptions(Record):
    """`folder`: the model package (or whatever `open_package` takes). It listens on `uds`, on the inherited socket `fd`, or on `host` and
    `port` (0: any that is free); `grpc_port` -1: no gRPC. `workers`: model processes; `options`: of the package ("method", "batch", …).
    `token`: what callers must send in `fairway-token`, "" for nothing. `quiet`: only warnings are written; `times`: each line with its
    time."""

    folder: str
    schema: str = ""
    name: str = ""
    version: str = "1"
    host: str = "127.0.0.1"
    port: int = 8080
    uds: str = ""
    fd: int = -1
    grpc_port: int = -1
    workers: int = 1
    limits: Limits = field(default_factory=Limits)
    options: dict[str, Any] = field(default_factory=dict)
    token: str = ""
    certificate: str = ""
    key: str = ""
    drain_s: float = 30.0
    quiet: bool = True
    times: bool = False


def parse_options(arguments: list[str]) -> ReplicaOptions:
    """The options of `python -m fairway.serve.replica`. Raises ConfigError, SystemExit for --help."""
    parser = argparse.ArgumentParser(prog="python -m fairway.serve.replica", description="Serve a model package.")
    parser.add_argument("folder")
    parser.add_argument("--schema", default="")
    parser.add_argument("--name", default="")
    parser.add_argument("--version", default="1")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--uds", default="")
    parser.add_argument("--fd", type=int, default=-1)
    parser.add_argument("--grpc-port", type=int, default=-1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--limits", default="{}")
    parser.add_argument("--options", default="{}")
    parser.add_argument("--token-file", default="")
    parser.add_argument("--certificate", default="")
    parser.add_argument("--key", default="")
    parser.add_argument("--drain", type=float, default=30.0)
    parser.add_argument("--times", action="store_true")
    given = vars(parser.parse_args(arguments))
    token_file, drain = given.pop("token_file"), given.pop("drain")
    limits = parse_limits(_parse_json(given.pop("limits"), "--limits"))
    given["options"] = _parse_json(given["options"], "--options")
    token = Path(token_file).read_text(encoding="utf-8").strip() if token_file else ""
    return ReplicaOptions(**given, limits=limits, token=token, drain_s=drain)


def parse_limits(given: dict[str, Any]) -> Limits:
    """Limits by name over the usual ones. Raises ConfigError for a name or a number that cannot be."""
    usual = Limits()
    for name, value in given.items():
        if name not in Limits.record_fields:
            raise ConfigError(f"there is no limit {name!r}", hint=f"there are: {', '.join(Limits.record_fields)}")
        least = 0 if name == "concurrency" else 0.001 if name == "deadline_s" else 1
        fits = isinstance(value, int | float) and not isinstance(value, bool) and least <= value < float("inf")
        if not fits or (name != "deadline_s" and value != int(value)):
            kind = "number" if name == "deadline_s" else "whole number"
            raise ConfigError(f"the limit {name} is {value!r}, expected a {kind} of at least {least}")
    return replace(usual, **{name: float(value) if name == "deadline_s" else int(value) for name, value in given.items()})


def _parse_json(text: str, flag: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{flag} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{flag} is to be a JSON object")
    return found
