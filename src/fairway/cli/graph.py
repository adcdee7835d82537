"""`fairway graph`: a pipeline as a picture or as data."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from fairway.cli.arguments import complete_run, on_option, open_workspace
from fairway.cli.pipelines import is_pipeline_file, load_graph
from fairway.dsl.picture import describe_node, find_edges, render_svg
from fairway.engine.drawing import draw_rails, render_mermaid
from fairway.spec.graph import Graph

FORMATS = ("text", "svg", "mermaid", "json", "yaml")
_BY_SUFFIX = {".svg": "svg", ".mmd": "mermaid", ".mermaid": "mermaid", ".json": "json", ".yaml": "yaml", ".yml": "yaml", ".txt": "text"}


@click.command("graph")
@click.argument("what", default="", metavar="[FILE|RUN]", shell_complete=complete_run)
@click.option("-o", "--output", "form", type=click.Choice(FORMATS), help="The format; by default what --to is named for, else text.")
@click.option("--to", metavar="PATH", type=click.Path(dir_okay=False), help="Write to this file instead of stdout.")
@on_option
@click.pass_obj
def command(folder: str, what: str, form: str | None, to: str | None) -> None:
    """Write the graph of a pipeline (FILE) or of a run (RUN, the last one if left out), without running anything.

    YAML and JSON say all there is: `fairway run graph.yaml` runs it again.

    \b
    Examples:
      fairway graph pipeline.py
      fairway graph pipeline.py --to pipeline.svg
      fairway graph pipeline.py -o mermaid
      fairway graph last -o yaml > graph.yaml
    """
    states: dict[str, str] = {}
    if is_pipeline_file(what):
        graph = load_graph(what)
    else:
        from fairway.engine.client import step_states

        workspace = open_workspace(folder)
        state = workspace.state(workspace.get_run(what))
        graph, states = state.graph, step_states(state)
    chosen = form or (_BY_SUFFIX.get(Path(to).suffix, "svg") if to else "text")
    text = render_graph(graph, chosen, states)
    if to:
        Path(to).write_text(text, encoding="utf-8")
        click.echo(f"wrote {to}", err=True)
    else:
        sys.stdout.write(text)


def render_graph(graph: Graph, form: str, states: dict[str, str]) -> str:
    """The graph in one of FORMATS."""
    if form == "svg":
        return render_svg(graph, states)
    if form == "mermaid":
        return render_mermaid(graph, states)
    if form in ("json", "yaml"):
        from fairway.engine.graphfile import render_json, render_yaml

        return render_json(graph) if form == "json" else render_yaml(graph)
    by_id = {node.id: node for node in graph.nodes}
    rows = draw_rails(find_edges(graph))
    width = max((len(rails) for rails, _ in rows), default=0)
    names = max((len(name) for name in by_id), default=0)
    lines = [f"{rails:<{width}}  {name:<{names}}  {describe_node(graph, by_id[name]) if name else ''}".rstrip() for rails, name in rows]
    return "\n".join([graph.name, *lines]) + "\n"
