"""`fairway tune show`: the trials of a run's searches."""

from __future__ import annotations

import csv
import sys

import click

from fairway.cli.arguments import get_studies, name_command, on_option, open_workspace, run_argument
from fairway.cli.listing import print_json
from fairway.cli.report import join_lines, render_way_on
from fairway.cli.trials import render_end, render_table, spell_counts
from fairway.spec.record import to_plain
from fairway.spec.study import Study, Trial


@click.command("show")
@run_argument
@click.option("-o", "--output", type=click.Choice(["json", "csv"]), help="Write JSON or CSV to stdout.")
@on_option
@click.pass_obj
def command(folder: str, run: str, output: str | None) -> None:
    """Show the trials of a run's searches, the best marked.

    \b
    Examples:
      fairway tune show
      fairway tune show last -o csv > trials.csv
    """
    workspace = open_workspace(folder)
    state, studies = get_studies(workspace, run)
    left = state.status == "running" and workspace.is_left(state.run)
    if output == "json":
        print_json([{**_plain(study), "trials": [_plain(trial) for trial in study.trials]} for study in studies])
    elif output == "csv":
        for study in studies:
            _write_csv(study)
    else:
        for study in studies:
            head = f"{study.name}  {study.sampler}{', ' + study.pruner if study.pruner else ''}  {spell_counts(study)}"
            stands = left or state.status != "running"
            over = state.status == "succeeded"
            lines = render_end(study, state.run, list(state.outputs), name_command(workspace), over=over)[:-1] if stands else []
            sys.stdout.write("\n".join([head, *render_table(study), *lines]) + "\n")
        sys.stdout.write(join_lines(render_way_on(state, (), name_command(workspace), left=left)))


def _plain(found: Study | Trial) -> dict[str, object]:
    """With its fields at their defaults, too."""
    return {name: to_plain(getattr(found, name)) for name in type(found).record_fields}


def _write_csv(study: Study) -> None:
    writer = csv.writer(sys.stdout)
    writer.writerow(["number", "state", "best", *study.metrics, *study.params, "started_at", "ended_at", "error"])
    for trial in study.trials:
        values = list(trial.values) or [""] * len(study.metrics)
        params = ["" if trial.params.get(name) is None else trial.params[name] for name in study.params]
        best = int(trial.number in study.best)
        writer.writerow([trial.number, trial.state, best, *values, *params, trial.started_at or "", trial.ended_at or "", trial.error])
