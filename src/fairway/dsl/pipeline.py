"""Pipelines: functions that are traced once into a Graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any, overload

from fairway.dsl import types
from fairway.dsl.constants import plain_constant
from fairway.dsl.docs import parameter_help, summary
from fairway.dsl.infer import merge_axes
from fairway.dsl.settings import as_environment, under
from fairway.dsl.source import blame, caller, place, suggest
from fairway.dsl.step import Step, check_function, parameters
from fairway.dsl.trace import Trace, bind, current
from fairway.dsl.value import Value
from fairway.errors import DefinitionError, FairwayError
from fairway.spec.artifact import ArtifactRef
from fairway.spec.environment import Environment
from fairway.spec.graph import Expr, Graph, Param, Port
from fairway.spec.record import replace
from fairway.spec.resources import parse_duration

_SETTINGS = ("name", "timeout", "on_exit", "env", "max_parallel")
_RUN_FACTS = {"status": "str", "error": "str", "run": "str", "id": "str", "started_at": "float"}


class Pipeline:
    """One pipeline. `trace()` makes its Graph; inside another pipeline, calling it puts its steps there."""

    fw_definition = True

    def __init__(self, function: FunctionType, settings: Mapping[str, Any]) -> None:
        self.function = function
        self.name: str = settings.get("name") or function.__name__
        self.__name__ = self.name
        self.__doc__ = function.__doc__
        self.__module__ = function.__module__
        self.__qualname__ = function.__qualname__
        self.__wrapped__ = function
        self.on_exit: Sequence[Step] = settings.get("on_exit", ())
        self.environment: Environment = settings.get("env", Environment())
        self.timeout_s: float = settings.get("timeout", 0.0)
        self.max_parallel: int = settings.get("max_parallel", 0)
        self._graph: Graph | None = None

    @property
    def graph(self) -> Graph:
        """The pipeline as data."""
        return self.trace()

    def trace(self) -> Graph:
        """The pipeline as data; made once. Raises DefinitionError with file and line for what cannot run."""
        if self._graph is None:
            self._graph = self._trace()
        return self._graph

    def _repr_html_(self) -> str:
        """What a notebook shows: name, docstring, parameters and the graph. Raises DefinitionError as `trace` does."""
        from html import escape

        from fairway.dsl.picture import render_svg

        graph = self.trace()
        given = ", ".join(f"{p.name}: {p.type}" + ("" if p.required else f" = {p.default!r}") for p in graph.params)
        return f"<b>{escape(self.name)}</b> <code>({escape(given)})</code><p>{escape(graph.doc)}</p>{render_svg(graph)}"

    def params(self) -> tuple[Param, ...]:
        """The pipeline's parameters, as its signature and docstring tell."""
        hints = types.hints_of(self.function, {})
        helps = parameter_help(self.__doc__ or "")
        found: list[Param] = []
        for name, (has_default, default) in parameters(self.function).items():
            hint, text = types.with_help(hints.get(name, Any))
            if has_default:
                try:
                    default = plain_constant(default, f"the default of `{name}`")
                except DefinitionError as error:
                    raise DefinitionError(
                        error.message, hint="use None and make the value in a step", where=place(self.function.__code__)
                    ) from None
            kind, choices = types.choices_of(hint)
            found.append(Param(name, kind, default, not has_default, text or helps.get(name, ""), choices))
        return tuple(found)

    def _trace(self) -> Graph:
        trace = Trace(self.name)
        token = current.set(trace)
        try:
            given = {param.name: trace.add_param(param) for param in self.params()}
            returned = self._call(given)
            outputs = _outputs(trace, returned)
            for handler in self.on_exit:
                _add_exit(trace, handler, given)
            graph = trace.finish(outputs)
        finally:
            current.reset(token)
        steps = {key: replace(step, environment=under(step.environment, self.environment)) for key, step in graph.steps.items()}
        return replace(
            graph,
            steps=steps,
            timeout_s=self.timeout_s,
            max_parallel=self.max_parallel,
            doc=summary(self.__doc__ or ""),
            where=place(self.function.__code__),
        )

    def _call(self, given: Mapping[str, Any]) -> Any:
        """What the body returns. Raises DefinitionError with the user's line for whatever goes wrong in it."""
        try:
            return self.function(**given)
        except FairwayError:
            raise
        except Exception as error:
            message, hint = f"{type(error).__name__}: {error}", f"the body of `{self.name}` runs to tell which steps there are; mend it"
            if isinstance(error, TypeError) and "Value" in str(error):
                message = f"{message}; here Value is a value that does not exist yet: a pipeline is traced before anything runs"
                hint = "do this inside a step, which is given the real value"
            raise DefinitionError(message, hint=hint, where=blame(error)) from error

    def expand(
        self,
        kwargs: Mapping[str, Any],
        save: Callable[[Any], ArtifactRef] | None = None,
        environment: Environment | None = None,
    ) -> Graph:
        """The graph of this pipeline with these values for its parameters: of a trial of a search, which is the whole pipeline once.

        `save` stores values that are not small JSON; `environment` is the outer default.
        """
        trace = Trace(self.name, save=save)
        token = current.set(trace)
        try:
            given = {p.name: trace.lift(kwargs.get(p.name, p.default), f"the parameter `{p.name}`") for p in self.params()}
            graph = trace.finish(_outputs(trace, self._call(given)))
        finally:
            current.reset(token)
        outer = under(self.environment, environment) if environment is not None else self.environment
        steps = {key: replace(step, environment=under(step.environment, outer)) for key, step in graph.steps.items()}
        return replace(graph, steps=steps, doc=summary(self.__doc__ or ""), where=place(self.function.__code__))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        trace = current.get()
        if trace is None:
            raise DefinitionError(
                f"`{self.name}` is a pipeline and is not called like a function",
                hint=f"run it: `fw.run({self.__qualname__}, ...)`, or `fairway run` on the command line",
                where=caller(),
            )
        return self._inline(trace, args, kwargs)

    def _inline(self, trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """The body's steps as nodes of the outer pipeline, named "<this pipeline>.<step>"."""
        if len(trace.groups) >= 50:
            raise DefinitionError(
                f"`{self.name}` calls itself without end", hint="recursion needs real values: use @fw.dynamic", where=caller()
            )
        params = self.params()
        ports = tuple(Port(p.name, p.type, None if p.required else Expr("const", value=p.default)) for p in params)
        bound = bind(self.name, ports, args, kwargs, caller())
        given: dict[str, Any] = {}
        for port in ports:
            if port.name in bound:
                given[port.name] = trace.argument(bound[port.name], port, self.name)
            else:
                given[port.name] = trace.lift(port.default.value if port.default else None)
        hidden, known = trace.hidden, set(trace.drafts)
        trace.hidden = merge_axes([hidden, *(value.fw_axes for value in given.values())])
        trace.groups.append(trace.unique_group(self.name))
        trace.last_when.append(None)
        try:
            returned = self._call(given)
        finally:
            trace.hidden = hidden
            trace.groups.pop()
            trace.last_when.pop()
        made = [id for id in trace.drafts if id not in known]
        trace.apply_environment(made, self.environment)
        return _returned(trace, returned, made, self.name)

    def __repr__(self) -> str:
        return f"<pipeline {self.name}>"


@overload
def pipeline(function: Callable[..., Any], /) -> Pipeline: ...
@overload
def pipeline(**settings: Any) -> Callable[[Callable[..., Any]], Pipeline]: ...
def pipeline(function: Callable[..., Any] | None = None, /, **settings: Any) -> Any:
    """Make a function a pipeline. Settings: name, timeout (of the whole run), on_exit (a step, or several), env, max_parallel.

    Inside another pipeline only `name` and `env` count: a run has one timeout, one limit and the exit handlers of the pipeline that is run.
    """
    checked = _checked(settings)

    def make(function: Any) -> Pipeline:
        return Pipeline(check_function(function, "@fw.pipeline"), checked)

    return make if function is None else make(function)


def _checked(settings: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in settings.items():
        if name not in _SETTINGS:
            hint = f"the settings are {', '.join(_SETTINGS)}.{suggest(name, list(_SETTINGS))}"
            raise DefinitionError(f"@fw.pipeline has no setting `{name}`", hint=hint, where=caller())
        try:
            if name == "timeout":
                value = parse_duration(value)
            elif name == "env":
                value = as_environment(value)
            elif name == "on_exit":
                value = tuple(value) if isinstance(value, list | tuple) else (value,)
                if not all(isinstance(handler, Step) for handler in value):
                    raise DefinitionError("on_exit takes a step", hint="decorate the handler with @fw.step")
            elif name == "max_parallel" and (type(value) is not int or value < 0):
                raise DefinitionError(f"max_parallel must be a whole number from 0: {value!r}", hint="0 means no limit")
        except DefinitionError as error:
            raise DefinitionError(error.message, hint=error.hint, where=error.where or caller()) from None
        fields[name] = value
    return fields


def _outputs(trace: Trace, returned: Any) -> dict[str, Expr]:
    """The pipeline's outputs by name, from what its function returned."""
    if returned is None:
        return {}
    if isinstance(returned, Value):
        if returned.fw_outputs:
            return {name: trace.output(name, value) for name, value in returned.fw_outputs.items()}
        if returned.fw_expr is None:
            return {}
        name = returned.fw_expr.output if returned.fw_expr.kind == "output" else ""
        return {name or "result": trace.output(name or "result", returned)}
    named = _named(returned)
    if named is not None:
        if not all(isinstance(name, str) and name.isidentifier() for name in named):
            raise DefinitionError(
                "the pipeline's outputs have names that are not plain words", hint='write return {"model": model}', where=trace.name
            )
        return {name: trace.output(name, value) for name, value in named.items()}
    if isinstance(returned, list | tuple) and any(isinstance(item, Value) for item in returned):  # type: ignore[misc]
        raise DefinitionError(
            f"the pipeline `{trace.name}` returns values without names", hint='name them: return {"model": model, "auc": auc}'
        )
    return {"result": trace.output("result", returned)}


def _named(returned: Any) -> Mapping[str, Any] | None:
    if isinstance(returned, Mapping):
        return returned  # type: ignore[return-value]
    if isinstance(returned, tuple) and hasattr(returned, "_fields"):
        return {name: getattr(returned, name) for name in returned._fields}  # type: ignore[attr-defined]
    if "__dataclass_fields__" in vars(type(returned)):
        return {name: getattr(returned, name) for name in vars(type(returned))["__dataclass_fields__"]}
    return None


def _returned(trace: Trace, returned: Any, made: Sequence[str], name: str) -> Any:
    """What a nested call gives: the body's values; `.after` on it speaks of all steps inside."""
    if isinstance(returned, Value):
        copy = Value(trace, returned.fw_expr, returned.fw_type, returned.fw_axes, returned.fw_text)
        copy.fw_outputs, copy.fw_style = returned.fw_outputs, returned.fw_style
        copy.fw_nodes = tuple(dict.fromkeys([*returned.fw_nodes, *made]))
        return copy
    whole = Value(trace, None, "", (), f"the result of `{name}`")
    whole.fw_nodes = tuple(made)
    if returned is None:
        return whole
    named = _named(returned)
    if named is None:
        return returned
    whole.fw_style = "dict" if isinstance(returned, Mapping) else "namedtuple"
    for key, value in named.items():
        whole.fw_outputs[key] = value if isinstance(value, Value) else trace.lift(value)
    return whole


def _add_exit(trace: Trace, handler: Step, params: Mapping[str, Value]) -> None:
    """An exit handler's node: it gets the run's status, error, id by the names of its parameters, and pipeline parameters by theirs."""
    definition = replace(handler.definition(), cache=False)
    kwargs: dict[str, Any] = {}
    for port in definition.inputs:
        if port.name in params:
            kwargs[port.name] = params[port.name]
        elif port.name in _RUN_FACTS:
            fact = "id" if port.name == "run" else port.name
            kwargs[port.name] = trace.value(Expr("run", fact), _RUN_FACTS[port.name], (), f"the run's {fact}")
        elif port.default is None:
            raise DefinitionError(
                f"the exit handler `{definition.name}` takes `{port.name}`, which nothing gives it",
                hint=f"it can take {', '.join(_RUN_FACTS)} and the pipeline's parameters",
                where=definition.where,
            )
    trace.mark_exit(trace.add_step(definition, (), kwargs), definition.where)
