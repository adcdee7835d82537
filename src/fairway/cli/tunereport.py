"""`fairway tune report`: a run's searches as one HTML file."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from fairway.cli.arguments import get_studies, on_option, open_workspace, run_argument
from fairway.errors import ConfigError


@click.command("report")
@run_argument
@click.option("-o", "--output", default="report.html", metavar="FILE", help="Where to write it; report.html if left out, - is stdout.")
@on_option
@click.pass_obj
def command(folder: str, run: str, output: str) -> None:
    """Write a run's searches as one HTML file: pictures and all trials.

    It needs no server and no internet: keep it, mail it.

    \b
    Examples:
      fairway tune report last -o report.html
    """
    from fairway.web.tunereport import make_report

    state, studies = get_studies(open_workspace(folder), run)
    at = time.strftime("%Y-%m-%d %H:%M", time.localtime())
    text = make_report(studies, run=state.run, pipeline=state.graph.name, at=at)
    if output == "-":
        sys.stdout.write(text)
        return
    try:
        Path(output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {output}: {error.strerror}", hint="name another file with -o") from error
    sys.stderr.write(f"{output}: {sum(len(study.trials) for study in studies)} trials\n")
