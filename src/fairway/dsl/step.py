"""Steps: a function, a command or a container, with what is known about it.

Calling one in a pipeline makes a node; elsewhere it calls the function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any, overload

from fairway.dsl import types
from fairway.dsl.constants import plain_constant
from fairway.dsl.mainmodule import public_module
from fairway.dsl.settings import checked, under, with_settings
from fairway.dsl.source import caller, find_user_frame, place
from fairway.dsl.trace import Trace, current
from fairway.dsl.value import Value
from fairway.errors import DefinitionError
from fairway.spec.artifact import ArtifactRef
from fairway.spec.environment import Environment
from fairway.spec.graph import Expr, Graph, Port, StepDef
from fairway.spec.record import replace

_VARARGS, _VARKEYWORDS, _GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x04, 0x08, 0x20, 0x80, 0x200


class Step:
    """One step. `function` is the plain function (None for commands and containers)."""

    fw_definition = True

    def __init__(
        self, function: Callable[..., Any] | None, base: StepDef | None, settings: Mapping[str, Any], local: Mapping[str, Any]
    ) -> None:
        self._function = function
        self._base = base
        self._settings = dict(settings)
        self._local = local
        self._definition: StepDef | None = None
        self.__name__: str = settings.get("name") or (function.__name__ if function else base.name if base else "step")
        self.__doc__ = function.__doc__ if function else None
        self.__module__ = (function.__module__ if function else None) or ""
        self.__qualname__ = function.__qualname__ if function else self.__name__
        self.__wrapped__ = function

    @property
    def function(self) -> Callable[..., Any]:
        """The plain function. Raises DefinitionError for a command or container step, which has none."""
        if self._function is None:
            raise DefinitionError(f"`{self.__name__}` is a program, not a function", hint="run it in a pipeline")
        return self._function

    def definition(self) -> StepDef:
        """The step as data. Raises DefinitionError for a signature that cannot be a step's."""
        if self._definition is None:
            base = self._base
            if base is None or (not base.inputs and base.kind == "dynamic"):
                base = _define(self.function, base.kind if base else "python", self._local)
            self._definition = with_settings(base, self._settings)
        return self._definition

    def options(self, **settings: Any) -> Step:
        """The same step with other settings: `train.options(cpu=4, cache=False)(data)`."""
        new = checked(settings, f"`{self.__name__}.options`")
        merged = {**self._settings, **new}
        for part in ("resources", "placement"):
            if part in self._settings and part in new:
                merged[part] = {**self._settings[part], **new[part]}
        if "retry" in new and "retries" not in new:
            merged.pop("retries", None)
        return Step(self._function, self._base, merged, self._local)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        trace = current.get()
        if trace is not None:
            return trace.add_step(self.definition(), args, kwargs)
        if self._function is None:
            raise DefinitionError(
                f"`{self.__name__}` is a program and runs only in a pipeline",
                hint="call it in a function decorated with @fw.pipeline and run that",
                where=caller(),
            )
        return self._function(*args, **kwargs)

    def expand(
        self,
        kwargs: Mapping[str, Any],
        save: Callable[[Any], ArtifactRef] | None = None,
        environment: Environment | None = None,
    ) -> Graph:
        """The graph that a dynamic step makes of real values.

        `save` stores constants that are not small JSON; `environment` is the outer default.
        """
        definition = self.definition()
        trace = Trace(definition.name, save=save)
        token = current.set(trace)
        try:
            returned = self.function(**kwargs)
            outputs = _dynamic_outputs(trace, definition, returned)
            graph = trace.finish(outputs)
        finally:
            current.reset(token)
        if environment is not None:
            steps = {key: replace(step, environment=under(step.environment, environment)) for key, step in graph.steps.items()}
            graph = replace(graph, steps=steps)
        return replace(graph, doc=definition.doc, where=definition.where)

    def __repr__(self) -> str:
        return f"<step {self.__name__}>"


@overload
def step(function: Callable[..., Any], /) -> Step: ...
@overload
def step(**settings: Any) -> Callable[[Callable[..., Any]], Step]: ...
def step(function: Callable[..., Any] | None = None, /, **settings: Any) -> Any:
    """Make a function a step.

    Settings: name, cpu, memory, disk, accelerator, accelerator_type, topology, shared_memory, retries, retry, timeout, cache, env, trust,
    image, secrets; and where a cluster runs it: pool, place, queue, spot.
    """
    return _decorate(function, "python", settings, "@fw.step")


@overload
def dynamic(function: Callable[..., Any], /) -> Step: ...
@overload
def dynamic(**settings: Any) -> Callable[[Callable[..., Any]], Step]: ...
def dynamic(function: Callable[..., Any] | None = None, /, **settings: Any) -> Any:
    """Make a function a dynamic step: its body sees real values and calls steps, so that loops and recursion are plain Python."""
    return _decorate(function, "dynamic", settings, "@fw.dynamic")


