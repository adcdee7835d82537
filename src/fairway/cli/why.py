"""`fairway why`: why a task ran, or why it did not have to."""

from __future__ import annotations

import sys

import click

from fairway.cli.arguments import complete_run, complete_task, on_option, open_workspace, output_option
from fairway.cli.listing import print_json


@click.command("why")
@click.argument("run", shell_complete=complete_run, metavar="RUN")
@click.argument("task", shell_complete=complete_task, metavar="TASK")
@output_option
@on_option
@click.pass_obj
def command(folder: str, run: str, task: str, output: str | None) -> None:
    """Say in words why a task ran or came from the cache: which input, which line of code, which package.

    \b
    Examples:
      fairway why last train.0
      fairway why last load
    """
    from fairway.engine.client import Run
    from fairway.engine.explain import why

    workspace = open_workspace(folder)
    found = Run(workspace, workspace.get_run(run))
    tasks = found.tasks.match(task)
    one = tasks[0]
    if len(tasks) > 1:
        click.echo(f"{task} is {len(tasks):,} tasks; this is the first", err=True)
    answer = why(workspace, found.id, one.address)
    if output == "json":
        print_json(answer)
    else:
        sys.stdout.write("\n".join(answer.lines()) + "\n")
