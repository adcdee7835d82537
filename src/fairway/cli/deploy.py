"""`fairway deploy`: serve a model under a name."""

from __future__ import annotations

import sys
from typing import Any

import click

from fairway.cli.arguments import on_option, output_option
from fairway.cli.listing import print_json
from fairway.cli.serving import Served, open_served, parse_pairs, parse_seconds, parse_value, read_limits, say, spell_curl, wait_ready
from fairway.cli.style import paint
from fairway.errors import ConfigError
from fairway.spec.endpoint import Capture, Floor, Scaling, ServeSpec
from fairway.spec.record import Record, from_plain, record, replace, to_plain

_WAIT_S = 600.0


@click.command("deploy")
@click.argument("source")
@click.option("--name", default="", metavar="NAME", help="The endpoint's name; a known one gets a new revision.")
@on_option
@click.option("--min", "minimum", type=int, metavar="N", help="Least replicas; 0: nothing runs while nobody asks.")
@click.option("--max", "maximum", type=int, metavar="N", help="Most replicas.")
@click.option("--target", metavar="N|TIME", help="Requests in flight for each, or a p95 such as 200ms.")
@click.option("--idle", metavar="TIME", help="With --min 0: until nothing runs.  [60s]")
@click.option("--open", "is_open", is_flag=True, default=None, help="Let everybody call; else callers need a key.")
@click.option("--method", default="", metavar="NAME", help="What to call: predict, predict_proba, …")
@click.option("--schema", metavar="FILE", type=click.Path(exists=True, dir_okay=False), help="Instead of the model's own.")
@click.option("--env", multiple=True, metavar="NAME=VALUE", help="A variable for the model's code.")
@click.option("--cpu", type=float, default=0.0, metavar="N", help="Cores of a replica; also --memory 4Gi, --gpu 1.")
@click.option("--memory", default="", metavar="SIZE", hidden=True, help="Memory of a replica, such as 4Gi.")
@click.option("--gpu", type=int, default=0, metavar="N", hidden=True, help="GPUs of a replica.")
@click.option("--limits", multiple=True, metavar="NAME=N", help="queue, deadline_s, concurrency, batch_rows, …")
@click.option("--scale", multiple=True, metavar="NAME=VALUE", hidden=True, help="window, grow-step, shrink-step, shrink-delay, floor.")
@click.option("--workers", type=click.IntRange(1, 256), metavar="N", hidden=True, help="Model processes of a replica.")
@click.option("--batch/--no-batch", default=None, hidden=True, help="Join rows of requests that wait.")
@click.option("--option", "more", multiple=True, metavar="NAME=VALUE", hidden=True, help="Of the model's loader: device=cuda, …")
@click.option("--trust", is_flag=True, hidden=True, help="Load pickled models and code inside model folders.")
@click.option("--image", default="", metavar="IMAGE", hidden=True, help="The container image of replicas on a cluster.")
@click.option(
    "--capture", type=click.FloatRange(0, 1), metavar="SHARE", hidden=True, help="Keep this share of requests and answers: 0 to 1."
)
@click.option("--drop", multiple=True, metavar="FIELD", hidden=True, help="A field that is never kept.")
@click.option("--hash", "hashed", multiple=True, metavar="FIELD", hidden=True, help="A field that is kept as a digest.")
@click.option("--notify", multiple=True, metavar="URL", hidden=True, help="Where alarms go: https://…, slack+https://…, smtp://…")
@click.option("--expose", multiple=True, metavar="NAME=VALUE", hidden=True, help="How a cluster shows it to others: host, with, …")
@click.option("--note", default="", metavar="TEXT", hidden=True, help="A note on the revision.")
@click.option("--no-wait", is_flag=True, hidden=True, help="Do not wait until it is ready.")
@output_option
@click.pass_obj
def command(folder: str, source: str, name: str, output: str | None, **given: Any) -> int:
    """Serve SOURCE under a name: a script, a model's folder or file, RUN/OUTPUT.

    \b
    Examples:
      fairway deploy winner --name risk --min 0 --max 8
      fairway deploy score.py --name risk --on campus --gpu 1
    """
    if not name:
        raise ConfigError("under which name?", hint=f"fairway deploy {source} --name NAME")
    served = open_served(folder)
    there = served.api.find(served.path(name))
    spec = make_spec(served, source, given)
    body = {
        "name": name,
        "spec": to_plain(spec),
        "project": served.project.name,
        "note": given["note"],
        "settings": _settings(given, there["endpoint"] if there else {}),
    }
    done = served.api.send("POST", "/endpoints", body)
    number = done["revision"]
    view = served.get(name) if given["no_wait"] else wait_ready(served, name, number, _WAIT_S, say)
    if output == "json":
        print_json({**done, "url": view["url"], "state": view["state"]})
        return 0
    _present(served, view, done)
    return 0


def _present(served: Served, view: dict[str, Any], done: dict[str, Any]) -> None:
    name = view["endpoint"]["name"]
    if view["url"]:
        sys.stdout.write(f"{view['url']}\n")
        sys.stdout.flush()
    row = next(one for one in view["revisions"] if one["number"] == done["revision"])
    state = {"ready": paint("ready", "green", sys.stderr), "idle": "there; the next request starts it"}.get(row["state"], row["state"])
    say(f"{name} is {state}: revision {done['revision']}")
    if done["key"]:
        say(f"its key, shown this once: {done['key']}")
    curl = spell_curl(view, done["key"])
    say(f"  {curl}" if curl else f"  try it: {served.words} test {name} --data FILE")


