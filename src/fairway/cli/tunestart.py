"""`fairway tune FILE`: a search over a step or a whole pipeline, as one run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from fairway.cli.arguments import complete_run, output_option, take_target
from fairway.cli.request import split_param
from fairway.dsl.search import PRUNERS, SAMPLERS
from fairway.errors import ConfigError, DefinitionError

if TYPE_CHECKING:
    from fairway.engine.project import Project


@click.command("start")
@click.argument("file", metavar="FILE[:NAME]")
@click.option("--metric", multiple=True, metavar="NAME", help="What to make best: an output, or what fw.log is given.")
@click.option(
    "--direction",
    multiple=True,
    metavar="max|min",
    help="Is more or less of it better? One for each metric; of a loss it must be said.",
)
@click.option("--space", default="", metavar="FILE", help="What varies, as YAML: `lr: [float, 0.0001, 0.1, log]`.")
@click.option("--vary", multiple=True, metavar="NAME=SPEC", help="The same here: lr=float:0.0001:0.1:log, depth=int:2:9, model=svm,forest.")
@click.option("--trials", default=50, show_default=True, metavar="N", help="At most so many trials.")
@click.option("--parallel", default=1, show_default=True, metavar="N", help="So many at once.")
@click.option(
    "--sampler", default="tpe", show_default=True, metavar="NAME", help=f"{', '.join(SAMPLERS)}; settings: tpe:multivariate=true."
)
@click.option("--pruner", default="none", show_default=True, metavar="NAME", help=f"{', '.join(PRUNERS)}; ends hopeless trials early.")
@click.option("--seed", default=0, show_default=True, metavar="N", help="The same seed searches the same way again.")
@click.option("--timeout", default="", metavar="TIME", help='Start no trial after this long, such as "2h".')
@click.option("--max-failed", default=10, show_default=True, metavar="N", help="Stop when so many have failed and none was complete.")
@click.option("--from", "past", multiple=True, metavar="RUN", shell_complete=complete_run, help="Learn from the trials of a past run.")
@click.option("-p", "--param", multiple=True, metavar="NAME=VALUE", help="A parameter that does not vary.")
@click.option("--on", default="", metavar="TARGET", callback=take_target, help="Where to run: `local`, or a target of fairway.toml.")
@click.option("--name", default="", metavar="NAME", help="A name for this run, to find it by.")
@click.option("--tag", multiple=True, metavar="TAG", help="A tag for this run; may be given again.")
@click.option("--no-cache", is_flag=True, help="Run every task, even where the cache has its result.")
@click.option("--detach", is_flag=True, help="Print the id of a run at a target; do not wait.")
@output_option
@click.pass_obj
def command(folder: str, file: str, output: str | None, on: str, detach: bool, **asked: Any) -> int:
    """Search over a step or a whole pipeline, as one run.

    Every trial is a task of it: cached, resumed (`fairway resume`), cancelled and placed like any other. NAME may be left out
    where the file has one pipeline, or nothing but one step.

    \b
    Examples:
      fairway tune churn.py --metric auc --space space.yaml --parallel 4
      fairway tune fit.py --metric loss --direction min --vary lr=float:1e-4:0.1
      fairway tune churn.py --metric auc --space space.yaml --pruner asha
      fairway tune churn.py --metric auc --space space.yaml --from last
    """
    from fairway.cli.drive import drive
    from fairway.engine.project import load_project
    from fairway.engine.session import name_source, open_run
    from fairway.spec.event import RunOptions

    project = load_project(folder, near=file.partition(":")[0], overrides={"target": on} if on else {})
    params = dict(_pair(text, "--param") for text in asked["param"])
    labels = {"name": asked["name"], "tags": asked["tag"], "triggered_by": "cli"}
    return drive(
        project,
        lambda on_events: open_run(
            project,
            lambda: make_search_pipeline(file, asked, project),
            params,
            options=RunOptions(not asked["no_cache"], project.max_parallel, project.timeout_s),
            labels=labels,
            source=name_source(project, file),
            on_events=on_events,
        ),
        output or "",
        detach=detach,
    )


def make_search_pipeline(file: str, asked: dict[str, Any], project: Project) -> Any:
    """The search as a pipeline. Raises ConfigError, DefinitionError, NotFoundError."""
    from fairway.dsl.load import load_target
    from fairway.dsl.space import SpaceError
    from fairway.dsl.tuning import SearchPipeline, find_search, tune
    from fairway.engine.spacefile import find_line, load_space
    from fairway.spec.graph import Graph

    target = load_target(file)
    if isinstance(target, SearchPipeline) or (isinstance(target, Graph) and find_search(target)):
        raise ConfigError(f"{file} is a search already", hint=f"run it: fairway run {file}")
    if not asked["metric"]:
        raise ConfigError("--metric is missing: what is to become best?", hint=_say_metrics(target))
    space: dict[str, Any] = load_space(asked["space"]) if asked["space"] else {}
    in_file = space.keys() - dict(parse_vary(text) for text in asked["vary"]).keys()
    space |= dict(parse_vary(text) for text in asked["vary"])
    if not space:
        raise ConfigError("nothing varies", hint="--space space.yaml, or --vary lr=float:0.0001:0.1:log")
    both = next((name for name, _ in (_pair(text, "--param") for text in asked["param"]) if name in space), "")
    if both:
        raise ConfigError(f"-p {both}: `{both}` varies", hint="leave it out of what varies, or leave -p out")
    metrics: Sequence[str] = asked["metric"]
    more: dict[str, Any] = {name: asked[name] for name in ("trials", "parallel", "sampler", "pruner", "seed", "timeout", "max_failed")}
    if asked["past"]:
        more["warm_start"] = [trial for run in asked["past"] for trial in load_trials(project, run, metrics)]
    try:
        pipeline = tune(target, space=space, metric=list(metrics), direction=list(asked["direction"]) or "", **more)
        pipeline.trace()
    except SpaceError as error:
        if not error.field or error.field[0] not in in_file:
            raise
        raise DefinitionError(error.message, hint=error.hint, where=find_line(asked["space"], error.field)) from None
    _check_settings(pipeline.search)
    return pipeline


def _check_settings(search: Any) -> None:
    """Settings that Optuna's classes do not have are refused before anything runs, where there is Optuna here. Raises ConfigError."""
    from importlib.util import find_spec

    from fairway.train.tune.pruners import make_pruner
    from fairway.train.tune.samplers import make_sampler

    if len(search.pruner) > 1 and find_spec("optuna"):  # one without settings is right, and importing Optuna takes a while
        make_pruner(search.pruner)
    if search.sampler["kind"] in ("tpe", "random", "nsga2") and len(search.sampler) > 1 and find_spec("optuna"):
        make_sampler(search.sampler, search.seed, search.parallel)


