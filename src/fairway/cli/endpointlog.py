"""What the replicas of an endpoint wrote, for `fairway logs`."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence

from fairway.cli.listing import print_json
from fairway.cli.serving import Served, find_local_endpoint, open_served
from fairway.cli.style import paint

_COLOURS = ("cyan", "green", "yellow", "blue")
_LINES, _FOLLOWED = 200, 1000
_LOOK_S = 0.5
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) ")


def find_endpoint(folder: str, name: str) -> bool:
    """Is it the name of an endpoint of the target? A server is asked only where runs of that name are nowhere."""
    from fairway.cli.arguments import open_project, open_workspace
    from fairway.errors import NotFoundError

    if open_project(folder).target == "local":
        return find_local_endpoint(folder, name)
    workspace = open_workspace(folder)
    try:
        workspace.get_run(name)
    except NotFoundError:
        remote = workspace.remote
        return remote is not None and any(one["endpoint"]["name"] == name for one in remote.api.get("/endpoints")["items"])
    return False


def print_endpoint_log(folder: str, name: str, tail: int, follow: bool, output: str | None) -> None:
    """The last lines; with `follow` also those that come, until Ctrl-C."""
    served = open_served(folder)
    lines = _read(served, name, tail or _LINES)
    if output == "json":
        print_json(lines)
        return
    _write(lines)
    while follow:
        time.sleep(_LOOK_S)
        newer = _read(served, name, _FOLLOWED)
        _write(find_new(lines, newer))
        lines = newer
    if not lines:
        sys.stderr.write(f"nothing was written by {name}\n")


def find_new(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """The lines of each replica that were not there before; both are the last lines of the same logs, by replica."""
    known: dict[str, list[str]] = {}
    for line in before:
        known.setdefault(line.partition("  ")[0], []).append(line)
    found: dict[str, list[str]] = {}
    for line in after:
        found.setdefault(line.partition("  ")[0], []).append(line)
    out: list[str] = []
    for replica, lines in found.items():
        old = known.get(replica, [])
        start = next((n for n in range(len(lines), 0, -1) if old and lines[:n][-len(old) :] == old[-n:]), 0)
        out += lines[start:]
    return out


def split_line(line: str) -> tuple[str, str, str]:
    """(replica, when, text); "" for a line without its time."""
    replica, _, rest = line.partition("  ")
    found = _TIME.match(rest)
    return (replica, found[1], rest[found.end() :]) if found is not None else (replica, "", rest)


def _read(served: Served, name: str, lines: int) -> list[str]:
    return served.api.get(served.path(name, "/logs"), lines=lines)["lines"]


def _write(lines: Sequence[str]) -> None:
    for line in lines:
        replica, when, text = split_line(line)
        colour = _COLOURS[sum(replica.encode()) % len(_COLOURS)]
        shown = f"{paint(when, 'dim', sys.stdout)} {text}" if when else text
        sys.stdout.write(f"{paint(replica, colour, sys.stdout)}  {shown}\n")
    sys.stdout.flush()
