"""What the commands about endpoints share: the way to the server that keeps them, and how what they say is spelled."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from fairway.cli.arguments import open_project
from fairway.engine.project import Project
from fairway.errors import ConfigError, NotFoundError, TaskFailed
from fairway.spec.endpoint import Limits
from fairway.spec.record import Record, record

if TYPE_CHECKING:
    from fairway.engine.workspace import Workspace
    from fairway.store.serverapi import ServerApi

_LOCAL_PATIENCE_S = 10.0
_LOOK_S = 0.15
_EXAMPLE = 600


@record
class Served(Record):
    """A server that keeps endpoints. `words`: how commands for it begin."""

    project: Project
    api: ServerApi
    workspace: Workspace
    words: str

    def path(self, name: str, rest: str = "") -> str:
        """Of an endpoint in the API."""
        return f"/endpoints/{quote(name, safe='')}{rest}"

    def get(self, name: str) -> dict[str, Any]:
        """The endpoint as it is now. Raises NotFoundError, with what there is."""
        found = self.api.find(self.path(name))
        if found is None:
            there = ", ".join(one["endpoint"]["name"] for one in self.api.get("/endpoints")["items"])
            hint = f"there is: {there}" if there else f"there is none yet: {self.words} deploy SOURCE --name {name}"
            raise NotFoundError(f"there is no endpoint {name!r}", hint=hint)
        return found


def open_served(folder: str) -> Served:
    """The server of the target that `--on` names; on this machine it is started unless it runs. Closed with the command."""
    from fairway.engine.workspace import Workspace
    from fairway.store.serverapi import ServerApi

    project = open_project(folder)
    workspace = Workspace(project)
    click.get_current_context().call_on_close(workspace.close)
    remote = workspace.remote
    if remote is not None:
        return Served(project, remote.api, workspace, f"fairway --on {project.target}")
    from fairway.engine.localserver import ensure_server

    server = ensure_server(project)
    api = ServerApi(server.url, server.token, patience_s=_LOCAL_PATIENCE_S)
    click.get_current_context().call_on_close(api.close)
    return Served(project, api, workspace, "fairway")


def has_endpoints(folder: str) -> bool:
    """Could there be an endpoint? Of this machine that is known without a server."""
    project = open_project(folder)
    if project.target != "local":
        return True
    return bool(local_endpoints(project))


def find_local_endpoint(folder: str, name: str) -> bool:
    """Is there an endpoint of that name on this machine? Always False where the target is elsewhere."""
    project = open_project(folder)
    return project.target == "local" and name in local_endpoints(project)


def local_endpoints(project: Project) -> Sequence[str]:
    """Names of this machine's endpoints, as its home tells without a server."""
    from pathlib import Path

    from fairway.spec.layout import DATABASE
    from fairway.spec.ports import run_now
    from fairway.store import open_endpoints, open_journal

    path = Path(project.home) / DATABASE
    if not path.exists():
        return ()
    journal = open_journal(path)
    try:
        return [one.name for one in run_now(open_endpoints(journal).endpoints())]
    finally:
        run_now(journal.close())


def wait_ready(served: Served, name: str, number: int, timeout_s: float, say: Callable[[str], None]) -> dict[str, Any]:
    """The endpoint, when the revision is ready (or needs not run, or is as it is when the time is over). Raises TaskFailed with what its
    model's process said if it cannot start."""
    from fairway.cli.endpointlog import split_line

    end, said = time.monotonic() + timeout_s, ""
    while True:
        view = served.get(name)
        row = next((one for one in view["revisions"] if one["number"] == number), None)
        state = row["state"] if row is not None else "unused"
        if state == "failed" and row is not None:
            log = served.api.get(served.path(name, "/logs"), revision=number, lines=40)["lines"]
            for line in own_lines([split_line(line)[2] for line in log])[-30:]:
                say(f"  {line}")
            raise TaskFailed(
                f"revision {number} of {name!r} does not start: {row['why']}",
                hint=f"{_tell_callers(view, number, f'{served.words} rollback {name}')}; see {served.words} logs {name}",
            )
        if state in ("ready", "idle", "unused", "went back") or time.monotonic() > end:
            return view
        if state != said:
            say(f"revision {number} is {state} …")
            said = state
        time.sleep(_LOOK_S)


