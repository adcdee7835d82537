"""`fairway show`: one run, drawn."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from fairway.cli.arguments import name_command, on_option, open_workspace, output_option, run_argument
from fairway.cli.board import Board, Line
from fairway.cli.gangrows import gang_of_task, plain_gang, render_gang
from fairway.cli.lines import board_of, render_line
from fairway.cli.listing import print_json
from fairway.cli.report import (
    MAX_WIDTH,
    describe,
    group_failures,
    join_lines,
    render_failures,
    render_outputs,
    render_run_error,
    render_way_on,
)
from fairway.cli.style import (
    COLOURS,
    SYMBOLS,
    clip,
    clip_painted,
    find_width,
    paint,
    spell_age,
    spell_duration,
    spell_number,
    spell_size,
    spell_value,
)
from fairway.cli.tracebacks import fold_frames
from fairway.dsl.picture import find_edges
from fairway.engine.drawing import draw_rails
from fairway.engine.waits import find_waits
from fairway.engine.workspace import INTERRUPTED
from fairway.errors import NotFoundError


@click.command("show")
@run_argument
@click.argument("task", required=False)
@output_option
@on_option
@click.pass_obj
def command(folder: str, run: str, task: str | None, output: str | None) -> None:
    """Draw a run's graph with states and times; with TASK, everything about those tasks.

    RUN is a run's id, its beginning or end, the run's name, or "last" (also if left out).

    \b
    Examples:
      fairway show
      fairway show nightly
      fairway show last 'train[2]'
      fairway show last -o json
    """
    from fairway.engine.client import Run

    workspace = open_workspace(folder)
    found = Run(workspace, workspace.get_run(run))
    state = found.state()
    if task:
        _show_tasks(found, task, output)
    elif output == "json":
        print_json(found.as_plain())
    else:
        width = find_width(sys.stdout)
        left = found.status == INTERRUPTED
        sys.stdout.write(join_lines(clip_painted(line, width) for line in render_run(state, time.time(), left=left)))
        _print_end(state, name_command(workspace), left=left)
        if workspace.remote is not None and state.status == "running" and (problem := workspace.remote.find_problem(found.id)):
            sys.stdout.write(f"\nthe server has trouble with this run, and tries again: {problem}\n")


def render_run(state: Any, now: float, *, left: bool = False) -> list[str]:
    """Headline, graph and facts of a run. `left`: it has not ended, and its process was killed."""
    word = INTERRUPTED if left else state.status
    took = "" if left else f" in {spell_duration((state.ended_at or now) - state.started_at)}"
    status = paint(f"{SYMBOLS.get(word, ' ')} {word}", COLOURS.get(word, ""), sys.stdout)
    named = f" ({state.name})" if state.name else ""
    lines = [f"{paint(state.graph.name, 'bold', sys.stdout)}  {state.run}{named}  {status}{took}, {spell_age(state.started_at, now)}"]
    facts = [f"{name}={_param(ref)}" for name, ref in state.params.items()]
    if facts:
        lines.append(clip("  ".join(facts), 160))
    if state.tags or state.note:
        lines.append("  ".join([*(f"#{tag}" for tag in state.tags), *([state.note] if state.note else [])]))
    lines.append("")
    board = board_of(state)
    for line in board.lines.values() if left else ():
        line.interrupt()
    edges = find_edges(state.graph)
    rows = draw_rails(edges)
    width = max((len(rails) for rails, _ in rows), default=0)
    names = max((len(line.label) for line in board.lines.values()), default=0)
    waits = {} if left else find_waits(state.live.values())
    for rails, node in rows:
        line = board.lines.get(("", node))
        if line is None:
            lines.append(rails if not node else f"{rails:<{width}}  {node}")
            continue
        lines.append(_graph_row(rails, width, names, line, now))
        below = f"{rails.replace('●', '│'):<{width}}    "
        lines += [f"{below}{waits[line.key]}"] if line.key in waits else []
        for inner in _inner(board, node):
            lines.append(f"{below}{render_line(inner, names, now, sys.stdout)}")
            lines += [f"{below}  {waits[inner.key]}"] if inner.key in waits else []
    return lines


def _graph_row(rails: str, width: int, names: int, line: Line, now: float) -> str:
    symbol = SYMBOLS[line.status]
    drawn = f"{rails:<{width}}"
    drawn = drawn.replace("●", paint(symbol, COLOURS[line.status], sys.stdout))
    return f"{drawn}  {render_line(line, names, now, sys.stdout).partition(' ')[2]}".rstrip()


def _inner(board: Board, node: str) -> list[Line]:
    """The lines of what the dynamic tasks of `node` made, at any depth."""
    return [line for _, line in board.ordered() if line.key[0] == node or line.key[0].startswith(f"{node}/")]


def _param(ref: Any) -> str:
    import json

    return spell_value(json.loads(ref.inline), 40) if ref.inline is not None and ref.format == "json" else describe(ref)


def _print_end(state: Any, prefix: str, *, left: bool) -> None:
    """Outputs, errors, and what to do next."""
    groups = group_failures(state)
    if state.outputs:
        sys.stdout.write("\n" + join_lines(f"  {line}" for line in render_outputs(state.outputs)))
    lines = [*render_failures(groups), *render_run_error(state), *render_way_on(state, groups, prefix)]
    if left:
        lines += ["its process is gone: nothing of it runs", f"go on:       {prefix} resume {state.run}"]
    if lines:
        sys.stdout.write("\n" + join_lines(lines))


def _show_tasks(run: Any, pattern: str, output: str | None) -> None:
    """All that is known of the tasks that `pattern` means."""
    tasks = run.tasks.match(pattern)
    if output == "json":
        found = [(task, gang_of_task(run, task)) for task in tasks]
        print_json([{**task.as_plain(), **({"ranks": plain_gang(now)} if now is not None else {})} for task, now in found])
        return
    for n, task in enumerate(tasks[:20]):
        sys.stdout.write(("\n" if n else "") + join_lines(_render_task(run, task)))
    if any(task.status == INTERRUPTED for task in tasks):
        sys.stdout.write(f"\nits process is gone: nothing of it runs\ngo on: {name_command(run.workspace)} resume {run.id}\n")
    if len(tasks) > 20:
        sys.stderr.write(f"{len(tasks) - 20:,} more; name one, such as {tasks[20].address!r}\n")


def _render_task(run: Any, task: Any) -> list[str]:
    word = task.status
    lines = [f"{paint(SYMBOLS[word], COLOURS[word], sys.stdout)} {task.address}  {word}"]
    plain = task.as_plain()
    if plain["reason"]:
        lines[0] += f": {plain['reason']}"
    if plain.get("cached_from"):
        lines[0] += f" from {plain['cached_from']['run']} {plain['cached_from']['task']}"
    lines += [f"  in   {name}  {value}" for name, value in _inputs_of(task).items()]
    lines += [f"  out  {name}  {describe(ref)}" for name, ref in (task.output_refs).items()]
    for attempt in plain["attempts"]:
        used = attempt.get("usage") or {}
        waits = attempt["status"] != "queued" or attempt["reason"] or task.status != "running"  # where nobody says otherwise, it runs
        facts = [f"attempt {attempt['n']}", attempt["status"] if waits else word]
        if used and used["ended_at"]:  # nobody has measured what was cancelled
            asked = plain["asked"]
            memory = f" ({spell_size(asked['memory_bytes'])} asked)" if asked["memory_bytes"] else ""
            facts.append(f"{spell_duration(used['wall_s'])} wall, {spell_duration(used['cpu_s'])} CPU ({asked['cpu']:g} asked)")
            facts.append(f"{spell_size(used['peak_memory_bytes'])}{memory}")
            facts.append(used["host"])
        lines.append("  " + "  ".join(part for part in facts if part))
        if attempt["reason"]:
            said = attempt["reason"] if attempt["reason"].startswith("waits") else f"waits: {attempt['reason']}"
            lines.append(f"    {said.replace('waits', 'waited', 1) if used or task.status != 'running' else said}")
        if attempt.get("error") and attempt is not plain["attempts"][-1]:  # why there was another one
            lines.append(f"    {clip(attempt['error']['message'], MAX_WIDTH)}")
        lines += [f"    {name} {spell_number(value)}" for name, value in attempt.get("metrics", {}).items()]
    now = gang_of_task(run, task)
    lines += [f"    {line}" for line in render_gang(now)] if now is not None else []
    if task.error is not None:
        said = task.error.message.strip().partition("\n")[0]
        if said not in task.error.traceback:  # which rank it was, how a process ended
            lines.append(f"  {said}")
        lines += [f"  {line}" for line in fold_frames(task.error.traceback)]
        lines += [f"  {task.error.hint}"] if task.error.hint else []
    return lines


def _inputs_of(task: Any) -> dict[str, str]:
    """Inputs on a line each; nothing while they have not all been made."""
    try:
        given = task.get_inputs()
    except NotFoundError:
        return {}
    return {name: describe(one.ref) if one.ref is not None else f"secret {one.secret}" for name, one in given.items()}