def make_spec(served: Served, source: str, given: dict[str, Any]) -> ServeSpec:
    """What a revision is to run; the package is put into the target's store. Raises FairwayError."""
    from fairway.serve.control.sources import pack_source

    options: dict[str, Any] = {key: parse_value(text) for key, text in parse_pairs(given["more"], "--option").items()}
    options |= {"trust": True} if given["trust"] else {}
    options |= {"method": given["method"]} if given["method"] else {}
    options |= {} if given["batch"] is None else {"batch": given["batch"]}
    packed = pack_source(source, served.workspace, schema=given["schema"] or None, options=options)
    env = parse_pairs(given["env"], "--env")
    if env:
        options["env"] = env
    if given["workers"]:
        options["workers"] = given["workers"]
    return replace(packed, options=options, resources=_resources(given), limits=read_limits(given["limits"]), image=given["image"])


def _resources(given: dict[str, Any]) -> dict[str, Any]:
    from fairway.errors import DefinitionError
    from fairway.spec.resources import parse_memory

    found: dict[str, Any] = {}
    if given["cpu"]:
        if given["cpu"] < 0:
            raise ConfigError(f"--cpu {given['cpu']:g} cannot be", hint="cores, such as 2 or 0.5")
        found["cpu"] = given["cpu"]
    if given["memory"]:
        try:
            found["memory_bytes"] = parse_memory(given["memory"])
        except DefinitionError as error:
            raise ConfigError(f"--memory: {error.message}", hint=error.hint) from None
    if given["gpu"]:
        found["accelerators"] = {"nvidia.com/gpu": given["gpu"]}
    return found


def _settings(given: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """What changes of the endpoint; what nobody speaks of stays."""
    out: dict[str, Any] = {}
    scaling = from_plain(Scaling, before.get("scaling", {}))
    changed = _scaling(given, scaling)
    if changed != scaling or not before:
        out["scaling"] = to_plain(changed)
    if given["capture"] is not None or given["drop"] or given["hashed"]:
        capture = from_plain(Capture, before.get("capture", {}))
        share = capture.share if given["capture"] is None else given["capture"]
        out["capture"] = to_plain(replace(capture, share=share, drop=given["drop"] or capture.drop, hash=given["hashed"] or capture.hash))
    if given["is_open"]:
        out["is_open"] = True
    if given["notify"]:
        out["notify"] = [url for url in given["notify"] if url]
    if given["expose"]:
        out["expose"] = {**before.get("expose", {}), **{k: parse_value(v) for k, v in parse_pairs(given["expose"], "--expose").items()}}
    return out


@record
class _Knob(Record):
    field: str
    kind: str


_KNOBS = {
    "window": _Knob("window_s", "time"),
    "grow-step": _Knob("grow_step", "count"),
    "shrink-step": _Knob("shrink_step", "count"),
    "shrink-delay": _Knob("shrink_delay_s", "time"),
}


def _scaling(given: dict[str, Any], scaling: Scaling) -> Scaling:
    found: dict[str, Any] = {}
    if given["minimum"] is not None:
        found["minimum"] = given["minimum"]
    if given["maximum"] is not None:
        found["maximum"] = given["maximum"]
    elif found.get("minimum", 0) > scaling.maximum:
        found["maximum"] = found["minimum"]
    if given["idle"]:
        found["idle_s"] = parse_seconds(given["idle"], "--idle")
    if given["target"]:
        found["on"], found["target"] = parse_target(given["target"])
    floors: list[Floor] = []
    for word in given["scale"]:
        ((name, value),) = parse_pairs((word,), "--scale").items()
        if name == "floor":
            floors += [parse_floor(value)] if value else []
            found["floors"] = tuple(floors)
            continue
        knob = _KNOBS.get(name)
        if knob is None:
            raise ConfigError(f"--scale knows nothing of {name!r}", hint=f"there is: {', '.join(_KNOBS)}, floor")
        if knob.kind == "time":
            found[knob.field] = 0.0 if value in ("0", "0s") else parse_seconds(value, f"--scale {name}")
        elif value.isdigit():
            found[knob.field] = int(value)
        else:
            raise ConfigError(f"--scale {name}={value}: expected a whole number")
    return replace(scaling, **found)


def parse_target(text: str) -> tuple[str, float]:
    """("concurrency", 8.0) of "8", ("latency", 200.0) of "200ms". Raises ConfigError."""
    try:
        return "concurrency", float(text)
    except ValueError:
        return "latency", 1000.0 * parse_seconds(text, "--target")


def parse_floor(text: str) -> Floor:
    """A floor of "2@08:00-18:00", "2@08:00-18:00/mon,tue" or "2@08:00-18:00/mon-fri/Europe/Berlin". Raises ConfigError."""
    count, mark, rest = text.partition("@")
    span, _, more = rest.partition("/")
    days, _, zone = more.partition("/")
    begins, dash, ends = span.partition("-")
    if not (mark and count.isdigit() and dash):
        raise ConfigError(f"--scale floor={text}: expected N@BEGIN-END/DAYS/ZONE", hint="such as floor=2@08:00-18:00/mon-fri/Europe/Berlin")
    return Floor(int(count), begins, ends, _days(days), zone or "UTC")


def _days(text: str) -> tuple[str, ...]:
    week = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    first, dash, last = text.partition("-")
    if dash and first in week and last in week:
        begin, end = week.index(first), week.index(last)
        return tuple(week[n % 7] for n in range(begin, end + 1 if end >= begin else end + 8))
    return tuple(day for day in text.split(",") if day)