def _say_metrics(target: Any) -> str:
    """What the target gives that may be one."""
    from fairway.dsl.tuning import find_metrics

    found = find_metrics(target)
    return f"it gives {', '.join(found)}: --metric {found[0]}" if found else "name an output that is a number, or what fw.log is given"


def parse_vary(text: str) -> tuple[str, Any]:
    """(name, spec) of "lr=float:0.0001:0.1:log" or "model=svm,forest". Raises ConfigError."""
    name, spec = _pair(text, "--vary")
    kind, *rest = spec.split(":")
    if kind in ("float", "int"):
        numbers = [_read_word(word) for word in rest]
        if len(numbers) not in (2, 3):
            raise ConfigError(
                f"--vary {text}: a range has a low and a high end", hint=f"write {name}={kind}:1:10, or {name}={kind}:1:10:log"
            )
        return name, (kind, *numbers)
    return name, [_read_word(word) for word in spec.split(",")]


def _read_word(word: str) -> Any:
    words = {"true": True, "false": False, "none": None}
    if word in words:
        return words[word]
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word


def _pair(text: str, option: str) -> tuple[str, str]:
    found = split_param(text)
    if found is None:
        raise ConfigError(f"{option} {text}: there is no `=` in it", hint=f"write {option} NAME=VALUE")
    return found


def load_trials(project: Project, run: str, metrics: Sequence[str]) -> list[dict[str, Any]]:
    """The complete trials of a past run's searches for the same metrics. Raises ConfigError if there is none."""
    from fairway.engine.studies import studies_of
    from fairway.engine.workspace import Workspace

    workspace = Workspace(project)
    try:
        found = workspace.get_run(run)
        studies = studies_of(workspace.state(found))
    finally:
        workspace.close()
    trials = [
        {"params": trial.params, "values": list(trial.values)}
        for study in studies
        if study.metrics == tuple(metrics)
        for trial in study.trials
        if trial.state == "complete"
    ]
    if not trials:
        known = ", ".join(sorted({name for study in studies for name in study.metrics}))
        hint = f"its metrics: {known}" if known else "`fairway runs tag:…` finds runs; those of `fairway tune` hold searches"
        raise ConfigError(f"{found} has no complete trial for {' and '.join(metrics)}", hint=hint)
    return trials