def own_lines(log: Sequence[str]) -> list[str]:
    """What the user's code wrote until a start failed, without the reason: that is told in the error. All lines if nothing tells it."""
    for at, line in enumerate(log):
        if not line.startswith('{"ready": false'):
            continue
        try:
            reason = str(json.loads(line)["message"])
        except (ValueError, KeyError):
            continue
        return [one for one in log[:at] if one.strip() not in reason.splitlines()]
    return list(log)


def _tell_callers(view: dict[str, Any], failed: int, back: str) -> str:
    """What a revision that does not start means for callers. `back`: the command that goes back."""
    others = [one for one in view["revisions"] if one["number"] != failed]
    if any(one["state"] in ("ready", "idle") for one in others):
        return "what served before still does"
    return f"nothing answers its callers now, go back with {back}" if others else "nothing answers its callers yet"


def spell_curl(view: dict[str, Any], key: str = "") -> str:
    """A line for a shell that asks the endpoint; "" where nobody knows what to ask it."""
    if not view["url"]:
        return ""
    words = ["curl", "-s", f"{view['url']}/predict", "-H", "content-type: application/json"]
    if key or (view["endpoint"]["keys"] and not view["endpoint"]["is_open"]):
        words += ["-H", f"authorization: Bearer {key or '$KEY'}"]
    body = json.dumps(view["example"]) if view.get("example") is not None else ""
    if not body or len(body) > _EXAMPLE:
        return ""
    text = shlex.join([*words, "-d", body])
    return text.replace("'authorization: Bearer $KEY'", '"authorization: Bearer $KEY"')


def parse_pairs(given: Sequence[str], flag: str) -> dict[str, str]:
    """NAME=VALUE texts. Raises ConfigError."""
    pairs: dict[str, str] = {}
    for text in given:
        name, mark, value = text.partition("=")
        if not mark or not name.strip():
            raise ConfigError(f"{flag} {text}: expected NAME=VALUE", hint=f"such as {flag} NAME=1")
        pairs[name.strip()] = value
    return pairs


def parse_value(text: str) -> Any:
    """JSON where it is some, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def read_limits(words: Sequence[str]) -> Limits:
    """--limits NAME=N, several times, over the usual ones. Raises ConfigError."""
    from fairway.serve.replica.options import parse_limits

    return parse_limits({name: parse_value(text) for name, text in parse_pairs(words, "--limits").items()})


def parse_seconds(text: str, flag: str) -> float:
    """Seconds of "60s", "5m". Raises ConfigError."""
    from fairway.errors import DefinitionError
    from fairway.spec.resources import parse_duration

    try:
        return parse_duration(text)
    except DefinitionError as error:
        raise ConfigError(f"{flag}: {error.message}", hint=error.hint) from None


def parse_weights(words: Sequence[str]) -> list[list[float]]:
    """[[revision, percent]] of "3=95". Raises ConfigError."""
    out: list[list[float]] = []
    for name, value in parse_pairs(words, "traffic").items():
        number, percent = name.removeprefix("v").removeprefix("r"), value.removesuffix("%")
        try:
            out.append([int(number), float(percent)])
        except ValueError:
            raise ConfigError(f"{name}={value}: expected REVISION=PERCENT", hint="such as 3=95 4=5") from None
    return out


def complete_endpoint(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of this machine's endpoints."""
    from fairway.engine.project import load_project
    from fairway.errors import FairwayError

    try:
        project = load_project((ctx.find_root().params or {}).get("project") or "")
        return [name for name in local_endpoints(project) if name.startswith(incomplete)] if project.target == "local" else []
    except FairwayError:
        return []


def endpoint_argument(function: Any) -> Any:
    """NAME of an endpoint."""
    return click.argument("name", metavar="NAME", shell_complete=complete_endpoint)(function)


def say(text: str) -> None:
    """On stderr."""
    click.echo(text, err=True)
