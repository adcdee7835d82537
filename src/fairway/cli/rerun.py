"""`fairway rerun`: one task again, in this terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

import click

from fairway.cli.arguments import complete_run, complete_task, on_option, open_workspace
from fairway.cli.report import Failure, describe, join_lines, render_failure
from fairway.cli.style import spell_duration
from fairway.errors import ConfigError, UnsupportedError
from fairway.spec.artifact import ArtifactRef


@click.command("rerun")
@click.argument("run", shell_complete=complete_run, metavar="RUN")
@click.argument("task", shell_complete=complete_task, metavar="TASK")
@click.option("--pdb", is_flag=True, help="Stop in the debugger where it raises.")
@click.option("--edited", is_flag=True, help="With the code as it is now, not as it was recorded.")
@on_option
@click.pass_obj
def command(folder: str, run: str, task: str, pdb: bool, edited: bool) -> int:
    """Do one task again with its recorded inputs, in this terminal. The run itself is not changed.

    \b
    Examples:
      fairway rerun last train.3
      fairway rerun last train.3 --pdb
      fairway rerun last train.3 --edited
    """
    from fairway.engine.client import Run
    from fairway.engine.rerun import make_spec, run_foreground
    from fairway.engine.session import find_source, prepare_edited

    workspace = open_workspace(folder)
    found = Run(workspace, workspace.get_run(run))
    tasks = found.tasks.match(task)
    if len(tasks) > 1:
        raise ConfigError(f"{task!r} is {len(tasks):,} tasks", hint=f"name one of them, such as {tasks[0].address!r}")
    one = tasks[0]
    state = found.state()
    source = find_source(workspace.project, state.source)
    bundle, graph = "", None
    if edited:
        submission = prepare_edited(workspace.project, state, source)
        bundle, graph = submission.bundle, submission.graph
    spec = make_spec(workspace, found.id, one.scope, one.node, one.index, bundle=bundle, graph=graph)
    if pdb and spec.step.gang.replicas:
        raise UnsupportedError(
            f"{one.address} is a gang: a debugger cannot stop in one of several processes",
            hint=f"without --pdb it is run again here; `fairway logs {found.id} {one.address}` has each rank's lines",
        )
    began = time.monotonic()
    outcome = run_foreground(workspace, spec, pdb=pdb, source=workspace.project.root)
    took = spell_duration(time.monotonic() - began)
    item = outcome.items[0] if outcome.items else None
    error = outcome.error or (item.error if item else None)
    if error is not None:
        known = one.error is not None and (one.error.kind, one.error.message) == (error.kind, error.message)
        recorded = f"{one.status}: {one.error.kind}" if one.error else one.status
        sys.stderr.write(join_lines([*render_failure(Failure(one.address, error, 1)), f"failed in {took}"]))
        sys.stderr.write("the same error as recorded\n" if known else f"recorded: {recorded}\n")
        return 3
    if item is not None and item.status == "skipped":
        sys.stderr.write(f"skipped: {item.reason}\n")
        return 0
    for name, ref in (item.outputs if item else {}).items():
        sys.stdout.write(f"{name}  {describe(ref)}\n")
    sys.stdout.flush()
    sys.stderr.write(f"✓ {one.address} succeeded in {took}\n")
    sys.stderr.write(join_lines(_compare(one.status, one.output_refs, item.outputs if item and not item.graph else {})))
    return 0


def _compare(status: str, recorded: Mapping[str, ArtifactRef], outputs: Mapping[str, ArtifactRef]) -> list[str]:
    """Each output beside the recorded one."""
    if not recorded:
        return [f"recorded: {status}"] if status not in ("succeeded", "cached") else []
    differing = [name for name, ref in outputs.items() if name in recorded and recorded[name].digest != ref.digest]
    lines = [f"{name} differs from the recorded one: {describe(recorded[name])}" for name in differing]
    return lines if lines or not outputs else ["the same as recorded"]