def _decorate(function: Any, kind: str, settings: Mapping[str, Any], what: str) -> Any:
    fields = checked(settings, what)
    frame = find_user_frame()
    local = dict(frame.f_locals) if frame is not None and frame.f_locals is not frame.f_globals else {}

    def make(function: Any) -> Step:
        check_function(function, what)
        base = StepDef(function.__name__, kind="dynamic") if kind == "dynamic" else None
        return Step(function, base, fields, local)

    return make if function is None else make(function)


def check_function(function: Any, what: str) -> FunctionType:
    """The function itself. Raises DefinitionError for what is not a plain function."""
    if not isinstance(function, FunctionType):
        named = f"`{function.__name__}`" if hasattr(function, "__name__") else repr(function)
        hint = "write a small function that calls it, and decorate that"
        if hasattr(type(function), "fw_definition"):
            hint = "one decorator is enough"
        raise DefinitionError(f"{what} takes a function, not {named}", hint=hint, where=caller())
    code = function.__code__
    if code.co_flags & (_GENERATOR | _COROUTINE | _ASYNC_GENERATOR):
        kind = "a generator" if code.co_flags & _GENERATOR else "async"
        hint = "return a list" if code.co_flags & _GENERATOR else "make it a plain function; call asyncio.run(...) inside it"
        raise DefinitionError(f"`{function.__name__}` is {kind}; {what} takes plain functions", hint=hint, where=place(code))
    if function.__name__ == "<lambda>":
        raise DefinitionError(f"{what} takes named functions, not a lambda", hint="write `def name(...):`", where=place(code))
    if code.co_flags & (_VARARGS | _VARKEYWORDS) or code.co_posonlyargcount:
        stars = "positional-only parameters" if code.co_posonlyargcount else "*args or **kwargs"
        raise DefinitionError(
            f"`{function.__name__}` has {stars}, but inputs are passed by name", hint="name every parameter", where=place(code)
        )
    return function


def parameters(function: FunctionType) -> dict[str, tuple[bool, Any]]:
    """Parameter names in order; each with whether it has a default, and the default."""
    code = function.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    found: dict[str, tuple[bool, Any]] = dict.fromkeys(names, (False, None))
    defaults = function.__defaults__ or ()
    for name, value in zip(names[code.co_argcount - len(defaults) : code.co_argcount], defaults, strict=True):
        found[name] = (True, value)
    for name, value in (function.__kwdefaults__ or {}).items():
        found[name] = (True, value)
    return found


def _define(function: Any, kind: str, local: Mapping[str, Any]) -> StepDef:
    hints = types.hints_of(function, local)
    doc = function.__doc__ or ""
    ports: list[Port] = []
    for name, (has_default, default) in parameters(function).items():
        ports.append(Port(name, types.type_name(hints.get(name, Any)), default_of(default) if has_default else None))
    try:
        returns, outputs = types.outputs_of(hints.get("return"), "return" not in hints, function.__globals__, local)
    except DefinitionError as error:
        raise DefinitionError(f"`{function.__name__}`: {error.message}", hint=error.hint, where=place(function.__code__)) from None
    return StepDef(
        function.__name__,
        kind=kind,
        module=public_module(function.__module__, function.__code__.co_filename),
        qualname=function.__qualname__,
        inputs=tuple(ports),
        outputs=outputs,
        returns=returns,
        doc=_first_paragraph(doc),
        where=place(function.__code__),
    )


def default_of(value: Any) -> Expr:
    """A function's own default as an Expr; kind "default" where JSON cannot hold it (then the input is simply not passed)."""
    if isinstance(value, tuple | set | frozenset) or hasattr(type(value), "__members__"):
        return Expr("default")
    try:
        return Expr("const", value=plain_constant(value, "the default"))
    except DefinitionError:
        return Expr("default")


def _first_paragraph(doc: str) -> str:
    return "\n".join(line.strip() for line in doc.strip().split("\n\n")[0].splitlines())


def _dynamic_outputs(trace: Trace, definition: StepDef, returned: Any) -> dict[str, Expr]:
    """The outputs a dynamic step declares, from what its body returned."""
    names = [port.name for port in definition.outputs]
    if definition.returns == "none":
        return {}
    if definition.returns == "one":
        return {names[0]: trace.output(names[0], returned)}
    found: Mapping[str, Any]
    if isinstance(returned, Value) and returned.fw_outputs:
        found = returned.fw_outputs
    elif isinstance(returned, Mapping):
        found = returned  # type: ignore[assignment]
    else:
        found = {name: getattr(returned, name) for name in names if not isinstance(returned, Value) and hasattr(returned, name)}
    missing = [name for name in names if name not in found]
    if missing:
        raise DefinitionError(
            f"`{definition.name}` returned no `{missing[0]}`",
            hint=f"its annotation promises {', '.join(names)}",
            where=definition.where,
        )
    return {name: trace.output(name, found[name]) for name in names}
