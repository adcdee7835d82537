"""`fw.tune`: a hyperparameter search over a step or a whole pipeline, as a part of a pipeline or by itself.

In the graph a search is three nodes: `suggest` and the trials lie on one axis, `suggest` paced by the trials, so that each suggestion knows
how those before it went; `best` chooses among all of them when they have ended.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import FunctionType
from typing import Any

from fairway.dsl import types
from fairway.dsl.infer import Facts, merge_axes
from fairway.dsl.mainmodule import public_module
from fairway.dsl.pipeline import Pipeline
from fairway.dsl.search import Search, make_search
from fairway.dsl.source import caller, suggest
from fairway.dsl.space import SpaceError
from fairway.dsl.step import Step
from fairway.dsl.trace import Trace, bind, current
from fairway.dsl.value import Value
from fairway.errors import DefinitionError, FairwayError
from fairway.spec.graph import Expr, Graph, Pace, Param, Port, StepDef
from fairway.spec.placement import Pool
from fairway.spec.record import from_plain, replace, to_plain
from fairway.spec.study import SAMPLER_STATE, SEARCHED, SUGGESTION

_GROWING = "fairway.train.tune.growing"
_RESULTS = ("best_params", "best_value", "best_trial", "trials")
Target = Pipeline | Step | Graph
_TYPES = {"best_params": "dict", "best_value": "", "best_trial": "int", "trials": "list[dict]"}


def tune(
    what: Any,
    /,
    *,
    space: Mapping[str, Any],
    metric: str | list[str],
    direction: str | list[str] = "",
    trials: int = 50,
    parallel: int = 1,
    inputs: Mapping[str, Any] | None = None,
    **more: Any,
) -> Any:
    """Search for the parameters of a step, pipeline or graph that make `metric` best: an output's name, or one that `fw.log` is given.

    `space` says what varies (see `fairway.dsl.space`); what else the step or pipeline takes is given as ordinary arguments, or in `inputs`.
    `trials` at most, `parallel` of them at once. `direction` is "max" (if none is given; of a loss it must be) or "min". Several metrics
    (`direction` then one for each) give a Pareto front. Further settings:
    `sampler` ("tpe", "cmaes", "random", "grid", "qmc", "nsga2"); `pruner` ("none", "median", "percentile", "asha", "hyperband",
    "patience"), which ends a trial at a `fw.log(<metric>=…, step=…)` that promises too little; `seed`; `timeout` (no new trial after it);
    `max_failed` (the search is over when so many trials have failed and none was complete: 10);
    `warm_start` (trials known already: `[{"params": {…}, "values": [0.9]}]`); `name`.

    In a pipeline it gives the best trial's own outputs by their names, and `best_params`, `best_value`, `best_trial` (its number), `trials`
    (all, as a list of dicts). Elsewhere: a pipeline that does this, whose parameters are those that neither vary nor are given.
    """
    settings = {name: more.pop(name) for name in ("sampler", "pruner", "seed", "timeout", "max_failed", "warm_start") if name in more}
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

    def __init__(self, target: Target, search: Search, given: Mapping[str, Any], name: str = "") -> None:
        function: Any = None if isinstance(target, Graph) else target.__wrapped__
        super().__init__(function or _no_function(), {"name": name or f"tune-{_name_of(target)}"})
        self.target, self.search, self.given = target, search, dict(given)
        self._group = name or "tune"

    def _trace(self) -> Graph:
        graph = super()._trace()
        if self.function.__code__.co_filename:
            return graph
        return replace(graph, where=self.target.where if isinstance(self.target, Graph) else as_step(self.target).where)

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


def _no_function() -> FunctionType:
    """Stands for the function of a program or a graph: it is in no file, and never called."""
    return FunctionType((lambda: None).__code__.replace(co_filename="", co_name="nothing"), {"__name__": ""})


def _name_of(target: Target) -> str:
    return target.name if isinstance(target, Graph) else target.__name__


def _as_target(what: Any) -> Target:
    if isinstance(what, SearchPipeline) or not isinstance(what, Target) or (isinstance(what, Graph) and find_search(what)):
        shown = "a search" if isinstance(what, SearchPipeline | Graph) else repr(what)
        raise DefinitionError(
            f"fw.tune searches over a step or a pipeline, not {shown}", hint="decorate the function with @fw.step", where=caller()
        )
    return what


def _params_of(target: Target) -> tuple[Param, ...]:
    if isinstance(target, Graph):
        return target.params
    if isinstance(target, Pipeline):
        return target.params()
    found: list[Param] = []
    for port in target.definition().inputs:
        known = port.default is not None and port.default.kind == "const"
        if port.default is not None and not known:
            continue  # a default that is no JSON: the function has it itself
        found.append(Param(port.name, port.type, port.default.value if port.default else None, port.default is None, port.help))
    return tuple(found)


def as_step(target: Target) -> StepDef:
    """The trial as one step: a pipeline is a dynamic step that grows its graph, and so is a graph."""
    if isinstance(target, Step):
        return target.definition()
    graph = target if isinstance(target, Graph) else target.trace()
    facts = Facts(graph)
    params = _params_of(target)
    inputs = tuple(Port(p.name, p.type, None if p.required else Expr("const", value=p.default), p.help) for p in params)
    outputs = tuple(Port(name, facts.type(expr)) for name, expr in graph.outputs.items())
    made = StepDef(
        _name_of(target),
        kind="dynamic",
        module=_GROWING,
        qualname="grow",
        inputs=inputs,
        outputs=outputs,
        returns="dict" if outputs else "none",
        doc=graph.doc,
        where=graph.where,
    )
    if isinstance(target, Graph):
        every = list(graph.steps.values())
        return replace(made, environment=every[0].environment) if all(s.environment == every[0].environment for s in every) else made
    module = public_module(target.function.__module__, target.function.__code__.co_filename)
    return replace(made, module=module, qualname=target.__qualname__, environment=target.environment)


def add_search(trace: Trace, target: Target, search: Search, given: Mapping[str, Any], name: str = "", *, alone: bool = False) -> Value:
    """The nodes of one search; what they give. `alone`: it is all that there is to the graph."""
    step, where = as_step(target), caller()
    _check_names(step, search, given, where)
    bound = bind(step.name, tuple(port for port in step.inputs if port.name not in search.space), (), dict(given), where)
    _check_metrics(target, step, search, where)
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
    seen = {"history": Expr("history", trial, "rest"), "ended": Expr("history", trial, "ended")}
    asked = {**seen, "search": Expr("const", value=plain)}
    chosen = {"history": history, "search": Expr("const", value={key: plain[key] for key in ("metrics", "directions")})}
    add = trace.add_made
    add(suggesting, _suggest_step(step, search), asked, axes, group=group, pace=pace, where=where)
    tried = step
    if isinstance(target, Graph):
        tried = replace(step, inputs=(*step.inputs, Port(SEARCHED)))
        fixed[SEARCHED] = Expr("const", value=to_plain(target))
    add(trial, tried, {**fixed, **varied}, axes, group=group, where=where)
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
    inputs = (Port("history"), Port("ended", "paths"), Port("search"))
    module = {"cmaes": "suggestcmaes", "qmc": "suggestqmc"}.get(search.sampler["kind"], "suggesting")
    return replace(_own_step(step, "suggest", f"fairway.train.tune.{module}", outputs, "dict"), inputs=inputs)


def _best_step(step: StepDef) -> StepDef:
    return _own_step(step, "best", "fairway.train.tune.choosing", tuple(Port(name, _TYPES[name]) for name in _RESULTS), "dict")


def _own_step(step: StepDef, name: str, module: str, outputs: tuple[Port, ...], returns: str) -> StepDef:
    """A step of ours that runs where the trials run: Python steps bring their environment, image and place; programs none. (Where there is
    a better environment for it is found when the run is submitted.) On a cluster one warm worker takes suggestion after suggestion: a pod
    for each would take longer than most of them."""
    inputs = (Port("history"), Port("search"))
    made = StepDef(name, module=module, qualname=name, inputs=inputs, outputs=outputs, returns=returns, where=step.where, pool=Pool(1))
    if step.kind not in ("python", "dynamic"):
        return made
    return replace(made, environment=step.environment, image=step.image, placement=step.placement)


def _check_names(step: StepDef, search: Search, given: Mapping[str, Any], where: str) -> None:
    names = [port.name for port in step.inputs]
    for name in search.space:
        if name not in names:
            raise SpaceError(
                (name,),
                f"is no parameter of `{step.name}`",
                hint=f"it takes {', '.join(names) or 'none'}.{suggest(name, names)}",
                where=where,
            )
        _check_type(name, search.space[name], next(port.type for port in step.inputs if port.name == name), where)
        if name in given:
            raise DefinitionError(f"`{name}` is both in the space and given", hint="a parameter varies or is given, not both", where=where)
    outputs = [port.name for port in step.outputs]
    clash = next((name for name in outputs if name in _RESULTS), "")
    if clash:
        raise DefinitionError(
            f"`{step.name}` has an output `{clash}`, which is what fw.tune calls its own", hint="give it another name", where=where
        )


_FITS: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "str": (str,), "bool": (bool,)}


def _check_type(name: str, spec: Mapping[str, Any], kind: str, where: str) -> None:
    """Whatever the space has for a parameter is of the parameter's type, where that is a plain one."""
    bare = types.without_none(kind)
    if bare not in _FITS:
        return
    if "choices" not in spec:
        if bare in ("str", "bool") or (bare == "int" and spec["type"] == "float"):
            like = f'["int", {math.floor(spec["low"])}, {math.ceil(spec["high"])}]' if bare == "int" else "a list of choices"
            raise SpaceError((name,), f"is a range of {spec['type']}s, and takes a {bare}", hint=f"write {like}", where=where)
        return
    for choice in spec["choices"]:
        fits = isinstance(choice, _FITS[bare]) and (bare == "bool" or not isinstance(choice, bool))
        if not fits and not (choice is None and kind != bare):
            low, colon, high = str(choice).partition(":")
            range_ = f'a range is {name}={bare}:{low}:{high}, in a file ["{bare}", {low}, {high}]' if colon and bare != "str" else ""
            raise SpaceError(
                (name,), f"takes a {bare}, which {choice!r} is not", hint=range_ or f"name choices that are a {bare}", where=where
            )


