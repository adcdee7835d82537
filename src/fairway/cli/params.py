"""`fairway params`: the parameters of a pipeline, or those a run was given."""

from __future__ import annotations

import json

import click

from fairway.cli.arguments import complete_run, on_option, open_workspace, output_option
from fairway.cli.listing import print_json, print_pairs, print_table
from fairway.cli.report import describe
from fairway.cli.style import spell_value
from fairway.spec.graph import Param


@click.command("params")
@click.argument("what", default="", metavar="[FILE|RUN]", shell_complete=complete_run)
@output_option
@on_option
@click.pass_obj
def command(folder: str, what: str, output: str | None) -> None:
    """Show the parameters a pipeline has (FILE), or those a run was given (RUN, the last one if left out).

    \b
    Examples:
      fairway params pipeline.py
      fairway params
      fairway params last -o json
    """
    from fairway.cli.pipelines import is_pipeline_file, load_graph

    if is_pipeline_file(what):
        graph = load_graph(what)
        if output == "json":
            print_json(graph.params)
        elif graph.params:
            print_table(("PARAMETER", "TYPE", "DEFAULT", ""), [_cells(param) for param in graph.params])
        else:
            click.echo(f"{graph.name} has no parameters", err=True)
        return
    workspace = open_workspace(folder)
    state = workspace.state(workspace.get_run(what))
    if output == "json":
        print_json(
            {name: json.loads(ref.inline) if ref.inline is not None and ref.format == "json" else ref for name, ref in state.params.items()}
        )
        return
    print_pairs([(name, describe(ref)) for name, ref in state.params.items()])


def _cells(param: Param) -> tuple[str, ...]:
    choices = f"one of {', '.join(map(str, param.choices))}" if param.choices else ""
    return (param.name, param.type, "required" if param.required else spell_value(param.default, 40), param.help or choices)
