"""`fairway run` as click sees it: our own options from the table, and one option per parameter of the pipeline that is named."""

from __future__ import annotations

import os
from typing import Any

import click

from fairway.cli.arguments import ON
from fairway.cli.pipelines import load_graph
from fairway.cli.request import RUN_OPTIONS, RunRequest, split_param
from fairway.cli.style import spell_value
from fairway.errors import FairwayError, NotFoundError
from fairway.spec.graph import Graph, Param

_PARAMS = "fairway.params"
_GRAPH = "fairway.graph"
_PREFIX = "param_"
_METAVARS = {"int": "N", "float": "X", "str": "TEXT", "bool": "[true|false]", "fairway.File": "FILE", "fairway.Directory": "FOLDER"}


class RunCommand(click.Command):
    """Loads the pipeline before it reads its arguments, because that pipeline says which options there are."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        file = find_file(args)
        if file:
            try:
                graph = load_graph(file)
            except FairwayError:
                if not ctx.resilient_parsing:
                    raise
            else:
                own = {name for option in RUN_OPTIONS for name in option.names}
                ctx.meta[_GRAPH] = graph
                ctx.meta[_PARAMS] = [_option(param) for param in graph.params if _flag(param.name) not in own]
        try:
            return super().parse_args(ctx, list(args))
        except click.NoSuchOption as error:
            unknown = self._unknown(ctx, args)
            if len(unknown) < 2:
                raise
            raise click.UsageError(f"No such options {', '.join(map(repr, unknown))}", ctx) from error

    def _unknown(self, ctx: click.Context, args: list[str]) -> list[str]:
        """All long options that there are not: who types them again wants to do it once."""
        known = {name for option in self.get_params(ctx) for name in (*option.opts, *option.secondary_opts)}
        words = [word.partition("=")[0] for word in (args[: args.index("--")] if "--" in args else args)]
        return list(dict.fromkeys(word for word in words if word.startswith("--") and word.replace("_", "-") not in known))

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*super().get_params(ctx), *ctx.meta.get(_PARAMS, ())]

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        graph: Graph | None = ctx.meta.get(_GRAPH)
        if graph is None:
            super().format_help_text(ctx, formatter)
            return
        with formatter.indentation():
            for paragraph in _prose(graph):
                formatter.write_paragraph()
                formatter.write_text(paragraph)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        dynamic = ctx.meta.get(_PARAMS, [])
        if ctx.meta.get(_GRAPH) is not None:
            rows = [record for option in dynamic if (record := option.get_help_record(ctx))]
            if rows:
                with formatter.section("Parameters"):
                    formatter.write_dl(rows)
        own = [record for option in super().get_params(ctx) if isinstance(option, click.Option) and (record := option.get_help_record(ctx))]
        with formatter.section("Options"):
            formatter.write_dl(own)


def find_file(args: list[str]) -> str:
    """FILE among the arguments: the first word that is neither an option nor the value of one of ours; "" if there is none."""
    with_value = {name for option in RUN_OPTIONS if option.kind != "flag" for name in option.names}
    skip = False
    for word in args:
        if skip:
            skip = False
        elif word.startswith("-"):
            skip = word in with_value
        else:
            return word
    return ""


def _option(param: Param) -> click.Option:
    choices = "|".join(map(str, param.choices))
    metavar = f"[{choices}]" if choices else _METAVARS.get(param.type) or _spell_type(param.type)
    default = "" if param.required or param.default is None else f"[default: {_spell_default(param.default)}]"
    keywords: dict[str, Any] = {"flag_value": "true", "is_flag": False} if param.type == "bool" else {}
    return click.Option(
        [_flag(param.name), _PREFIX + param.name],
        metavar=metavar,
        required=param.required,
        help=f"{param.help} {default}".strip(),
        shell_complete=lambda ctx, option, start: [str(choice) for choice in param.choices if str(choice).startswith(start)],
        **keywords,
    )


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _spell_type(kind: str) -> str:
    inner = kind.removeprefix("list[").removesuffix("]")
    if kind.startswith("list[") and inner in ("int", "float", "str"):
        one = _METAVARS[inner]
        return f"{one},{one},…"
    kind = kind.removesuffix(" | None")
    return _METAVARS.get(kind, kind.upper() if kind.isidentifier() else "JSON" if kind else "VALUE")


def _spell_default(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(item, int | float | str) for item in value):
        return ",".join(map(str, value))
    return spell_value(value, 40)


def _prose(graph: Graph) -> list[str]:
    """The docstring's paragraphs, without lines that describe parameters: those stand with their options."""
    names = {param.name for param in graph.params}
    paragraphs = []
    for paragraph in (graph.doc or f"Run the pipeline {graph.name}.").split("\n\n"):
        lines = [line.strip() for line in paragraph.splitlines() if line.partition(":")[0].strip() not in names]
        if lines and lines != ["Args:"]:
            paragraphs.append(" ".join(lines))
    return paragraphs


def _own_option(function: Any) -> Any:
    """Add the options of the table to a command."""
    for option in reversed(RUN_OPTIONS):
        keywords: dict[str, Any] = {"help": option.help, "metavar": option.metavar or None}
        if option.kind == "flag":
            keywords = {"help": option.help, "is_flag": True}
        elif option.kind == "many":
            keywords["multiple"] = True
        elif option.kind == "count":
            keywords |= {"type": click.IntRange(min=0), "default": 0}
        elif option.key == "output":
            keywords["type"] = click.Choice(["json"])
        else:
            keywords["default"] = ""
        function = click.option(*option.names, option.key, **keywords)(function)
    return function


@click.command(
    "run",
    cls=RunCommand,
    context_settings={"token_normalize_func": lambda token: token.replace("_", "-") if token.startswith("-") or "_" in token else token},
)
@click.argument("file", metavar="FILE", type=click.Path())
@_own_option
@click.pass_obj
def command(folder: str, file: str, param: tuple[str, ...], **values: Any) -> int:
    """Run a pipeline. Its parameters are options: see `fairway run FILE --help`.

    FILE: "churn.py", "churn.py:name", a module "pkg.churn:name", "graph.yaml".
    Outputs go to stdout. Ctrl-C stops the run cleanly; pressed twice, at once.

    \b
    Examples:
      fairway run pipeline.py --depths 2,4,8 --floor 0.7
      fairway run pipeline.py -o json > result.json
      fairway run pipeline.py --on campus --detach
    """
    from fairway.cli.run import run_pipeline

    params = {name.removeprefix(_PREFIX): values.pop(name) for name in list(values) if name.startswith(_PREFIX)}
    given = {name: value for name, value in params.items() if value is not None}
    for text in param:
        pair = split_param(text)
        if pair is None:
            raise click.UsageError(f"not NAME=VALUE: {text!r}")
        given[pair[0]] = pair[1]
    if not os.path.exists(file.partition(":")[0]) and file.endswith((".py", ".yaml", ".yml", ".json")):
        raise NotFoundError(f"there is no file {file}", hint="`fairway init` makes a pipeline to start from")
    values["tag"] = tuple(values["tag"])
    values["on"] = values["on"] or click.get_current_context().meta.get(ON, "")
    values["output"] = values["output"] or ""
    return run_pipeline(RunRequest(file, given, folder=folder, **values))
