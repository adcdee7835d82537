"""`fairway data schema`: a schema found out, compared, frozen, shown, and widened by what a validation found."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fairway.cli.datahead import parse_settings
from fairway.cli.listing import print_json, print_table
from fairway.cli.meant import KnowingGroup
from fairway.cli.style import paint, spell_count
from fairway.errors import ConfigError, NotFoundError

if TYPE_CHECKING:
    from fairway.data.anomalies.model import Anomaly, Validation
    from fairway.data.schema.differences import Change
    from fairway.data.schema.model import CadenceRule, ColumnRule, TableSchema
    from fairway.data.statistics import TableStatistics

_CELL = 60
_COLOURS = {"narrower": "red", "wider": "green", "other": "yellow"}


@click.group("schema", cls=KnowingGroup)
def command() -> None:
    """Find out, compare, freeze, show and widen schemas: what rows are to be, in training and in serving.

    \b
    Examples:
      fairway data schema infer train.csv --out schema.json
      fairway data schema show schema.json
      fairway data schema diff HEAD:schema.json schema.json
      fairway data schema freeze schema.json
    """


@command.command("infer")
@click.argument("uri", nargs=-1, required=True)
@click.option("--out", metavar="FILE", help="Write the schema there.")
@click.option("--label", default="", metavar="COLUMN", help="What is to be predicted: it is in training only.")
@click.option("--time", "time_column", default="", metavar="COLUMN", help="The only column whose cadence matters. Default: all times.")
@click.option("--by", default="", metavar="COLUMNS", help="Columns of which each value is a series by itself: sensor, site …")
@click.option("--force", is_flag=True, help="Write over a schema that is there. Never over one that is frozen.")
@click.option("--read-as", default="", metavar="FORMAT", help="What the data is, if its name and bytes do not say: csv, ndjson …")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="An option of the source, as in `fairway data head`.")
def infer(
    uri: tuple[str, ...], out: str | None, label: str, time_column: str, by: str, force: bool, read_as: str, settings: tuple[str, ...]
) -> None:
    """Find out the schema of URI, or of a file that `fairway data stats --out` wrote.

    \b
    Examples:
      fairway data schema infer train.csv --out schema.json --label churned
      fairway data schema infer 'readings/*.parquet' --time at --by sensor --out schema.json
      fairway data schema infer stats.json
    """
    from fairway.data.schema.infer import infer_noted
    from fairway.data.schema.writing import render
    from fairway.data.wholefiles import write_whole

    if out:
        _refuse_to_overwrite(out, force)
    statistics = _statistics_in(uri[0]) if len(uri) == 1 else None
    if statistics is None:
        columns = [name.strip() for name in by.split(",") if name.strip()]
        statistics = _measured(uri, time_column, columns, {"format": read_as, **parse_settings(settings)})
    elif by or read_as or settings:
        raise ConfigError("--by, --read-as and --set say how data is measured; this file holds what was measured already")
    found = infer_noted(statistics, label=label, time=time_column)
    if out:
        write_whole(out, render(found.document))
        rows, columns_said = spell_count(statistics.rows, "row"), spell_count(len(statistics.columns), "column")
        click.echo(f"{out}: {columns_said} of {rows}. Look it through: `fairway data schema show {out}`")
    else:
        sys.stdout.write(render(found.document))
    for note in found.notes:
        click.echo(f"note: {note}", err=True)


def _refuse_to_overwrite(out: str, force: bool) -> None:
    if not Path(out).exists():
        return
    from fairway.data.schema.files import load_schema_file

    try:
        version = load_schema_file(out).version
    except ConfigError:
        version = 0
    hint = f"Infer into another file and compare: `fairway data schema diff {out} new.json`"
    if version:
        raise ConfigError(f"{out} is frozen, as version {version}", hint=f"{hint}; or remove the file.")
    if not force:
        raise ConfigError(f"{out} is there already, perhaps edited by somebody", hint=f"{hint}; or write over it with --force.")


def _statistics_in(path: str) -> TableStatistics | None:
    """Of a file that `fairway data stats --out` wrote; None for anything else."""
    from fairway.data.statistics import TableStatistics

    try:
        with open(path, "rb") as file:
            if b'"fairway-statistics"' not in file.read(200):
                return None
            file.seek(0)
            return TableStatistics.from_json(file.read(), where=path)
    except OSError:
        return None


def _measured(uri: tuple[str, ...], time_column: str, by: list[str], options: dict[str, Any]) -> TableStatistics:
    from fairway.data.statistics import measure
    from fairway.data.table import read

    table = read(uri[0] if len(uri) == 1 else list(uri), **options)
    made = measure(table, time=time_column if by else "", by=by)
    for note in table.notes:
        click.echo(f"note: {note}", err=True)
    return made


@command.command("diff")
@click.argument("old")
@click.argument("new")
@click.option("--exit-code", is_flag=True, help="Exit with 1 if they differ.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="How to print it.")
@click.pass_context
def diff(ctx: click.Context, old: str, new: str, exit_code: bool, output: str) -> None:
    """Show what NEW says that OLD does not, and whether it lets in more or less. Each is a file, or REVISION:FILE of git.

    \b
    Examples:
      fairway data schema diff HEAD:schema.json schema.json
      fairway data schema diff schema.json new.json --exit-code
    """
    from fairway.data.schema.differences import difference
    from fairway.data.schema.files import read_document

    changes = difference(read_document(old), read_document(new))
    if output == "json":
        print_json([{"path": one.path, "kind": one.kind, "column": one.column, "text": one.text} for one in changes])
    else:
        sys.stdout.write(_spelt(changes, old, new))
    ctx.exit(1 if changes and exit_code else 0)


def _spelt(changes: list[Change], old: str, new: str) -> str:
    if not changes:
        return f"{old} and {new} say the same.\n"
    width = max(len(one.kind) for one in changes)
    lines, last = list[str](), None
    for one in sorted(changes, key=lambda one: bool(one.column)):
        if one.column != last:
            lines.append(("" if last is None else "\n") + paint(one.column or "rows", "bold", sys.stdout))
            last = one.column
        lines.append(f"  {paint(one.kind.ljust(width), _COLOURS[one.kind], sys.stdout)}  {one.text}")
    return "\n".join(lines) + "\n"


@command.command("freeze")
@click.argument("path", default="schema.json")
@click.option("--statistics", "statistics_path", default="", metavar="FILE", help="What it was inferred from: its digest is kept.")
def freeze(path: str, statistics_path: str) -> None:
    """Give the schema in PATH a version: `infer` never writes over it, and `validate` says which version it held the data to.

    \b
    Examples:
      fairway data schema freeze schema.json
      fairway data schema freeze schema.json --statistics stats.json
    """
    from fairway.data.schema.files import load_schema_file
    from fairway.data.schema.freezing import frozen

    schema = load_schema_file(path)
    if schema.version and not schema.is_changed:
        click.echo(f"{path} is frozen already, as version {schema.version}; nothing changed since.")
        return
    statistics = None
    if statistics_path:
        statistics = _statistics_in(statistics_path)
        if statistics is None:
            raise ConfigError(f"{statistics_path} holds no statistics", hint="`fairway data stats DATA --out stats.json` writes some.")
    text = Path(path).read_text(encoding="utf-8-sig")
    _refuse_short(schema, text)
    from fairway.data.wholefiles import write_whole

    write_whole(path, frozen(text, schema, statistics.digest if statistics is not None else ""))
    click.echo(f"{path} is version {schema.version + 1} now.")


@command.command("show")
@click.argument("path", default="schema.json")
@click.option("--environment", default="", metavar="NAME", help="As it is there: training, serving.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="How to print it.")
def show(path: str, environment: str, output: str) -> None:
    """Show what the schema in PATH says, as a table.

    \b
    Examples:
      fairway data schema show schema.json
      fairway data schema show schema.json --environment serving
    """
    from fairway.data.schema.files import load_schema_file

    schema = load_schema_file(path)
    schema = schema.for_environment(environment) if environment else schema
    if output == "json":
        print_json(
            {"columns": {name: rule.schema for name, rule in schema.columns.items()}, "label": schema.label, "version": schema.version}
        )
        return
    rows = [[name, _values(rule), _missing(rule), _more(rule)] for name, rule in schema.columns.items()]
    print_table(["column", "values", "missing", "also"], rows)
    about = list(_about(schema))
    if about:
        sys.stdout.write("\n" + "\n".join(about) + "\n")


def _values(rule: ColumnRule) -> str:
    from fairway.data.schema.differences import spell_rule

    return _cut(spell_rule(rule) + (f" {rule.unit}" if rule.unit else ""))


def _missing(rule: ColumnRule) -> str:
    if not rule.required:
        return "column may be"
    return "never" if not rule.nullable else f"at most {1 - rule.presence:.3g}".replace("at most 1", "any") if rule.presence else "any"


def _more(rule: ColumnRule) -> str:
    from fairway.data.spelling import spell_figure

    said = [rule.description] if rule.description else []
    said += ["unique"] if rule.unique else []
    said += [f"sorted {rule.sorted}"] if rule.sorted else []
    said += [f"in {', '.join(rule.environments)} only"] if rule.environments else []
    said += [f"half of them from {spell_figure(rule.quantiles[1])} to {spell_figure(rule.quantiles[3])}"] if rule.quantiles else []
    return _cut("; ".join(said))


def _cut(text: str) -> str:
    return text if len(text) <= _CELL else text[: _CELL - 1] + "…"


def _about(schema: TableSchema) -> list[str]:
    made = [f"label: {schema.label}"] if schema.label else []
    made += [f"key: {' + '.join(key)}" for key in schema.keys]
    made += [_cadence(one) for one in schema.cadences]
    made += [f"rows that repeat another: at most {schema.duplicates:.3g}"] if schema.duplicates is not None else []
    made += [f"newest time: at most {schema.freshness_s:,.0f} s old"] if schema.freshness_s is not None else []
    made += [f"slices: {', '.join(one.name for one in schema.slices)}"] if schema.slices else []
    if schema.version:
        made.append(f"frozen as version {schema.version}" + (", and changed since" if schema.is_changed else ""))
    return made


def _cadence(rule: CadenceRule) -> str:
    said = [f"every {rule.period_s:g} s"] if rule.period_s else []
    said += [f"within each {' + '.join(rule.by)}"] if rule.by else []
    said += [f"jitter up to {rule.jitter_s:g} s"] if rule.jitter_s else []
    said += [f"gaps up to {rule.max_gap_s:g} s"] if rule.max_gap_s else []
    said += [rule.order] if rule.order else []
    said += ["no time twice"] if rule.duplicates == 0 else []
    said += [f"zone {rule.zone}"] if rule.zone else []
    return f"cadence of {rule.column}: {', '.join(said)}"


@command.command("accept")
@click.argument("validation")
@click.option("--schema", "path", default="", metavar="FILE", help="The schema to change. Default: the one that the data was held to.")
@click.option("--kind", "kinds", multiple=True, metavar="KIND", help="Only anomalies of this kind; may be repeated.")
@click.option("--column", "columns", multiple=True, metavar="COLUMN", help="Only those of this column; may be repeated.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def accept(validation: str, path: str, kinds: tuple[str, ...], columns: tuple[str, ...], yes: bool) -> None:
    """Change the schema so that it lets in what VALIDATION found: a file of `fairway data validate --format json`. Asks for each anomaly.

    \b
    Examples:
      fairway data validate new.csv --schema schema.json --format json --out found.json
      fairway data schema accept found.json
      fairway data schema accept found.json --kind unknown-category --column city --yes
    """
    from fairway.data.schema.files import load_schema_file
    from fairway.data.schema.parse import digest_of
    from fairway.data.schema.writing import edited

    found = _validation(validation)
    path = path or found.schema_where
    schema = load_schema_file(path)
    if found.schema_digest and found.schema_digest != digest_of(schema.document):
        click.echo(f"note: {path} has changed since the data was held to it", err=True)
    text = Path(path).read_text(encoding="utf-8-sig")
    _refuse_short(schema, text)
    count = 0
    for one in _chosen(found, kinds, columns):
        if not yes and not click.confirm(f"{one.message.replace('`', '')}\n  Accept?", default=False):
            continue
        text, count = edited(text, one.edit or []), count + 1
    if count:
        from fairway.data.schema.parse import parse_schema
        from fairway.data.wholefiles import write_whole

        parse_schema(_plain(text), path)
        write_whole(path, text)
    click.echo(
        f"{path}: {spell_count(count, 'change')}."
        + (" It is frozen: freeze it again when you are done." if count and schema.version else "")
    )


def _refuse_short(schema: TableSchema, text: str) -> None:
    if schema.document != _plain(text):
        hint = "`fairway data schema infer` writes such."
        raise ConfigError("columns listed in short can be read, but not changed: it must be JSON Schema", where=schema.where, hint=hint)


def _validation(path: str) -> Validation:
    from fairway.data.anomalies.model import Validation

    try:
        return Validation.from_json(Path(path).read_bytes(), where=path)
    except FileNotFoundError:
        raise NotFoundError(f"there is no file {path!r}", hint="`fairway data validate … --format json --out FILE` writes one.") from None
    except OSError as error:
        raise ConfigError(f"{path!r} cannot be read: {error.strerror}") from None


def _chosen(found: Validation, kinds: tuple[str, ...], columns: tuple[str, ...]) -> list[Anomaly]:
    fit = [one for one in found.anomalies if (not kinds or one.kind in kinds) and (not columns or one.column in columns)]
    for one in fit:
        if not one.edit:
            click.echo(f"note: no edit accepts this: {one.message.replace('`', '')}", err=True)
    return [one for one in fit if one.edit]


def _plain(text: str) -> Any:
    import json

    return json.loads(text)
