"""`fairway rollout`: bring a new revision to its callers, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from fairway.cli.arguments import on_option, output_option
from fairway.cli.deploy import make_spec
from fairway.cli.listing import print_json
from fairway.cli.serving import endpoint_argument, open_served, parse_seconds, say, wait_ready
from fairway.errors import ConfigError
from fairway.spec.record import to_plain

_WAIT_S = 600.0
_NOTHING: dict[str, Any] = {
    "more": (), "trust": False, "method": "", "batch": None, "schema": "", "env": (), "workers": None, "cpu": 0.0, "memory": "", "gpu": 0,
    "limits": (), "image": "",
}  # fmt: skip


@click.command("rollout")
@endpoint_argument
@click.argument("source", default="", metavar="[SOURCE]")
@click.option("--steps", default="", metavar="5,25,100", help="Percent of the traffic, one after another.")
@click.option("--step", "step_time", default="", metavar="TIME", help="How long each step takes. [60s]")
@click.option("--max-error-rate", type=click.FloatRange(0, 1), metavar="X", help="Back above this share of 5xx. [0.02]")
@click.option("--max-latency", default="", metavar="TIME", help="Back if its p95 is above this.")
@click.option("--max-slowdown", type=click.FloatRange(0), metavar="X", help="Back if its p95 is X times that of the others.")
@click.option("--least", type=click.IntRange(0), metavar="N", help="Requests of a step that it is judged by. [20]")
@click.option("--metric", "metrics", multiple=True, metavar="NAME>=X", help="Back if this quality falls below X (<=X: exceeds it).")
@click.option("--blue-green", is_flag=True, help="All traffic at once, when it is ready and answers.")
@click.option("--all", "everything", is_flag=True, help="All traffic to what is rolled out now.")
@click.option("--pause/--go-on", "paused", default=None, help="Stay at this step; go on.")
@click.option("--schema", metavar="FILE", type=click.Path(exists=True, dir_okay=False), help="Of SOURCE, instead of its own.")
@output_option
@on_option
@click.pass_obj
def command(folder: str, name: str, source: str, output: str | None, **given: Any) -> int:
    """Roll SOURCE (or a revision's number) out at the endpoint NAME; back by itself.

    \b
    Examples:
      fairway rollout risk winner --steps 5,25,100 --step 60s
      fairway rollout risk winner --blue-green
      fairway rollout risk --all
    """
    served = open_served(folder)
    view = served.get(name)
    if not source and not given["everything"] and given["paused"] is None:
        raise ConfigError("what is to be rolled out?", hint=f"fairway rollout {name} SOURCE; or --all, --pause, --go-on for the one now")
    if given["schema"] and (not source or source.isdigit()):
        raise ConfigError("--schema goes with a model that is to be rolled out", hint="a revision keeps its own; name the model's source")
    number = 0
    if source:
        number = int(source) if source.isdigit() else _add(served, name, source, given["schema"])
    if given["paused"] is not None:
        body: dict[str, Any] = {"action": "pause" if given["paused"] else "go-on"}
    elif given["everything"] or given["blue_green"]:
        number = number or (view["endpoint"]["rollout"] or {}).get("revision", 0)
        if not number:
            raise ConfigError(f"nothing is rolled out at {name!r} now", hint=f"name a revision: fairway rollout {name} 3 --all")
        body = {"action": "promote", "revision": number}
    else:
        body = {"action": "start", "revision": number, **_judging(given)}
    document = served.api.send("POST", served.path(name, "/rollout"), body)
    if number:
        wait_ready(served, name, number, _WAIT_S, say)
    if output == "json":
        print_json(document)
        return 0
    traffic = ", ".join(f"revision {one}: {weight:g} %" for one, weight in document["traffic"])
    say(f"{name}: {traffic}")
    if body["action"] == "start":
        say(f"watch it: {served.words} endpoints {name}; take it back: {served.words} rollback {name}")
    return 0


def _add(served: Any, name: str, source: str, schema: str | None) -> int:
    """A new revision without traffic; its number. What the newest revision is told besides its model stays."""
    endpoint = served.get(name)["endpoint"]
    newest = endpoint["revisions"][-1]["spec"] if endpoint["revisions"] else {}
    spec = to_plain(make_spec(served, source, {**_NOTHING, "schema": schema}))
    for field in ("resources", "limits", "image"):
        if newest.get(field):
            spec[field] = newest[field]
    spec["options"] = {**newest.get("options", {}), **spec.get("options", {})}
    body = {"name": name, "spec": spec, "project": endpoint["project"], "moves": False, "only": "known"}
    return served.api.send("POST", "/endpoints", body)["revision"]


def _judging(given: dict[str, Any]) -> dict[str, Any]:
    """Steps and bounds, as far as they are said."""
    out: dict[str, Any] = {}
    if given["steps"]:
        try:
            out["steps"] = [float(step.strip().removesuffix("%")) for step in given["steps"].split(",")]
        except ValueError:
            raise ConfigError(f"--steps {given['steps']}: expected percents", hint="such as --steps 5,25,100") from None
    if given["step_time"]:
        out["step_s"] = parse_seconds(given["step_time"], "--step")
    if given["max_latency"]:
        out["max_latency_ms"] = 1000.0 * parse_seconds(given["max_latency"], "--max-latency")
    out |= {name: given[name] for name in ("max_error_rate", "max_slowdown", "least") if given[name] is not None}
    return out | read_bounds(given["metrics"])


def read_bounds(given: Sequence[str]) -> dict[str, Any]:
    """Metric and bounds of NAME>=X and NAME<=X; both of one NAME make a range. Raises ConfigError."""
    out: dict[str, Any] = {}
    for text in given:
        mark, bound = (">=", "min_metric") if ">=" in text else ("<=", "max_metric")
        name, found, value = text.partition(mark)
        metric = name.strip()
        try:
            out[bound] = float(value)
        except ValueError:
            found = ""
        if not found or not metric:
            raise ConfigError(f"--metric {text}: expected NAME>=X or NAME<=X", hint="in quotes, such as --metric 'accuracy>=0.9'")
        if out.setdefault("metric", metric) != metric:
            raise ConfigError(f"a rollout is judged by one metric, not by {out['metric']} and {metric}", hint="choose one")
    return out
