"""`fairway resume`: go on with a run."""

from __future__ import annotations

from typing import Any

import click

from fairway.cli.arguments import name_command, on_option, open_workspace, output_option, run_argument
from fairway.errors import ConfigError, ConflictError
from fairway.spec.event import RunOptions
from fairway.spec.record import replace
from fairway.spec.resources import parse_duration


@click.command("resume", context_settings={"ignore_unknown_options": True})
@run_argument
@click.argument("more", nargs=-1, type=click.UNPROCESSED, metavar="")
@click.option("--recorded", is_flag=True, help="With the code as it was recorded, not as it is now.")
@click.option("--no-cache", is_flag=True, help="Take nothing from the cache for what is still to do.")
@click.option("--max-parallel", type=click.IntRange(min=0), metavar="N", help="Run at most N tasks at once.")
@click.option("--detach", is_flag=True, help="Let it go on at its target, print its id, and do not wait.")
@click.option("--timeout", metavar="TIME", help="Stop after this long, counted from now.")
@output_option
@on_option
@click.pass_obj
def command(
    folder: str,
    run: str,
    more: tuple[str, ...],
    recorded: bool,
    no_cache: bool,
    max_parallel: int | None,
    detach: bool,
    timeout: str | None,
    output: str | None,
) -> int:
    """Go on with a run that failed, was cancelled, or whose process was killed.

    Edit the code first if you like: what the edit does not reach is not done again.

    \b
    Examples:
      fairway resume
      fairway resume x7kq3
      fairway resume last --max-parallel 1
    """
    from fairway.cli.drive import drive
    from fairway.engine.session import find_source, open_resume

    workspace = open_workspace(folder)
    project = workspace.project
    if run.startswith("-"):
        run, more = "", (run, *more)
    found = workspace.get_run(run)
    history = workspace.history(found)
    state = history.state
    _refuse(more, state)
    if workspace.is_driven(found):
        raise ConflictError(f"{found} is running", hint=f"watch it: {name_command(workspace)} logs -f {found}")
    if state.status == "succeeded":
        raise ConfigError(
            f"{found} has succeeded: there is nothing to go on with", hint="`fairway run` starts a new run; what has not changed is cached"
        )
    if not recorded and state.source and not find_source(project, state.source):
        click.echo(f"{state.source} is not there any more: going on with the recorded code", err=True)
    changes: dict[str, Any] = {}
    if no_cache:
        changes["cache"] = False
    if max_parallel is not None:
        changes["max_parallel"] = max_parallel
    if timeout:
        changes["timeout_s"] = parse_duration(timeout)
    options: RunOptions | None = replace(state.options, **changes) if changes else None
    return drive(
        project,
        lambda on_events: open_resume(
            project, found, load=None if recorded else _load, options=options, on_events=on_events, history=history
        ),
        output or "",
        detach=detach,
    )


def _refuse(words: tuple[str, ...], state: Any) -> None:
    """What is left of the command line: parameters, which a resume cannot change, or a mistake."""
    if not words:
        return
    name = words[0].lstrip("-").partition("=")[0].replace("-", "_")
    if not words[0].startswith("-"):
        raise click.UsageError(f"Got unexpected extra argument ({words[0]})")
    if name not in state.params:
        raise click.NoSuchOption(words[0].partition("=")[0])
    raise ConfigError(
        f"a resume keeps the run's parameters: {name!r} cannot be changed",
        hint=f"`fairway run {state.source} {' '.join(words)}` starts a new run; what has not changed is cached",
    )


def _load(source: str) -> Any:
    from fairway.dsl.load import load_target

    return load_target(source)
