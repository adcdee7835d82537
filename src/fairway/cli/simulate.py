"""`fairway simulate`: what a setting of the autoscaler would have done with a recorded load."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import click

from fairway.cli.deploy import parse_floor, parse_target
from fairway.cli.serving import parse_seconds
from fairway.errors import ConfigError
from fairway.serve.control.simulate import Setting
from fairway.spec.endpoint import Floor, Scaling

_SCALING = {
    "min": ("minimum", int), "max": ("maximum", int), "window": ("window_s", None), "idle": ("idle_s", None),
    "grow-step": ("grow_step", int), "shrink-step": ("shrink_step", int), "shrink-delay": ("shrink_delay_s", None),
}  # fmt: skip
_SERVING = {
    "service": ("service_s", None), "start": ("start_s", None), "slots": ("slots", int), "batch": ("batch", int),
    "batch-cost": ("batch_cost", float), "queue": ("queue", int), "deadline": ("deadline_s", None), "price": ("price", float),
}  # fmt: skip


@click.command("simulate")
@click.argument("recording", metavar="RECORDING")
@click.option("--set", "settings", multiple=True, metavar="K=V,…", help="What to try; again to compare.")
@click.option("--sampled", type=float, default=1.0, metavar="SHARE", help="The share of requests that it holds.")
@click.option("--on", default="", metavar="TARGET", help="Where the traffic is kept.")
@click.option("--to", metavar="PATH.svg", type=click.Path(dir_okay=False), help="Write a picture too.")
@click.option("-o", "--output", "form", type=click.Choice(["text", "json"]), default="text", help="The format.")
@click.pass_obj
def command(folder: str, recording: str, settings: tuple[str, ...], sampled: float, on: str, to: str | None, form: str) -> None:
    """Replay a load through the autoscaler, serving nothing: replicas, latencies, refusals and cost of each setting.

    RECORDING is a CSV or JSON file of times (`time` or `time,seconds`), or the name of an endpoint whose traffic was captured. Keys of
    --set: min, max, target, window, idle, grow-step, shrink-step, shrink-delay, floor as in `fairway deploy`; of replicas service (a
    request's time), start, slots, batch, batch-cost, queue, deadline, price (an hour).

    \b
    Examples:
      fairway simulate load.csv --set max=8,target=4
      fairway simulate load.csv --set min=1,max=8 --set min=0,max=8 --to load.svg
      fairway simulate risk --sampled 0.1 --set max=8,service=20ms,price=0.40
    """
    from fairway.serve.control.simulate import describe, simulate, unfold
    from fairway.serve.control.simulationplot import render_svg, render_text

    found = unfold(_read(folder, recording, sampled, on))
    tried = [_parse(text) for text in settings or ("min=1,max=8",)]
    outcomes = [simulate(found, one) for one in tried]
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
    floors: list[Floor] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = (word.strip() for word in part.partition("="))
        where, known = (scaling, _SCALING) if key in _SCALING else (serving, _SERVING)
        if key == "target" and value:
            scaling["on"], scaling["target"] = parse_target(value)
        elif key == "floor" and value:
            floors.append(parse_floor(value))
        elif not equals or key not in known:
            hint = f"write KEY=VALUE with {', '.join([*_SCALING, 'target', 'floor', *_SERVING])}"
            raise ConfigError(f"there is no setting {part!r}", hint=hint)
        else:
            name, kind = known[key]
            where[name] = _read_value(key, value, kind)
    scaling.setdefault("maximum", max(1, scaling.get("minimum", 1)))
    return Setting(text.strip(), Scaling(floors=tuple(floors), **scaling), **serving)


def _read_value(key: str, text: str, kind: Any) -> Any:
    """A number, or seconds of "20ms" or "0.02" where `kind` is None."""
    try:
        return (kind or float)(text)
    except ValueError as error:
        if kind is None:
            return parse_seconds(text, f"--set {key}")
        raise ConfigError(f"{key} is a number, not {text!r}", hint=f"as in {key}=4") from error
