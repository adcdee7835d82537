"""`fairway logs`: what tasks wrote."""

from __future__ import annotations

import sys
from typing import Any

import click

from fairway.cli.arguments import complete_task, name_command, on_option, open_workspace, output_option, run_argument
from fairway.cli.listing import print_json
from fairway.cli.report import quote
from fairway.cli.style import paint
from fairway.errors import NotFoundError

_COLOURS = ("cyan", "green", "yellow", "blue")


@click.command("logs")
@run_argument
@click.argument("task", default="", shell_complete=complete_task, metavar="[TASK]")
@click.option("-f", "--follow", is_flag=True, help="Go on printing until the run has ended.")
@click.option("--attempt", type=click.IntRange(min=1), metavar="N", help="The N-th attempt instead of the last.")
@click.option("--all", is_flag=True, help="Every attempt, not only the last of each task.")
@click.option("--rank", type=click.IntRange(min=0), metavar="R", help="Only what rank R of a gang wrote.")
@click.option("--stacks", is_flag=True, help="Where each rank of a gang that hung stood.")
@click.option("-n", "--tail", type=click.IntRange(min=1), metavar="N", help="Only the last N lines.")
@output_option
@on_option
@click.pass_obj
def command(folder: str, run: str, task: str, tail: int | None, output: str | None, **asked: Any) -> None:
    """Print what a run's tasks wrote, and the whole traceback of what failed.

    TASK is a step ("train"), one task ("train[3]" or train.3) or a glob
    ("clean.*"); all tasks if left out. RUN may be the name of an endpoint, too.
    Of a gang: the lines of all ranks by time.

    \b
    Examples:
      fairway logs last train.3 --tail 20
      fairway logs -f nightly
      fairway logs last fit --rank 1
    """
    from fairway.cli.endpointlog import find_endpoint, print_endpoint_log
    from fairway.engine.client import Run

    if run and not task and find_endpoint(folder, run):
        print_endpoint_log(folder, run, tail or 0, asked["follow"], output)
        return
    workspace = open_workspace(folder)
    try:
        found = Run(workspace, workspace.get_run(run))
    except NotFoundError as error:
        if not run or task:
            raise
        raise NotFoundError(f"there is neither a run nor an endpoint {run!r}", hint=error.hint) from None
    if asked["stacks"]:
        from fairway.cli.stacks import print_stacks

        print_stacks(found, found.tasks.match(task), asked["attempt"], asked["rank"], output)
        return
    if asked["follow"]:
        from fairway.cli.follow import follow_logs

        follow_logs(found, task, _render, asked["rank"])
        return
    tasks = found.tasks.match(task)
    if asked["rank"] is not None and not task:
        tasks = [one for one in tasks if one.gang.replicas] or tasks
    attempts = asked["attempt"], asked["all"]
    lines = [line for one in tasks for line in _lines_of(found, one, *attempts, asked["rank"])]
    lines = lines[-tail:] if tail else lines
    if output == "json":
        print_json(lines)
        return
    many = len({line.task for line in lines}) > 1
    out = sys.stdout
    for line in lines:
        out.write(_render(line, many))
    for one in tasks:
        if task and one.error is not None and not asked["attempt"] and asked["rank"] is None:
            ended = "failed" if one.status == "failed" else "failed before, and was tried again"
            out.write(f"{paint(f'{one.address} {ended}:', 'red', out)}\n{_unsaid(one.error, lines)}\n")
    if not lines and not any(one.error for one in tasks):
        newest = not asked["attempt"] and not asked["all"] and any(len(one.attempts) > 1 for one in tasks)
        more = " in the last attempt; --all shows those before it" if newest else _name_maker(tasks, name_command(workspace))
        sys.stderr.write("nothing was written" + (f" by {task}" if task else "") + more + "\n")


def _name_maker(tasks: list[Any], prefix: str) -> str:
    """Where the log is of what comes from the cache; "" if nothing does."""
    for one in tasks:
        if made := one.as_plain()["cached_from"]:
            return f"; {one.address} comes from the cache: {prefix} logs {made['run']} {quote(made['task'])}"
    return ""


def _lines_of(run: Any, task: Any, number: int | None, every: bool, rank: int | None) -> list[Any]:
    from fairway.engine.ranks import read_task_log

    attempts = task.attempts
    if number is not None:
        attempts = attempts[number - 1 : number]
    elif not every:
        attempts = attempts[-1:]
    return [line for attempt in attempts for line in read_task_log(run.workspace.streams, run.id, attempt, task.address, task.gang, rank)]


def _unsaid(error: Any, lines: list[Any]) -> str:
    """The error's traceback without paragraphs that stand in the log above it: last lines, the stacks of a hang. The message, if that is
    all of it."""
    said = {line.text.strip() for line in lines}
    kept: list[str] = []
    for paragraph in error.traceback.rstrip().split("\n\n"):
        texts = [line.strip() for line in paragraph.splitlines() if line.strip()]
        shown = texts[1:] if len(texts) > 1 and texts[0].endswith(":") else texts
        if not said.issuperset(shown):
            kept.append(paragraph)
    return "\n\n".join(kept) or error.message.rstrip()


def _render(line: Any, many: bool) -> str:
    """ "train[2]  the text", "fit rank 1  the text": no more before it than tells lines apart."""
    rank = paint(f"rank {line.rank}", _COLOURS[line.rank % len(_COLOURS)], sys.stdout) if line.rank >= 0 else ""
    colour = _COLOURS[sum(line.task.encode()) % len(_COLOURS)]
    named = [paint(line.task, colour, sys.stdout) if many else "", rank]
    return "  ".join([" ".join(part for part in named if part), line.text] if any(named) else [line.text]) + "\n"