def _check_metrics(target: Target, step: StepDef, search: Search, where: str) -> None:
    """Each is an output that is a number, or may be logged. Raises DefinitionError where one can be neither, as far as the code says."""
    outputs = [port.name for port in step.outputs]
    told = [metric for metric in search.metrics if metric not in outputs]
    logged = _find_logged(target) if told else None
    for metric in told:
        if step.kind in ("command", "container"):
            raise DefinitionError(
                f"`{step.name}` has no output `{metric}`, and a program logs no metrics",
                hint=f"its outputs are {', '.join(outputs)}.{suggest(metric, outputs)}",
                where=where,
            )
        if logged is not None and metric not in logged and not _may_log_elsewhere():
            names = [*outputs, *sorted(logged - {"step", *outputs})]
            hint = f"there are {', '.join(names)}.{suggest(metric, names)}" if names else "return it, or say it in the step"
            raise DefinitionError(
                f"nothing gives the metric `{metric}`: `{step.name}` has no such output, and no fw.log says it",
                hint=f"{hint} A step says it so: fw.log({metric}=…)",
                where=where,
            )
    for metric in search.metrics:
        kind = next((port.type for port in step.outputs if port.name == metric), "")
        if types.without_none(kind) not in ("", "float", "int", "bool"):
            raise DefinitionError(f"the metric `{metric}` is a `{kind}`", hint="a metric is an output that is a number", where=where)


def find_metrics(target: Target) -> list[str]:
    """Names that may be metrics of a search over the target, as far as its outputs' types and its code say."""
    outputs = [port.name for port in as_step(target).outputs if types.without_none(port.type) in ("float", "int", "bool")]
    return [*outputs, *sorted((_find_logged(target) or set()) - {"step", *outputs})]


def _find_logged(target: Target) -> set[str] | None:
    """Names that the code of the target may log; None if they may be any."""
    if isinstance(target, Graph):  # whose code is found when it runs
        return None
    from fairway.dsl.logged import find_logged

    function = target.__wrapped__
    return find_logged(target.__module__, function.__code__.co_filename) if function is not None else None


def _may_log_elsewhere() -> bool:
    from fairway.dsl.logged import may_log_for_others

    return may_log_for_others()


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
    if search is not None and isinstance(found, Target) and not isinstance(found, SearchPipeline):
        return SearchPipeline(found, search, {})
    if isinstance(found, Step):
        raise DefinitionError(f"`{found.__name__}` is a step, not a pipeline", hint="decorate a function that calls it with @fw.pipeline")
    return found
