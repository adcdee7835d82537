"""`fairway logs`: what tasks wrote."""

from __future__ import annotations

import sys
from typing import Any

import click

from fairway.cli.arguments import complete_task, on_option, open_workspace, output_option, run_argument
from fairway.cli.listing import print_json
from fairway.cli.style import paint
from fairway.errors import NotFoundError

_COLOURS = ("cyan", "green", "yellow", "blue")


@click.command("logs")
@run_argument
@click.argument("task", default="", shell_complete=complete_task, metavar="[TASK]")
@click.option("-f", "--follow", is_flag=True, help="Go on printing until the run has ended.")
@click.option("--attempt", type=click.IntRange(min=1), metavar="N", help="Only the N-th attempt; the last one if left out.")
@click.option("--all", "every", is_flag=True, help="Every attempt, not only the last of each task.")
@click.option("-n", "--tail", type=click.IntRange(min=1), metavar="N", help="Only the last N lines.")
@output_option
@on_option
@click.pass_obj
def command(folder: str, run: str, task: str, follow: bool, attempt: int | None, every: bool, tail: int | None, output: str | None) -> None:
    """Print what a run's tasks wrote to stdout and stderr, and the whole traceback of what failed.

    TASK is a step ("train"), one task ("train[3]" or train.3) or a glob
    ("clean.*"); all tasks if left out. RUN may be the name of an endpoint, too.

    \b
    Examples:
      fairway logs
      fairway logs last train.3
      fairway logs last train --tail 20
      fairway logs -f nightly
    """
    from fairway.cli.endpointlog import find_endpoint, print_endpoint_log
    from fairway.engine.client import Run

    if run and not task and find_endpoint(folder, run):
        print_endpoint_log(folder, run, tail or 0, follow, output)
        return
    workspace = open_workspace(folder)
    try:
        found = Run(workspace, workspace.get_run(run))
    except NotFoundError as error:
        if not run or task:
            raise
        raise NotFoundError(f"there is neither a run nor an endpoint {run!r}", hint=error.hint) from None
    if follow:
        from fairway.cli.follow import follow_logs

        follow_logs(found, task, _render)
        return
    tasks = found.tasks.match(task)
    lines = [line for one in tasks for line in _lines_of(found, one, attempt, every)]
    lines = lines[-tail:] if tail else lines
    if output == "json":
        print_json(lines)
        return
    many = len({line.task for line in lines}) > 1
    out = sys.stdout
    for line in lines:
        out.write(_render(line, many))
    for one in tasks:
        if task and one.error is not None and not attempt:
            out.write(f"{paint(f'{one.address} failed:', 'red', out)}\n{(one.error.traceback or one.error.message).rstrip()}\n")
    if not lines and not any(one.error for one in tasks):
        sys.stderr.write("nothing was written" + (f" by {task}" if task else "") + "\n")


def _lines_of(run: Any, task: Any, number: int | None, every: bool) -> list[Any]:
    from fairway.engine.reading import read_log

    attempts = task.attempts
    if number is not None:
        attempts = attempts[number - 1 : number]
    elif not every:
        attempts = attempts[-1:]
    return [line for attempt in attempts for line in read_log(run.workspace.streams, run.id, attempt, task.address)]


def _render(line: Any, many: bool) -> str:
    if not many:
        return f"{line.text}\n"
    colour = _COLOURS[sum(line.task.encode()) % len(_COLOURS)]
    return f"{paint(line.task, colour, sys.stdout)}  {line.text}\n"
