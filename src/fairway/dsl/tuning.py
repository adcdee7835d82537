"""`fw.tune`: a hyperparameter search over a step or a whole pipeline, as a part of a pipeline or by itself.

In the graph a search is three nodes: `suggest` and the trials lie on one axis, `suggest` paced by the trials, so that each suggestion knows
how those before it went; `best` chooses among all of them when they have ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fairway.dsl import types
from fairway.dsl.infer import Facts, merge_axes
from fairway.dsl.mainmodule import public_module
from fairway.dsl.pipeline import Pipeline
from fairway.dsl.search import Search, make_search
from fairway.dsl.source import caller, suggest
from fairway.dsl.step import Step
from fairway.dsl.trace import Trace, bind, current
from fairway.dsl.value import Value
from fairway.errors import DefinitionError, FairwayError
from fairway.spec.graph import Expr, Graph, Pace, Param, Port, StepDef
from fairway.spec.placement import Pool
from fairway.spec.record import from_plain, replace, to_plain
from fairway.spec.study import SAMPLER_STATE, SUGGESTION

_RESULTS = ("best_params", "best_value", "best_trial", "trials")
_TYPES = {"best_params": "dict", "best_value": "", "best_trial": "int", "trials": "list[dict]"}


def tune(
    what: Any,
    /,
    *,
    space: Mapping[str, Any],
    metric: str | list[str],
    direction: str | list[str] = "max",
    trials: int = 50,
    parallel: int = 1,
    inputs: Mapping[str, Any] | None = None,
    **more: Any,
) -> Any:
    """Search for the parameters of a step or pipeline that make `metric` best; `metric` is an output's name, or one that `fw.log` is given.

    `space` says what varies (see `fairway.dsl.space`); what else the step or pipeline takes is given as ordinary arguments, or in `inputs`.
    `trials` at most, `parallel` of them at once. Several metrics (`direction` then one for each) give a Pareto front. Further settings:
    `sampler` ("tpe", "cmaes", "random", "grid", "qmc", "nsga2"); `pruner` ("none", "median", "percentile", "asha", "hyperband",
    "patience"), which ends a trial at a `fw.log(<metric>=…, step=…)` that promises too little; `seed`; `timeout` (no new trial after it);
    `warm_start` (trials known already: `[{"params": {…}, "values": [0.9]}]`); `name`.

    In a pipeline it gives the best trial's own outputs by their names, and `best_params`, `best_value`, `best_trial` (its number), `trials`
    (all, as a list of dicts). Elsewhere: a pipeline that does this, whose parameters are those that neither vary nor are given.
    """
    settings = {name: more.pop(name) for name in ("sampler", "pruner", "seed", "timeout", "warm_start") if name in more}
    name = more.pop("name", "")
    target = _as_target(what)
    try:
        search = make_search(space, metric, direction, trials=trials, parallel=parallel, **settings)
    except FairwayError as error:
        raise DefinitionError(error.message, hint=error.hint, where=error.where or caller()) from None
    given = {**(inputs or {}), **more}
    trace = current.get()
    if trace is None:
        return SearchPipeline(target, search, given, name)
    return add_search(trace, target, search, given, name)


class SearchPipeline(Pipeline):
    """A search by itself: `fw.run(fw.tune(train, space=…, metric="auc"), data="d.csv")`. Its outputs are what `fw.tune` gives."""

    def __init__(self, target: Pipeline | Step, search: Search, given: Mapping[str, Any], name: str = "") -> None:
        function: Any = target.function if isinstance(target, Pipeline) or target.__wrapped__ is not None else _no_function
        super().__init__(function, {"name": name or f"tune-{target.__name__}"})
        self.target, self.search, self.given = target, search, dict(given)
        self._group = name or "tune"

    def params(self) -> tuple[Param, ...]:
        """Those of the target that neither vary nor are given."""
        taken = {*self.search.space, *self.given}
        return tuple(param for param in _params_of(self.target) if param.name not in taken)

    def _call(self, given: Mapping[str, Any]) -> Any:
        trace = current.get()
        assert trace is not None
        found = add_search(trace, self.target, self.search, {**given, **self.given}, self._group, alone=True)
        if "result" in found.fw_outputs:  # nobody gave it a name
            found.fw_outputs = {"best": found.fw_outputs["result"], **{k: v for k, v in found.fw_outputs.items() if k != "result"}}
        return found


def _no_function() -> None:
    """Stands for the function of a program."""


def _as_target(what: Any) -> Pipeline | Step:
    if isinstance(what, SearchPipeline) or not isinstance(what, Pipeline | Step):
        shown = "a search" if isinstance(what, SearchPipeline) else repr(what)
        raise DefinitionError(
            f"fw.tune searches over a step or a pipeline, not {shown}", hint="decorate the function with @fw.step", where=caller()
        )
    return what


def _params_of(target: Pipeline | Step) -> tuple[Param, ...]:
    if isinstance(target, Pipeline):
        return target.params()
    found: list[Param] = []
    for port in target.definition().inputs:
        known = port.default is not None and port.default.kind == "const"
        if port.default is not None and not known:
            continue  # a default that is no JSON: the function has it itself
        found.append(Param(port.name, port.type, port.default.value if port.default else None, port.default is None, port.help))
    return tuple(found)


def as_step(target: Pipeline | Step) -> StepDef:
    """The trial as one step: a pipeline is a dynamic step that grows its graph."""
    if isinstance(target, Step):
        return target.definition()
    graph = target.trace()
    facts = Facts(graph)
    inputs = tuple(Port(p.name, p.type, None if p.required else Expr("const", value=p.default), p.help) for p in target.params())
    outputs = tuple(Port(name, facts.type(expr)) for name, expr in graph.outputs.items())
    return StepDef(
        target.name,
        kind="dynamic",
        module=public_module(target.function.__module__, target.function.__code__.co_filename),
        qualname=target.__qualname__,
        inputs=inputs,
        outputs=outputs,
        returns="dict" if outputs else "none",
        environment=target.environment,
        doc=graph.doc,
        where=graph.where,
    )


def add_search(
    trace: Trace, target: Pipeline | Step, search: Search, given: Mapping[str, Any], name: str = "", *, alone: bool = False
) -> Value:
    """The nodes of one search; what they give. `alone`: it is all that there is to the graph."""
    step, where = as_step(target), caller()
    _check_names(step, search, given, where)
    bound = bind(step.name, tuple(port for port in step.inputs if port.name not in search.space), (), dict(given), where)
    group = trace.unique_group(name or "tune")
    ports = {port.name: port for port in step.inputs}
    values = {key: trace.argument(argument, ports[key], step.name) for key, argument in bound.items()}
    outer = merge_axes([*trace.guard_axes, *(value.fw_axes for value in values.values())])
    axis = trace.add_axis(f"{group}.trial", Expr("const", value=list(range(search.trials))), where)
    axes = (*outer, axis)
    plain = to_plain(search)
    prefix = "".join(f"{one}." for one in trace.groups) + group + "."
    suggesting = trace.reserve(prefix + "suggest")
    trial = trace.reserve(prefix + step.name)
    best = trace.reserve(prefix + "best")
    fixed = {key: value.fw_expr for key, value in values.items() if value.fw_expr is not None}
    varied = {key: Expr("output", suggesting, key) for key in search.space}
    history = Expr("history", trial)
    pace = Pace(trial, search.parallel, _told(search) | ({"alone": True} if alone else {}))
    asked = {"history": history, "search": Expr("const", value=plain)}
    chosen = {"history": history, "search": Expr("const", value={key: plain[key] for key in ("metrics", "directions")})}
    add = trace.add_made
    add(suggesting, _suggest_step(step, search), asked, axes, group=group, pace=pace, where=where)
    add(trial, step, {**fixed, **varied}, axes, group=group, where=where)
    add(best, _best_step(step), chosen, outer, group=group, where=where)
    return _results(trace, step, trial, best, axis, outer)


def _results(trace: Trace, step: StepDef, trial: str, best: str, axis: str, outer: tuple[str, ...]) -> Value:
    nodes, text = (best,), f"the result of `fw.tune` over `{step.name}`"
    whole = Value(trace, None, "", outer, text)
    whole.fw_nodes, whole.fw_style = nodes, "dict"
    chosen = Expr("output", best, "best_trial")
    for port in step.outputs:
        expr = Expr("at", axis, args=(Expr("output", trial, port.name), chosen))
        whole.fw_outputs[port.name] = trace.value(expr, port.type, outer, f"`{port.name}` of the best trial", nodes)
    for key in _RESULTS:
        whole.fw_outputs[key] = trace.value(Expr("output", best, key), _TYPES[key], outer, f"`{key}` of `fw.tune`", nodes)
    return whole


def _told(search: Search) -> dict[str, Any]:
    """What the trials, and whoever reads the run, are told of the search."""
    told = {"metrics": list(search.metrics), "directions": list(search.directions), "space": search.space}
    told["sampler"] = {"kind": search.sampler["kind"]}
    return told | ({"pruner": search.pruner} if search.pruner else {})


def _suggest_step(step: StepDef, search: Search) -> StepDef:
    outputs = tuple(Port(name) for name in (*search.space, SUGGESTION, SAMPLER_STATE))
    module = {"cmaes": "suggestcmaes", "qmc": "suggestqmc"}.get(search.sampler["kind"], "suggesting")
    return _own_step(step, "suggest", f"fairway.train.tune.{module}", outputs, "dict")


def _best_step(step: StepDef) -> StepDef:
    return _own_step(step, "best", "fairway.train.tune.choosing", tuple(Port(name, _TYPES[name]) for name in _RESULTS), "dict")


def _own_step(step: StepDef, name: str, module: str, outputs: tuple[Port, ...], returns: str) -> StepDef:
    """A step of ours that runs where the trials run: Python steps bring their environment, image and place; programs none. On a cluster one
    warm worker takes suggestion after suggestion: a pod for each would take longer than most of them."""
    inputs = (Port("history"), Port("search"))
    made = StepDef(name, module=module, qualname=name, inputs=inputs, outputs=outputs, returns=returns, where=step.where, pool=Pool(1))
    if step.kind not in ("python", "dynamic"):
        return made
    return replace(made, environment=step.environment, image=step.image, placement=step.placement)


def _check_names(step: StepDef, search: Search, given: Mapping[str, Any], where: str) -> None:
    names = [port.name for port in step.inputs]
    for name in search.space:
        if name not in names:
            raise DefinitionError(
                f"space: `{step.name}` has no parameter `{name}`",
                hint=f"it takes {', '.join(names) or 'none'}.{suggest(name, names)}",
                where=where,
            )
        if name in given:
            raise DefinitionError(f"`{name}` is both in the space and given", hint="a parameter varies or is given, not both", where=where)
    outputs = [port.name for port in step.outputs]
    clash = next((name for name in outputs if name in _RESULTS), "")
    if clash:
        raise DefinitionError(
            f"`{step.name}` has an output `{clash}`, which is what fw.tune calls its own", hint="give it another name", where=where
        )
    for metric in search.metrics:
        if metric not in outputs and step.kind in ("command", "container"):
            raise DefinitionError(
                f"`{step.name}` has no output `{metric}`, and a program logs no metrics",
                hint=f"its outputs are {', '.join(outputs)}.{suggest(metric, outputs)}",
                where=where,
            )
        kind = next((port.type for port in step.outputs if port.name == metric), "")
        if types.without_none(kind) not in ("", "float", "int", "bool"):
            raise DefinitionError(f"the metric `{metric}` is a `{kind}`", hint="a metric is an output that is a number", where=where)


def find_search(graph: Graph) -> Search | None:
    """What was asked of a graph that is a search by itself; None for any other."""
    for node in graph.nodes:
        asked = node.inputs.get("search")
        if node.pace is not None and node.pace.told.get("alone") and asked is not None:
            return from_plain(Search, asked.value)
    return None


def as_recorded(found: Any, graph: Graph) -> Any:
    """What a run with this graph goes on with, given what its file holds now: a run of `fairway tune` is the same search over it again."""
    search = find_search(graph)
    if search is not None and isinstance(found, Pipeline | Step) and not isinstance(found, SearchPipeline):
        return SearchPipeline(found, search, {})
    if isinstance(found, Step):
        raise DefinitionError(f"`{found.__name__}` is a step, not a pipeline", hint="decorate a function that calls it with @fw.pipeline")
    return found
