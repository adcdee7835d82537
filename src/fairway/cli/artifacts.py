"""`fairway artifacts`: list, fetch and print what runs made."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import click

from fairway.cli.arguments import complete_task, on_option, open_workspace, output_option, required_run_argument, run_argument
from fairway.cli.listing import print_json, print_table
from fairway.cli.meant import KnowingGroup
from fairway.cli.report import describe
from fairway.cli.style import clip, spell_size
from fairway.cli.tables import load_table, render_table
from fairway.errors import ConfigError, NotFoundError


@click.group("artifacts", cls=KnowingGroup)
def command() -> None:
    """List, fetch and print artifacts.

    NAME is an output of the run ("model"), or one of a task ("evaluate[2].roc", "load").

    \b
    Examples:
      fairway artifacts ls
      fairway artifacts get last model --to model
      fairway artifacts cat last evaluate.0.auc
    """


@command.command("ls")
@run_argument
@click.argument("task", default="", shell_complete=complete_task, metavar="[TASK]")
@output_option
@on_option
@click.pass_obj
def list_artifacts(folder: str, run: str, task: str, output: str | None) -> None:
    """List the artifacts of a run, or of the tasks that TASK means.

    \b
    Examples:
      fairway artifacts ls
      fairway artifacts ls last train -o json
    """
    from fairway.engine.client import Run

    workspace = open_workspace(folder)
    found = Run(workspace, workspace.get_run(run))
    rows: list[tuple[str, Any]] = []
    if not task:
        rows += [(name, output_.ref) for name, output_ in found.outputs.items()]
    rows += [(f"{one.address}.{name}", ref) for one in found.tasks.match(task) for name, ref in one.output_refs.items()]
    if output == "json":
        print_json([{"artifact": name, **ref_as_plain(ref)} for name, ref in rows])
    elif rows:
        print_table(
            ("ARTIFACT", "TYPE", "SIZE", "DIGEST", "VALUE"),
            [(name, ref.type or ref.format, spell_size(ref.size_bytes), ref.digest[:12], _value(ref)) for name, ref in rows],
            right=(2,),
        )
    else:
        click.echo("no artifacts yet", err=True)


@command.command("get")
@required_run_argument
@click.argument("name")
@click.option("--to", metavar="PATH", help="The file or folder to write; by default one named like the artifact, in the current folder.")
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
@on_option
@click.pass_obj
def get_artifact(folder: str, run: str, name: str, to: str | None, force: bool) -> None:
    """Copy an artifact out of the store, in the format it is stored in.

    \b
    Examples:
      fairway artifacts get last model --to model
      fairway artifacts get last load --to customers.arrow
    """
    output = find_output(folder, run, name)
    target = Path(to or _file_name(name, output.ref))
    if target.is_dir() and to:
        target = target / _file_name(name, output.ref)
    if target.exists() and not force:
        raise ConfigError(f"{target} is there already", hint="choose another place with --to, or overwrite it with --force")
    target.parent.mkdir(parents=True, exist_ok=True)
    source = output.path()
    if os.path.isdir(source):
        shutil.copytree(source, target, dirs_exist_ok=True, copy_function=_copy)
    else:
        _copy(source, target)
    click.echo(f"wrote {target} ({describe(output.ref, 0)})", err=True)


@command.command("cat")
@required_run_argument
@click.argument("name")
@on_option
@click.pass_obj
def cat_artifact(folder: str, run: str, name: str) -> None:
    """Print an artifact: values as JSON, tables by their first rows, files as they are.

    \b
    Examples:
      fairway artifacts cat last auc
      fairway artifacts cat last report > report.html
    """
    output = find_output(folder, run, name)
    ref = output.ref
    if ref.format == "json":
        print_json(output.load())
    elif ref.format == "table":
        click.echo("\n".join(render_table(load_table(ref, open_workspace(folder).artifacts))))
    elif ref.format == "data-report":
        click.echo(output.load().to_json())
    elif ref.format in ("text", "bytes", "file", "html", "markdown"):
        with open(output.path(), "rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
    elif os.path.isdir(output.path()):
        for path in sorted(Path(output.path()).rglob("*")):
            if path.is_file():
                click.echo(f"{path.relative_to(output.path())}  {spell_size(path.stat().st_size)}")
    else:
        click.echo(str(output.load()))


def ref_as_plain(ref: Any) -> dict[str, Any]:
    """A reference as JSON-ready data, with its size and type always there."""
    from fairway.spec.record import to_plain

    return {"type": ref.type, "format": ref.format, "size_bytes": ref.size_bytes, **to_plain(ref)}


def find_output(folder: str, run: str, name: str) -> Any:
    """The output of the run or of one of its tasks. Raises NotFoundError."""
    from fairway.engine.client import Run

    workspace = open_workspace(folder)
    found = Run(workspace, workspace.get_run(run))
    outputs = found.outputs
    if name in outputs:
        return outputs[name]
    tasks = found.tasks
    pattern, _, output = name.rpartition(".")
    for task, wanted in ((name, "result"), (pattern, output)):
        if not task:
            continue
        try:
            matches = tasks.match(task)
        except NotFoundError:
            continue
        if len(matches) > 1:
            raise ConfigError(f"{task!r} is {len(matches):,} tasks", hint=f"name one of them, such as {matches[0].address}.{wanted}")
        one = matches[0].outputs
        if wanted in one:
            return one[wanted]
        if wanted == "result" and len(one) == 1:
            return next(iter(one.values()))
        if one:
            raise NotFoundError(f"{task} has no output {wanted!r}", hint=f"its outputs: {', '.join(f'{task}.{other}' for other in one)}")
    known = ", ".join(outputs) or "none"
    raise NotFoundError(
        f"run {found.id} has no artifact {name!r}", hint=f"outputs of the run: {known}; `fairway artifacts ls {found.id}` lists all"
    )


def _value(ref: Any) -> str:
    if ref.inline is not None:
        return clip(ref.inline, 40)
    return ", ".join(describe(ref).split(", ")[1:-1])


def _file_name(name: str, ref: Any) -> str:
    suffixes = {
        "json": ".json", "text": ".txt", "arrow": ".arrow", "npy": ".npy", "html": ".html", "markdown": ".md", "data-report": ".html",
        "parquet-table": ".parquet",
    }  # fmt: skip
    original = os.path.basename(str(ref.meta.get("name", ""))) if ref.format == "file" else ""
    return original or name.replace("/", "-").replace("[", "-").replace("]", "") + suffixes.get(ref.format, "")


def _copy(source: str | Path, target: str | Path) -> None:
    """Copy bytes; files of the store are read-only, the copy is not."""
    shutil.copyfile(source, target)
