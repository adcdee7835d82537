"""`fairway endpoints`: what is served, how it is doing, who may call."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click

from fairway.cli.arguments import on_option, output_option
from fairway.cli.listing import print_json, print_pairs, print_table
from fairway.cli.serving import Served, endpoint_argument, has_endpoints, open_served, say, spell_curl
from fairway.cli.style import paint, spell_age, spell_duration, spell_size
from fairway.errors import ConfigError

_COLOURS = {"ready": "green", "failed": "red", "went back": "red", "starting": "blue", "paused": "yellow", "idle": "dim", "empty": "dim"}
_REFUSED_SHOWN = 5


class _Named(click.Group):
    """A group whose name may be followed by an endpoint's: that shows it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not any(word in self.commands for word in args if not word.startswith("-")) and not {"--help", "-h"} & set(args):
            args = ["show", *args]
        return super().parse_args(ctx, args)


@click.group("endpoints", cls=_Named, subcommand_metavar="[NAME] [OPTIONS] | key …")
def command() -> None:
    """List endpoints, show one, delete one; say who may call.

    With NAME: its revisions, replicas and what was refused.
    Options: --delete, --pause, --go-on, --on TARGET, -o json, -y.

    \b
    Examples:
      fairway endpoints
      fairway endpoints risk
      fairway endpoints risk --delete
      fairway endpoints key add risk shop --rate 50
    """


@command.command("show", hidden=True)
@click.argument("name", default="", metavar="[NAME]")
@click.option("--delete", is_flag=True, help="Delete it: its replicas end.")
@click.option("--pause", is_flag=True, help="Take no requests.")
@click.option("--go-on", is_flag=True, help="Take requests again.")
@click.option("-y", "--yes", is_flag=True, help="Delete without asking.")
@output_option
@on_option
@click.pass_obj
def show(folder: str, name: str, delete: bool, pause: bool, go_on: bool, yes: bool, output: str | None) -> int:
    """List endpoints, or show one.

    \b
    Examples:
      fairway endpoints risk
    """
    if not name:
        if delete or pause or go_on:
            raise ConfigError("which endpoint?", hint="fairway endpoints NAME --delete")
        return _list(folder, output)
    served = open_served(folder)
    view = served.get(name)
    if delete:
        return _delete(served, view, yes)
    if pause or go_on:
        served.api.send("PATCH", served.path(name), {"paused": pause})
        say(f"{name} {'takes no requests' if pause else 'takes requests again'}")
        return 0
    if output == "json":
        print_json(view)
        return 0
    print_endpoint(view)
    return 0


@command.group("key")
def key() -> None:
    """Keys of callers. A key is shown once; its digest is kept.

    \b
    Examples:
      fairway endpoints key add risk shop --rate 50
      fairway endpoints key list risk
      fairway endpoints key remove risk shop
    """


@key.command("add")
@endpoint_argument
@click.argument("caller")
@click.option("--rate", type=click.FloatRange(0), default=0.0, metavar="N", help="At most N requests a second.")
@click.option("--burst", type=click.IntRange(0), default=0, metavar="N", help="So many at once.")
@on_option
@click.pass_obj
def add_key(folder: str, name: str, caller: str, rate: float, burst: int) -> int:
    """Make a key for CALLER and write it to stdout, this once.

    \b
    Examples:
      fairway endpoints key add risk shop --rate 50 > shop.key
    """
    served = open_served(folder)
    made = served.api.send("POST", served.path(name, "/keys"), {"name": caller, "rate": rate, "burst": burst})
    sys.stdout.write(f"{made['key']}\n")
    say(f"{caller} sends it as: authorization: Bearer KEY")
    return 0


@key.command("list")
@endpoint_argument
@output_option
@on_option
@click.pass_obj
def list_keys(folder: str, name: str, output: str | None) -> int:
    """Who may call, and when they last did.

    \b
    Examples:
      fairway endpoints key list risk
    """
    view = open_served(folder).get(name)
    used = {one["name"]: one for one in view["keys"]}
    rows = [
        {"name": one["name"], "rate": one["rate"], "created_by": one["created_by"], **used.get(one["name"], {"used_at": 0, "requests": 0})}
        for one in view["endpoint"]["keys"]
    ]
    if output == "json":
        print_json(rows)
        return 0
    now = time.time()
    cells = [
        (
            row["name"],
            f"{row['rate']:g}/s" if row["rate"] else "none",
            spell_age(row["used_at"], now) if row["used_at"] else "never",
            row["created_by"],
        )
        for row in rows
    ]
    print_table(("CALLER", "LIMIT", "LAST SEEN", "MADE BY"), cells)
    return 0


