"""`fairway data watch`: a stream held to a schema and a baseline, with alarms."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fairway.cli.datahead import parse_settings
from fairway.errors import ConfigError

if TYPE_CHECKING:
    from fairway.cli.watchview import View
    from fairway.data.notify import Notifier
    from fairway.data.streams import Stream
    from fairway.data.watch import Watch
    from fairway.data.watchfile import WatchFile

_WATCHES_FOLDER = Path(".fairway/watches")
_ALARMS_FOLDER = Path(".fairway/alarms")
_LAST_WORDS_S = 10.0


@click.command("watch")
@click.argument("uri")
@click.option("--schema", "schema_file", default="", metavar="FILE", help="The schema that rows are held to.")
@click.option(
    "--baseline",
    "baseline_file",
    default="",
    metavar="FILE",
    help="Of `fairway data drift --save-baseline`; else the one that the schema names.",
)
@click.option("--environment", default="serving", metavar="NAME", show_default=True, help="Where the rows are: which columns are there.")
@click.option("--window", default="2000 rows or 30s", show_default=True, help="When rows are judged: after so many, or so long.")
@click.option("--time", "time_column", default="", metavar="COLUMN", help="Windows by the time in this column, not by arrival.")
@click.option("--lateness", default="", metavar="TIME", help="With --time: how late a row may come to its window.")
@click.option("--silence", default="", metavar="TIME", help="After how long without a row to raise an alarm; the schema's largest gap.")
@click.option("--format", "form", type=click.Choice(["ndjson", "csv"]), default="ndjson", show_default=True, help="What a record is.")
@click.option("--columns", default="", metavar="A,B", help="The columns of CSV without a header.")
@click.option("--group", default="", metavar="NAME", help="Go on where this name's last watch ended; without one, nothing is kept.")
@click.option("--start", type=click.Choice(["new", "oldest"]), default=None, help="Where to begin; oldest with --once, else new.")
@click.option("--once", is_flag=True, help="End at what is the end now. Exit status 1 if anything was wrong.")
@click.option("--wait", is_flag=True, help="Wait for a file that is not there yet.")
@click.option("--clear-after", type=click.IntRange(min=1), default=3, show_default=True, help="Windows without it that end an alarm.")
@click.option("--notify", multiple=True, metavar="URL", help="Where alarms go: https://…, slack+https://…, smtp://…, command:PROGRAM.")
@click.option("--name", default="", help="What the alarms are about; the stream's address if left out.")
@click.option("--rejects", default="", metavar="FILE", help="Keep every record that cannot be read, as lines of JSON.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="An option of the stream, such as headers or config.")
@click.option("-o", "--output", type=click.Choice(["json"]), help="A line of JSON for each window and alarm on stdout.")
@click.pass_context
def command(ctx: click.Context, uri: str, schema_file: str, baseline_file: str, output: str | None, **more: Any) -> None:
    """Watch a stream: hold each window to a schema and a baseline, raise and clear alarms.

    URI: - (standard input), a file that grows, http(s)://… (NDJSON or
    server-sent events), kafka://host:9092/topic, redis://host:6379/0?stream=NAME.
    ${NAME} in a URL is replaced from the environment.

    Ctrl-C ends cleanly. Exit status 0: nothing is wrong at the end; 1: something is; 2: misuse.

    \b
    Examples:
      tail -F app.log | fairway data watch - --schema schema.json
      fairway data watch readings.ndjson --schema schema.json --notify '${SLACK_URL}'
      fairway data watch 'kafka://broker:9092/orders' --baseline baseline.json --group watch
      fairway data watch readings.ndjson --schema schema.json --once
    """
    from fairway.cli.watchview import make_view
    from fairway.data.streams.transport import without_secrets

    watch, kinds = _make_watch(schema_file, baseline_file, more)
    stream = _open(uri, watch, kinds, more)
    name = more["name"] or without_secrets(uri)
    notifier = _make_notifier(more["notify"], name, uri)
    view = make_view(name, watch, stream, notifier, output)
    if notifier is not None:
        notifier.told = view.note
        notifier.open()
    try:
        with _stopped_by_signals(stream), view:
            wrong = _follow(stream, watch, notifier, view, _make_file(watch, view, more["group"], uri))
    finally:
        if notifier is not None:
            left = notifier.close(_LAST_WORDS_S)
            if left:
                told = "1 alarm was" if left == 1 else f"{left} alarms were"
                click.echo(f"{told} not delivered; the next watch of this stream sends what is left", err=True)
    ctx.exit(1 if watch.active or (more["once"] and wrong) else 0)


def _follow(stream: Stream, watch: Watch, notifier: Notifier | None, view: View, kept: WatchFile | None) -> bool:
    """Every window; whether any alarm of severity "error" was raised. A window's alarms are in the journal before the watch's state is
    kept, and that before the window is committed."""
    wrong = False
    rejected = 0
    for window in stream:
        if kept is not None and stream.keeps_numbers and kept.is_done(window):
            rejected = stream.rejects.count
            window.commit()
            continue
        began = time.perf_counter()
        alarms = watch.add(window, stream.rejects.count - rejected)
        rejected = stream.rejects.count
        wrong = wrong or any(one.state == "raised" and one.severity == "error" for one in alarms)
        if notifier is not None and alarms:
            notifier.send(alarms)
        if kept is not None:
            kept.save(window)
        view.show(window, alarms, time.perf_counter() - began)
        window.commit()
    return wrong


def _make_file(watch: Watch, view: View, group: str, uri: str) -> WatchFile | None:
    """Where a group's watch is kept; None without a group, or where the stream cannot be met again."""
    if not group or uri == "-":
        return None
    from fairway.data.streams.transport import without_secrets
    from fairway.data.watchfile import WatchFile

    name = without_secrets(uri) if "://" in uri else str(Path(uri).absolute())
    made = WatchFile(_WATCHES_FOLDER, group, name, watch)
    note = made.load()
    if note:
        view.note(note)
    return made


