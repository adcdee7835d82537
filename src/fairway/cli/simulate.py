"""`fairway simulate`: what a setting of the autoscaler would have done with a recorded load."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import click

from fairway.errors import ConfigError
from fairway.serve.control.simulate import Setting
from fairway.spec.endpoint import Floor, Scaling
from fairway.spec.record import replace

_SCALING = {
    "min": ("minimum", int), "max": ("maximum", int), "target": ("target", float), "on": ("on", str), "window": ("window_s", float),
    "idle": ("idle_s", float), "grow-step": ("grow_step", int), "shrink-step": ("shrink_step", int),
    "shrink-delay": ("shrink_delay_s", float),
}  # fmt: skip
_SERVING = {
    "service": ("service_s", float), "start": ("start_s", float), "slots": ("slots", int), "batch": ("batch", int),
    "batch-cost": ("batch_cost", float), "queue": ("queue", int), "deadline": ("deadline_s", float), "price": ("price", float),
}  # fmt: skip


@click.command("simulate")
@click.argument("recording", metavar="RECORDING")
@click.option("--set", "settings", multiple=True, metavar="K=V,…", help="One setting to try; again for each that is compared.")
@click.option("--floor", "floors", multiple=True, metavar="N@TIMES", help='At least N then: "3@08:00-18:00 mon-fri Europe/Berlin".')
@click.option("--sampled", type=float, default=1.0, metavar="SHARE", help="The recording holds this share of all requests.")
@click.option("--on", default="", metavar="TARGET", help="Where the traffic of an endpoint is kept.")
@click.option("--to", metavar="PATH.svg", type=click.Path(dir_okay=False), help="Write a picture too.")
@click.option("-o", "--output", "form", type=click.Choice(["text", "json"]), default="text", help="The format.")
@click.pass_obj
def command(
    folder: str, recording: str, settings: tuple[str, ...], floors: tuple[str, ...], sampled: float, on: str, to: str | None, form: str
) -> None:
    """Replay a load through the autoscaler, without serving anything: replicas, latencies, refusals and cost of each setting.

    RECORDING is a CSV or JSON file of times (`time` or `time,seconds`), or the name of an endpoint whose traffic was captured.

    Keys of --set: min, max, target, on (concurrency, latency), window, idle, grow-step, shrink-step, shrink-delay; and of the replicas
    service (seconds of a request), start (seconds until one answers), slots, batch, batch-cost, queue, deadline, price (an hour).

    \b
    Examples:
      fairway simulate load.csv --set max=8,target=4
      fairway simulate load.csv --set min=1,max=8 --set min=0,max=8,start=0.5 --to load.svg
      fairway simulate risk --sampled 0.1 --set max=8,price=0.40
    """
    from fairway.serve.control.simulate import describe, simulate, unfold
    from fairway.serve.control.simulationplot import render_svg, render_text

    found = unfold(_read(folder, recording, sampled, on))
    tried = [_parse(text) for text in settings or ("min=1,max=8",)]
    schedule = tuple(parse_floor(text) for text in floors)
    outcomes = [simulate(found, replace(one, scaling=replace(one.scaling, floors=schedule))) for one in tried]
    if to:
        Path(folder or ".", to).write_text(render_svg(outcomes, f"{recording}: what the autoscaler would do"), encoding="utf-8")
    if form == "json":
        click.echo(json.dumps([describe(outcome) for outcome in outcomes], indent=2))
        return
    click.echo(render_text(outcomes, width=min(120, shutil.get_terminal_size((80, 24)).columns) - 2), nl=False)
    if to:
        click.echo(f"\nwrote {to}", err=True)


def _read(folder: str, recording: str, sampled: float, on: str) -> Any:
    from fairway.serve.control.recording import read_recording

    path = Path(folder or ".", recording)
    if path.exists() or path.suffix:
        return read_recording(str(path), sampled=sampled)
    from fairway.serve.feedback.dataset import traffic

    return read_recording(str(traffic(recording, on=on)), sampled=sampled)


def _parse(text: str) -> Setting:
    """A setting from "min=0,max=8,price=0.4"; its text is its name. Raises ConfigError naming the key."""
    scaling: dict[str, Any] = {}
    serving: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = part.partition("=")
        key = key.strip().lower().replace("_", "-")
        where, known = (scaling, _SCALING) if key in _SCALING else (serving, _SERVING)
        if not equals or key not in known:
            raise ConfigError(f"there is no setting {part!r}", hint=f"write KEY=VALUE with {', '.join([*_SCALING, *_SERVING])}")
        name, kind = known[key]
        try:
            where[name] = kind(value.strip())
        except ValueError as error:
            raise ConfigError(f"{key} is a number, not {value.strip()!r}", hint=f"as in {key}=4") from error
    scaling.setdefault("maximum", max(1, scaling.get("minimum", 1)))
    return Setting(text.strip(), Scaling(**scaling), **serving)


def parse_floor(text: str) -> Floor:
    """A schedule from "3@08:00-18:00 mon-fri Europe/Berlin"; days and zone may be left out. Raises ConfigError."""
    count, at, rest = text.partition("@")
    words = rest.split()
    begins, dash, ends = words[0].partition("-") if words else ("", "", "")
    if not (at and dash and count.strip().isdigit()) or len(words) > 3:
        raise ConfigError(f"{text!r} is no schedule", hint='write it as "3@08:00-18:00 mon-fri Europe/Berlin"')
    days: tuple[str, ...] = ()
    zone = "UTC"
    for word in words[1:]:
        if word[:3].lower() in _DAYS and not word.isupper():
            days = _parse_days(word.lower())
        else:
            zone = word
    return Floor(int(count), begins, ends, days, zone)


_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _parse_days(text: str) -> tuple[str, ...]:
    """ "mon-fri" or "sat,sun"."""
    found: list[str] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if first not in _DAYS or (dash and last not in _DAYS):
            raise ConfigError(f"there is no day {part!r}", hint=f"days are {', '.join(_DAYS)}")
        begin, end = _DAYS.index(first), _DAYS.index(last or first)
        found += [_DAYS[(begin + n) % 7] for n in range((end - begin) % 7 + 1)]
    return tuple(dict.fromkeys(found))