@key.command("remove")
@endpoint_argument
@click.argument("caller")
@on_option
@click.pass_obj
def remove_key(folder: str, name: str, caller: str) -> int:
    """Make the key of CALLER void, from now on.

    \b
    Examples:
      fairway endpoints key remove risk shop
    """
    from urllib.parse import quote

    served = open_served(folder)
    served.api.send("DELETE", served.path(name, f"/keys/{quote(caller, safe='')}"))
    say(f"{caller} cannot call {name} any more")
    return 0


def _list(folder: str, output: str | None) -> int:
    views = open_served(folder).api.get("/endpoints")["items"] if has_endpoints(folder) else []
    if output == "json":
        print_json(views)
        return 0
    if not views:
        say("there are no endpoints; make one: fairway deploy SOURCE --name NAME")
        return 0
    rows = [
        (
            view["endpoint"]["name"],
            view["state"],
            f"{view['replicas']} of {view['wanted']}",
            ", ".join(f"{number}: {weight:g} %" for number, weight in view["endpoint"]["traffic"]),
            f"{view['figures']['rate']:.3g}/s",
            _ms(view["figures"]["p95_ms"]),
            f"{view['figures']['errors']:.1%}",
            view["url"],
        )
        for view in views
    ]
    print_table(
        ("NAME", "STATE", "REPLICAS", "REVISIONS", "RATE", "P95", "ERRORS", "URL"),
        rows,
        right=(4, 5, 6),
        colours=[{1: _COLOURS.get(view["state"], "")} for view in views],
    )
    return 0


def print_endpoint(view: dict[str, Any]) -> None:
    """All that people want to know of it."""
    endpoint, figures, now = view["endpoint"], view["figures"], time.time()
    scaling = endpoint["scaling"]
    unit = "in flight each" if scaling["on"] == "concurrency" else "ms p95"
    bounds = f"{scaling['minimum']} to {scaling['maximum']}"
    pairs = [
        ("state", view["state"] + (f": {view['why']}" if view["why"] else "")),
        ("url", view["url"]),
        ("not exposed", view["unexposed"]),
        (
            "replicas",
            f"{view['replicas']} of {view['wanted']}; {bounds}, target {scaling['target']:g} {unit}",
        ),
        ("last minute", f"{figures['rate']:.3g} requests/s, {figures['errors']:.2%} errors, {figures['refused']:.2%} refused"),
        ("latency", f"p50 {_ms(figures['p50_ms'])}, p95 {_ms(figures['p95_ms'])}, p99 {_ms(figures['p99_ms'])}"),
        ("drift", _spell_drift(view)),
        ("callers", "everybody" if endpoint["is_open"] else ", ".join(one["name"] for one in endpoint["keys"]) or "this machine"),
    ]
    if view["scaled_by"]:
        pairs.insert(4, ("scaled by", view["scaled_by"]))
    if not scaling["minimum"]:
        pairs.insert(3, ("when idle", f"nothing runs after {spell_duration(scaling['idle_s'])}" + _spell_zygote(view)))
    print_pairs([(name, value) for name, value in pairs if value])
    _show_revisions(view, now)
    _show_running(view, now)
    if view["rollout"] is not None and view["rollout"]["rollout"]["state"] in ("going", "paused", "back"):
        going = view["rollout"]["rollout"]
        sys.stdout.write(f"\nrollout of revision {going['revision']}: {going['state']}; {view['rollout']['judgement'] or going['why']}\n")
    if view["shadow"] is not None:
        seen = view["shadow"]
        text = f"{seen['equal']} equal, {seen['differing']} differing, {seen['errors']} errors"
        sys.stdout.write(f"\nshadow: revision {seen['revision']}: {text}\n")
    _show_alarms(view, now)
    if view["refused"]:
        sys.stdout.write("\n")
        print_table(("FAILED OR REFUSED", "TIMES", "STATUS", "CALLER", "WHY"), list_refused(view["refused"], now))
    curl = spell_curl(view)
    if curl:
        say(f"try it: {curl}")