def _make_watch(schema_file: str, baseline_file: str, more: dict[str, Any]) -> tuple[Watch, dict[str, Any]]:
    if not schema_file and not baseline_file:
        raise ConfigError("there is nothing to hold the stream to", hint="add --schema schema.json, --baseline baseline.json, or both")
    from fairway.data.drift import Monitor, load_baseline
    from fairway.data.schema.files import load_schema_file
    from fairway.data.streams.windows import parse_seconds
    from fairway.data.watch import Watch, kinds_of

    schema = load_schema_file(schema_file).for_environment(more["environment"]) if schema_file else None
    if schema is not None and schema.baseline and not baseline_file:
        baseline_file = _beside(schema_file, schema.baseline)
    monitor = Monitor(load_baseline(baseline_file), schema) if baseline_file else None
    silence_s = parse_seconds(more["silence"]) if more["silence"] else None
    return Watch(schema, monitor, clear_after=more["clear_after"], silence_s=silence_s), kinds_of(schema)


def _beside(schema_file: str, name: str) -> str:
    """The baseline that a schema names, in the schema's folder."""
    path = Path(schema_file).parent / name
    if not path.is_file():
        hint = "put it beside the schema, name another with --baseline FILE, or take `baseline` out of the schema"
        raise ConfigError(f"the schema names a baseline that is not there: {path}", where=schema_file, hint=hint)
    return str(path)


def _open(uri: str, watch: Watch, kinds: dict[str, Any], more: dict[str, Any]) -> Stream:
    from fairway.data.streams import follow

    options: dict[str, Any] = parse_settings(more["settings"])
    options |= {"once": True} if more["once"] else {}
    options |= {"wait": True} if more["wait"] else {}
    options |= {name: more[name] for name in ("lateness", "rejects") if more[name]}
    options |= {"time": more["time_column"]} if more["time_column"] else {}
    options |= {"columns": more["columns"].split(",")} if more["columns"] else {}
    if watch.silence_s is not None and not more["once"]:
        options.setdefault("idle", watch.silence_s)
    start = more["start"] or ("oldest" if more["once"] else "new")
    return follow(uri, window=more["window"], group=more["group"], start=start, format=more["form"], fields=kinds, **options)


def _make_notifier(urls: Sequence[str], name: str, uri: str) -> Notifier | None:
    if not urls:
        return None
    from hashlib import sha256

    from fairway.data.notify import Notifier
    from fairway.data.notify.targets import parse_targets

    journal = _ALARMS_FOLDER / f"{sha256(uri.encode()).hexdigest()[:16]}.ndjson"
    return Notifier(parse_targets(urls), source=name, journal=journal)


@contextmanager
def _stopped_by_signals(stream: Stream) -> Generator[None]:
    """The first Ctrl-C or SIGTERM ends the stream after the windows that are there; the second ends it at once."""

    def stop(number: int, frame: Any) -> None:
        stream.stop()
        for one in (signal.SIGINT, signal.SIGTERM):
            signal.signal(one, before[one])

    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    for one in before:
        signal.signal(one, stop)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
        sys.stdout.flush()
