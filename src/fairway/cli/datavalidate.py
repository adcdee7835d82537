"""`fairway data validate`: is some data as its schema says?"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from fairway.cli.datahead import parse_settings
from fairway.cli.style import clip, find_width, is_terminal, paint, spell_count, spell_duration

if TYPE_CHECKING:
    from fairway.data.anomalies.model import Anomaly, Validation
    from fairway.data.schema.model import TableSchema

FORMATS = ("terminal", "json", "junit", "html", "github")
_MOST_NOTES = 8


@click.command("validate")
@click.argument("uri", nargs=-1, required=True)
@click.option("--schema", "schema_path", required=True, metavar="FILE", help="The schema: schema.json, or HEAD:schema.json of git.")
@click.option("--environment", default="", metavar="NAME", help="Where the data is used: training, serving. Which columns must be there.")
@click.option("--against", default="", metavar="URI", help="A table without a row of this one, as train of test; also for drift.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="terminal", show_default=True, help="How to tell what was found.")
@click.option("--out", default="", metavar="FILE", help="Write it there; the terminal says the rest.")
@click.option("--max-rejects", default="0", metavar="LIMIT", help="How many rows may be unreadable: 20, 1%, all.")
@click.option("--warnings-fail", is_flag=True, help="Warnings count as errors.")
@click.option("--read-as", default="", metavar="FORMAT", help="What the data is, if its name and bytes do not say: csv, ndjson …")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="An option of the source, as in `fairway data head`.")
@click.pass_context
def command(ctx: click.Context, uri: tuple[str, ...], schema_path: str, form: str, out: str, **more: Any) -> None:
    """Hold URI to a schema: every anomaly with column, count, examples, and the edit that would accept it.

    Exit status 0: it keeps to the schema; 1: it does not; 2: it could not be looked at.

    \b
    Examples:
      fairway data validate new.csv --schema schema.json
      fairway data validate test.csv --schema schema.json --against train.csv
      fairway data validate 'day=*/*.parquet' --schema schema.json --format junit --out report.xml
      fairway data validate new.csv --schema schema.json --format github
    """
    from fairway.data.anomalies.validating import Inspection
    from fairway.data.schema.files import load_schema_file
    from fairway.data.sources.rejects import RejectLimit
    from fairway.data.table import read
    from fairway.data.wholefiles import write_whole

    schema = load_schema_file(schema_path)
    limit = RejectLimit.parse(more["max_rejects"])
    options = {**parse_settings(more["settings"]), "max_rejects": "all"}
    table = read(uri[0] if len(uri) == 1 else list(uri), format=more["read_as"], **options)
    other = read(more["against"], max_rejects="all") if more["against"] else None
    progress = _Progress()
    look = Inspection(schema, more["environment"], other=other, progress=progress.tell, max_rejects=limit)
    try:
        validation = look.run(table)
    finally:
        progress.end()
    text = _written(validation, schema, form)
    if out:
        write_whole(out, text)
    if not out or form != "terminal":
        sys.stdout.write(render_terminal(validation) if out else text)
    ctx.exit(1 if validation.errors or (more["warnings_fail"] and validation.warnings) else 0)


def _written(validation: Validation, schema: TableSchema, form: str) -> str:
    if form == "json":
        return validation.to_json() + "\n"
    if form == "html":
        return validation.html()
    if form == "terminal":
        return render_terminal(validation)
    from fairway.data.anomalies.formats import as_github, as_junit

    return as_junit(validation, tuple(schema.columns)) if form == "junit" else as_github(validation)


def render_terminal(validation: Validation) -> str:
    """What is wrong first, in plain words; what is right in one line."""
    size = f"{spell_count(validation.rows, 'row')} × {spell_count(validation.columns, 'column')}, {spell_duration(validation.seconds)}"
    name, schema = validation.uri or "the data", validation.schema_where
    where = f" ({validation.environment})" if validation.environment else ""
    if not validation.anomalies:
        head = f"{paint('✓', 'green', sys.stdout)} {name} keeps to {schema}{where}  {paint(size, 'dim', sys.stdout)}"
        return "\n".join([head, *_notes(validation)]) + "\n"
    mark = paint("✗", "red", sys.stdout) if validation.errors else paint("!", "yellow", sys.stdout)
    said = "does not keep to" if validation.errors else "keeps to"
    counts = [spell_count(len(found), word) for found, word in ((validation.errors, "error"), (validation.warnings, "warning")) if found]
    lines = [f"{mark} {name} {said} {schema}{where}: {', '.join(counts)}  {paint(size, 'dim', sys.stdout)}", ""]
    names = max(min(len(one.column or "(table)"), 30) for one in validation.anomalies)
    for one in validation.anomalies:
        lines += _anomaly(one, names)
    bad = {one.column for one in validation.anomalies if one.column}
    right = validation.columns - len(bad)
    lines += [
        *([] if lines[-1] == "" else [""]),
        paint(f"{spell_count(max(right, 0), 'other column')} as the schema says.", "dim", sys.stdout),
        *_notes(validation),
    ]
    return "\n".join(lines) + "\n"


def _anomaly(one: Anomaly, names: int) -> list[str]:
    from fairway.data.anomalies.formats import shown_examples

    colour = "red" if one.severity == "error" else "yellow"
    mark = paint("✗" if one.severity == "error" else "!", colour, sys.stdout)
    name = clip(one.column or "(table)", 30).ljust(names)
    indent = " " * (names + 6)
    room = max(find_width(sys.stdout) - names - 6, 40) if find_width(sys.stdout) else 100_000
    first, *rest = _wrapped(one.message.replace("`", ""), room)
    lines = [f"  {mark} {paint(name, 'bold', sys.stdout)}  {first}", *(indent + line for line in rest)]
    shown = [("e.g. " + shown_examples(one, 3), True)] if one.examples else []
    shown += [(_accepting(one), False)] if one.edit else []
    return [*lines, *(indent + paint(clip(text, room), "dim", sys.stdout) for text, _ in shown), *([""] if shown else [])]


def _accepting(one: Anomaly) -> str:
    import json

    def said(operation: dict[str, Any]) -> str:
        if operation["op"] == "remove":
            return f"remove {operation['path']}"
        return f"{operation['path']} = {clip(json.dumps(operation['value'], ensure_ascii=False), 60)}"

    return f"{one.kind}; to accept it: " + ", ".join(said(operation) for operation in one.edit or [])


def _wrapped(text: str, room: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]


def _notes(validation: Validation) -> list[str]:
    return [paint(f"note: {note}", "dim", sys.stdout) for note in validation.notes[:_MOST_NOTES]]


class _Progress:
    """Rows so far on a terminal, once it takes longer than a second."""

    def __init__(self) -> None:
        import time

        self._began = self._told = time.monotonic()
        self._is_shown = False

    def tell(self, rows: int) -> None:
        import time

        now = time.monotonic()
        if now - self._began < 1 or now - self._told < 0.2 or not is_terminal(sys.stderr):
            return
        self._told, self._is_shown = now, True
        sys.stderr.write(f"\r{rows:,} rows looked at")
        sys.stderr.flush()

    def end(self) -> None:
        if self._is_shown:
            sys.stderr.write("\r\033[K")