def _spell_drift(view: dict[str, Any]) -> str:
    """How its traffic compares with the training data, in a line; "" where nobody looks."""
    taking = {number for number, weight in view["endpoint"]["traffic"] if weight}
    found = [one for one in view["drift"]["revisions"] if one["revision"] in taking]
    if view["drift"]["error"]:
        return f"not looked at: {view['drift']['error']}"
    if not found:
        return ""
    active = sum(len(one["active"]) for one in found)
    rows = sum(one["rows"] for one in found)
    if active:
        return f"{active} alarm{'s' if active > 1 else ''}, see below"
    if all(one["has_baseline"] and not one["windows"] for one in found):
        return f"{rows:,} rows so far, judged from {found[0]['window_rows']:,} on"
    if not all(one["has_baseline"] for one in found):
        return f"no baseline; {rows:,} rows are as the schema says"
    return f"none in {rows:,} rows"


def _show_alarms(view: dict[str, Any], now: float) -> None:
    found = [(one, alarm) for one in view["drift"]["revisions"] for alarm in one["active"]]
    if not found:
        return
    sys.stdout.write("\n")
    rows = [
        (spell_age(datetime.fromisoformat(alarm["at"]).timestamp(), now), str(one["revision"]), alarm["message"].replace("`", ""))
        for one, alarm in found
    ]
    print_table(("ALARM", "REVISION", "WHAT"), rows, right=(1,))


def list_refused(refused: Sequence[dict[str, Any]], now: float) -> list[tuple[str, ...]]:
    """A row for all that failed or were refused for the same: when the newest of them came, how many, status, caller, why. The newest
    first."""
    found: dict[tuple[str, ...], list[float]] = {}
    for one in sorted(refused, key=lambda one: -one["at"]):
        found.setdefault((str(one["status"]), one["key"], one["message"]), []).append(one["at"])
    return [(spell_age(times[0], now), str(len(times)), *same) for same, times in found.items()][:_REFUSED_SHOWN]


def _spell_zygote(view: dict[str, Any]) -> str:
    return f"; {spell_size(view['zygote_bytes'])} keep its libraries warm" if view["zygote_bytes"] else ""


def _show_revisions(view: dict[str, Any], now: float) -> None:
    documents = {one["number"]: one for one in view["endpoint"]["revisions"]}
    rows: list[tuple[str, ...]] = []
    for row in view["revisions"]:
        document, figures = documents[row["number"]], row["figures"]
        rows.append(
            (
                str(row["number"]),
                f"{row['weight']:g} %" if row["weight"] else "",
                row["state"],
                f"{figures['rate']:.3g}/s",
                _ms(figures["p95_ms"]),
                f"{figures['errors']:.1%}",
                spell_age(document["created_at"], now),
                document["spec"]["source"] + (f": {row['why']}" if row["why"] and row["state"] in ("failed", "went back") else ""),
            )
        )
    sys.stdout.write("\n")
    colours = [{2: _COLOURS.get(row["state"], "dim")} for row in view["revisions"]]
    print_table(("REVISION", "TRAFFIC", "STATE", "RATE", "P95", "ERRORS", "MADE", "SOURCE"), rows, right=(1, 3, 4, 5), colours=colours)


def _show_running(view: dict[str, Any], now: float) -> None:
    if not view["running"]:
        return
    sys.stdout.write("\n")
    rows = [
        (
            one["id"],
            one["state"],
            spell_age(one["since"], now),
            f"{one['cold_start_s']:.2f}s" if one["cold_start_s"] else "",
            spell_size(one["memory_bytes"]) if one["memory_bytes"] else "",
            one["reason"] or one["where"],
        )
        for one in view["running"]
    ]
    colours = [{1: _COLOURS.get(one["state"], "dim")} for one in view["running"]]
    print_table(("REPLICA", "STATE", "SINCE", "START", "MEMORY", "WHERE"), rows, right=(3, 4), colours=colours)


def _delete(served: Served, view: dict[str, Any], yes: bool) -> int:
    name = view["endpoint"]["name"]
    if not yes and view["figures"]["requests"]:
        say(paint(f"{name} had {view['figures']['requests']} requests in the last minute", "yellow", sys.stderr))
        if not sys.stdin.isatty():
            raise ConfigError("this needs a confirmation, and there is no terminal to ask on", hint="add --yes")
        if not click.confirm("Delete it all the same?", err=True):
            raise click.Abort
    served.api.send("DELETE", served.path(name))
    say(f"{name} is deleted; what it had in hand is answered")
    return 0


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g} ms"
