"""Tracing: a pipeline function is called once with values that do not exist yet; the calls it makes become a Graph."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from fairway.dsl import types
from fairway.dsl.constants import is_plain, plain_constant, type_of_constant
from fairway.dsl.infer import merge_axes, operator_type
from fairway.dsl.order import sort_nodes
from fairway.dsl.settings import under
from fairway.dsl.source import caller, suggest
from fairway.dsl.value import Value
from fairway.errors import ConfigError, DefinitionError, NotFoundError
from fairway.spec.artifact import INLINE_LIMIT_BYTES, ArtifactRef
from fairway.spec.environment import Environment
from fairway.spec.graph import Axis, Expr, Graph, Guard, Node, Pace, Param, Port, StepDef
from fairway.spec.record import replace

current: ContextVar[Trace | None] = ContextVar("fairway_trace", default=None)
"""The trace that step calls add to; None outside of pipelines."""


class _Draft:
    """A node while `after` may still add to it."""

    __slots__ = ("after", "axes", "exit", "group", "guards", "id", "inputs", "pace", "step", "where")

    def __init__(self, id: str, step: str, where: str) -> None:
        self.id, self.step, self.where = id, step, where
        self.inputs: dict[str, Expr] = {}
        self.axes: tuple[str, ...] = ()
        self.guards: tuple[Guard, ...] = ()
        self.after: list[str] = []
        self.group = ""
        self.exit = False
        self.pace: Pace | None = None


class Trace:
    """One tracing of one pipeline (or of one dynamic step's body)."""

    def __init__(self, name: str, *, save: Callable[[Any], ArtifactRef] | None = None) -> None:
        self.name = name
        self.params: dict[str, Param] = {}
        self.steps: dict[str, StepDef] = {}
        self.drafts: dict[str, _Draft] = {}
        self.axes: dict[str, Axis] = {}
        self.guards: list[Guard] = []
        self.guard_axes: list[tuple[str, ...]] = []
        self.hidden: tuple[str, ...] = ()
        self.after: list[str] = []
        self.groups: list[str] = []
        self.last_when: list[Value | None] = [None]
        self.save = save
        self._counts: dict[str, int] = {}
        self._param_types: dict[str, str] = {}
        self._text_uses: dict[str, str] = {}

    # values --------------------------------------------------------------------------------------------------

    def value(self, expr: Expr, type: str = "", axes: tuple[str, ...] = (), text: str = "", nodes: Iterable[str] = ()) -> Value:
        made = Value(self, expr, type, axes, text)
        made.fw_nodes = tuple(dict.fromkeys(nodes))
        return made

    def add_param(self, param: Param) -> Value:
        self.params[param.name] = param
        return self.value(Expr("param", param.name), param.type, (), f"the parameter `{param.name}`")

    def constant(self, value: Any, what: str) -> Value:
        """A value made of a constant: JSON, or (in a dynamic step) anything that can be stored."""
        if self.save is not None and not is_plain(value, INLINE_LIMIT_BYTES):
            ref = self.save(value)
            return self.value(Expr("artifact", ref=ref), ref.type, (), "a stored value")
        return self.value(Expr("const", value=plain_constant(value, what)), type_of_constant(value), (), "a constant")

    def import_path(self, path: str, kind: str, digest: str = "") -> Value:
        """The file or folder that is at a path now, stored by content: in a dynamic step, which runs while the run does."""
        from fairway.step.types import Directory, File

        assert self.save is not None
        if not os.path.exists(path):
            raise NotFoundError(
                f"there is no {path}",
                hint="a dynamic step runs in a working folder of its own: give an absolute path, or take the file as an input",
                where=caller(),
            )
        ref = self.save(Directory(path) if kind == "fairway.Directory" else File(path))
        if digest and ref.digest != digest:
            raise ConfigError(f"{path} is {ref.digest}, not {digest}", hint="it is not what it was: restore it", where=caller())
        return self.value(Expr("artifact", kind, ref=ref), kind, (), f"the artifact {path}")

    def lift(self, value: Any, what: str = "this") -> Value:
        """Any argument as one Value: a traced one (checked), a list with traced ones in it, or a constant."""
        if isinstance(value, Value):
            return self._own(value, what)
        if isinstance(value, list | tuple) and _holds_values(value):
            items = [self.lift(item, what) for item in value]
            kinds = {item.fw_type for item in items}
            kind = types.list_of(kinds.pop() if len(kinds) == 1 else "")
            return self._combined(Expr("list", args=tuple(_expr(i) for i in items)), items, kind, "a list")
        if isinstance(value, dict) and _holds_values(value.values()):
            raise DefinitionError(
                f"{what} is a dict with values of steps in it",
                hint="pass them as separate arguments, or as a list",
                where=caller(),
            )
        if isinstance(value, Mapping | list | tuple) or not _is_definition(value):
            return self.constant(value, what)
        raise DefinitionError(f"{what} is {value!r} itself, not its result", hint="call it: write `name(...)`", where=caller())

    def _own(self, value: Value, what: str) -> Value:
        if value.fw_trace is not self:
            raise DefinitionError(
                f"{what} is {value.fw_text} of another pipeline or of an earlier trace",
                hint="pass it in as a parameter, or call that pipeline inside this one",
                where=caller(),
            )
        if len(value.fw_outputs) == 1:
            return next(iter(value.fw_outputs.values()))
        if value.fw_outputs:
            first = next(iter(value.fw_outputs))
            raise DefinitionError(
                f"{value.fw_text} has several outputs ({', '.join(value.fw_outputs)}) and cannot be passed whole",
                hint=f"pass one of them, for example `.{first}`",
                where=caller(),
            )
        if value.fw_expr is None:
            raise DefinitionError(
                f"{value.fw_text} has no output to pass on",
                hint="its function is annotated `-> None`; to only wait for it, write `.after(...)`",
                where=caller(),
            )
        return value

    def _combined(self, expr: Expr, parts: Sequence[Value], type: str, text: str) -> Value:
        axes = merge_axes(part.fw_axes for part in parts)
        return self.value(expr, type, axes, text, (node for part in parts for node in part.fw_nodes))

    def operate(self, name: str, args: Sequence[Any]) -> Value:
        """An operator on values."""
        parts = [self.lift(arg, f"an operand of `{name}`") for arg in args]
        for part in parts:
            if _expr(part).kind == "secret":
                raise DefinitionError("a secret cannot be compared or computed with", hint="pass it to a step as it is", where=caller())
            self._note_text_use(_expr(part), caller())
        kind = operator_type(name, [part.fw_type for part in parts])
        return self._combined(Expr("op", name, args=tuple(_expr(p) for p in parts)), parts, kind, f"the result of `{name}`")

    def either(self, values: Sequence[Any]) -> Value:
        parts = [self.lift(value, "an argument of fw.either") for value in values]
        kinds = {part.fw_type for part in parts}
        kind = kinds.pop() if len(kinds) == 1 else ""
        return self._combined(Expr("either", args=tuple(_expr(p) for p in parts)), parts, kind, "the result of fw.either")

    def collect(self, value: Any) -> Value:
        """All elements of a mapped value, as one flat list."""
        lifted = self.lift(value, "the argument of fw.collect")
        if not set(lifted.fw_axes) - set(self._outer()):
            raise DefinitionError(
                f"{lifted.fw_text} is not mapped here, so there is nothing to collect",
                hint="fw.collect(...) makes one list of what a step that was called with fw.each(...) returned",
                where=caller(),
            )
        return self._gather(lifted, 1)

    def _outer(self) -> tuple[str, ...]:
        """Axes that are never collected: those of mapped arguments of the nested pipeline, and of mapped conditions around."""
        return merge_axes([self.hidden, *self.guard_axes])

    def _gather(self, value: Value, levels: int) -> Value:
        """`levels` lists around a mapped value: the outermost axes give one level each, all others the innermost."""
        outer = self._outer()
        own = [axis for axis in value.fw_axes if axis not in outer]
        levels = min(levels, len(own))
        kept = tuple(axis for axis in value.fw_axes if axis in outer)
        expr, kind = _expr(value), value.fw_type
        for level in reversed(range(levels)):
            over = (*kept, *own[:level])
            expr, kind = Expr("collect", args=(expr,), over=over), types.list_of(kind)
        return self.value(expr, kind, kept, f"the list of {value.fw_text}", value.fw_nodes)

    # axes ----------------------------------------------------------------------------------------------------

    def each(self, sources: Sequence[Any], max_parallel: int, batch: int, on_error: str) -> list[Value]:
        """A new axis over lists of equal length; one item value per list."""
        parts = [self.lift(source, "the argument of fw.each") for source in sources]
        for part in parts:
            _check_mappable(part)
        outer = merge_axes(part.fw_axes for part in parts)
        base = _axis_word(_expr(parts[0]))
        id = _unique(base, self.axes)
        self.axes[id] = Axis(id, tuple(_expr(p) for p in parts), outer, max_parallel, batch, on_error, caller())
        nodes = [node for part in parts for node in part.fw_nodes]
        return [
            self.value(Expr("item", id, position=position), types.element(part.fw_type), (*outer, id), f"an item of {part.fw_text}", nodes)
            for position, part in enumerate(parts)
        ]

    # steps ---------------------------------------------------------------------------------------------------

    def add_step(self, step: StepDef, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Value:
        """A call of a step: one node."""
        where = caller()
        bound = bind(step.name, step.inputs, args, kwargs, where)
        if step.kind in ("command", "container"):  # a program has no defaults of its own
            bound |= {p.name: p.default.value for p in step.inputs if p.default is not None and p.name not in bound}
        key = self._step_key(step)
        prefix = "".join(f"{group}." for group in self.groups)
        draft = _Draft(self._node_id(prefix + step.name), key, where)
        ports = {port.name: port for port in step.inputs}
        axes: list[tuple[str, ...]] = list(self.guard_axes)
        for name, argument in bound.items():
            value = self.argument(argument, ports[name], step.name)
            draft.inputs[name] = _expr(value)
            axes.append(value.fw_axes)
        draft.axes = merge_axes(axes)
        draft.guards = tuple(self.guards)
        draft.after = list(dict.fromkeys(self.after))
        draft.group = "/".join(self.groups)
        self.drafts[draft.id] = draft
        return self._result(step, draft)

    def add_axis(self, base: str, source: Expr, where: str) -> str:
        """An axis that goes on with the items that did not fail; returns its id."""
        id = _unique(base, self.axes)
        self.axes[id] = Axis(id, (source,), on_error="keep", where=where)
        return id

    def reserve(self, base: str) -> str:
        """An id for a node that `add_made` will add."""
        id = self._node_id(base)
        self.drafts[id] = _Draft(id, "", "")
        return id

    def add_made(
        self, id: str, step: StepDef, inputs: dict[str, Expr], axes: tuple[str, ...], *, group: str, where: str, pace: Pace | None = None
    ) -> None:
        """A node whose inputs and axes are known already."""
        draft = self.drafts[id]
        draft.step, draft.where, draft.inputs, draft.axes, draft.pace = self._step_key(step), where, inputs, axes, pace
        draft.guards = tuple(self.guards)
        draft.after = list(dict.fromkeys(self.after))
        draft.group = "/".join([*self.groups, group])

    def _node_id(self, base: str) -> str:
        """A free id, without asking for all that are taken."""
        id = base
        while id in self.drafts:
            self._counts[base] = self._counts.get(base, 1) + 1
            id = f"{base}-{self._counts[base]}"
        return id

    def _step_key(self, step: StepDef) -> str:
        key, n = step.name, 1
        while key in self.steps and self.steps[key] is not step and self.steps[key] != step:
            n += 1
            key = f"{step.name}-{n}"
        self.steps[key] = step
        return key

    def _result(self, step: StepDef, draft: _Draft) -> Value:
        text = f"the result of `{step.name}`"
        one = step.returns == "one" and len(step.outputs) == 1
        outputs = {
            port.name: self.value(
                Expr("output", draft.id, port.name),
                port.type,
                draft.axes,
                text if one else f"`{port.name}` of `{step.name}`",
                (draft.id,),
            )
            for port in step.outputs
        }
        if one:
            return next(iter(outputs.values()))
        whole = Value(self, None, "", draft.axes, text)
        whole.fw_nodes, whole.fw_outputs, whole.fw_style = (draft.id,), outputs, step.returns
        return whole

    def argument(self, argument: Any, port: Port, step: str) -> Value:
        """An argument as the input wants it: collected if the input is a list of what is mapped."""
        value = self.lift(argument, f"`{port.name}` of `{step}`")
        depth = types.list_depth(port.type)
        if depth and set(value.fw_axes) - set(self._outer()):
            levels = depth - types.list_depth(value.fw_type)
            if levels > 0:
                value = self._gather(value, levels)
        elif depth and value.fw_axes and not types.fits(value.fw_type, port.type):
            raise DefinitionError(
                f"`{port.name}` of `{step}` takes a list, but here {value.fw_text} is one item:"
                " a mapped `fw.when` or nested pipeline is written for one item at a time",
                hint="call it outside the block to take all items, or pass `[value]` for a list of one",
                where=caller(),
            )
        wanted = types.file_type(port.type)
        if wanted in types.FILES and self.save is not None and isinstance(argument, str):
            value = self.import_path(argument, wanted)
        elif wanted:
            self._flow_file(_expr(value), wanted)
        elif port.type:
            self._note_text_use(_expr(value), f"{port.name} of {step}")
        return value

    def _note_text_use(self, expr: Expr, what: str) -> None:
        if expr.kind == "param":
            self._text_uses.setdefault(expr.name, what)

    def _flow_file(self, expr: Expr, wanted: str) -> None:
        """A parameter that ends in a File input is a File itself, so that its path is stored by digest when the run is submitted."""
        if expr.kind == "param":
            known = self.params[expr.name].type
            if known in ("", "str", "list", "list[str]", "pathlib.Path", "str | None") or types.file_type(known):
                self._param_types[expr.name] = wanted
        elif expr.kind == "item":
            axis = self.axes[expr.name]
            source = axis.sources[expr.position]
            if source.kind == "const" and isinstance(source.value, list):
                paths = tuple(Expr("artifact", wanted, value=p) if isinstance(p, str) else Expr("const", value=p) for p in source.value)
                sources = list(axis.sources)
                sources[expr.position] = Expr("list", args=paths)
                self.axes[expr.name] = replace(axis, sources=tuple(sources))
            else:
                self._flow_file(source, types.list_of(wanted))
        elif expr.kind in ("either", "list"):
            for arg in expr.args:
                self._flow_file(arg, wanted if expr.kind == "either" else types.element(wanted) or wanted)

    def add_after(self, value: Value, others: Iterable[Any]) -> None:
        """`value`'s nodes wait for all nodes that `others` come from."""
        awaited = self.nodes_of(others)
        if not value.fw_nodes:
            raise DefinitionError(
                f"{value.fw_text} is not made by a step, so it cannot wait", hint="write step(...).after(...)", where=caller()
            )
        for id in value.fw_nodes:
            self.drafts[id].after = list(dict.fromkeys([*self.drafts[id].after, *(n for n in awaited if n != id)]))
            if id in awaited and len(value.fw_nodes) == 1:
                raise DefinitionError(f"`{id}` cannot wait for itself", hint="name another step's result in `.after(...)`", where=caller())

    def nodes_of(self, values: Iterable[Any]) -> list[str]:
        nodes: list[str] = []
        for value in values:
            if isinstance(value, list | tuple):
                nodes += self.nodes_of(value)  # type: ignore[arg-type]
            elif isinstance(value, Value) and value.fw_trace is self and value.fw_nodes:
                nodes += value.fw_nodes
            else:
                raise DefinitionError("`after` takes results of steps", hint="write step_b(...).after(step_a_result)", where=caller())
        return list(dict.fromkeys(nodes))

    # the end -------------------------------------------------------------------------------------------------

    def output(self, name: str, value: Any) -> Expr:
        """A pipeline's own output: a mapped value becomes a list."""
        lifted = self.lift(value, f"the output `{name}`")
        if _expr(lifted).kind == "secret":
            raise DefinitionError("a secret cannot be an output", hint="outputs are stored with the run; secrets never are", where=caller())
        return _expr(self._gather(lifted, 1) if lifted.fw_axes else lifted)

    def finish(self, outputs: dict[str, Expr]) -> Graph:
        """The Graph of all that was called."""
        for name, kind in self._param_types.items():
            if name in self._text_uses and self.params[name].type == "str":
                raise DefinitionError(
                    f"the parameter `{name}` is used both as a file and as text ({self._text_uses[name]})",
                    hint=f"use two parameters: `{name}: fw.File` for the file, and another `str`",
                    where=self.drafts[next(iter(self.drafts))].where,
                )
            self.params[name] = replace(self.params[name], type=kind)
        nodes = [
            Node(d.id, d.step, d.inputs, d.axes, d.guards, tuple(d.after), d.group, d.exit, d.where, d.pace) for d in self.drafts.values()
        ]
        return Graph(
            self.name,
            params=tuple(self.params.values()),
            steps=self.steps,
            nodes=sort_nodes(nodes, self.axes),
            axes=self.axes,
            outputs=outputs,
        )

    def unique_group(self, name: str) -> str:
        """A name for a nested pipeline's call that no other call here has."""
        taken = {
            draft.group.split("/")[len(self.groups)]
            for draft in self.drafts.values()
            if draft.group.count("/") >= len(self.groups) and draft.group
        }
        return _unique(name, dict.fromkeys(taken))

    def apply_environment(self, nodes: Iterable[str], environment: Environment) -> None:
        """The environment of a nested pipeline, for its steps that have none of their own."""
        if environment == Environment():
            return
        for id in nodes:
            step = self.steps[self.drafts[id].step]
            self.drafts[id].step = self._step_key(replace(step, environment=under(step.environment, environment)))
        used = {draft.step for draft in self.drafts.values()}
        self.steps = {key: step for key, step in self.steps.items() if key in used}

    def mark_exit(self, value: Value, where: str) -> None:
        """The node runs when all others have ended. It was called by no line of the user's: `where` is the handler's own place."""
        for id in value.fw_nodes:
            self.drafts[id].exit = True
            self.drafts[id].where = where


def bind(name: str, ports: Sequence[Port], args: Sequence[Any], kwargs: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Arguments by input name, in the order in which they were written. Raises DefinitionError as Python would raise TypeError."""
    names = [port.name for port in ports]
    signature = f"{name}({', '.join(names)})"
    if len(args) > len(names):
        raise DefinitionError(f"`{name}` takes {len(names)} arguments, {len(args)} were given", hint=f"it is {signature}", where=where)
    bound = dict(zip(names, args, strict=False))
    for key, value in kwargs.items():
        if key not in names:
            raise DefinitionError(f"`{name}` has no parameter `{key}`", hint=f"it is {signature}.{suggest(key, names)}", where=where)
        if key in bound:
            raise DefinitionError(f"`{name}` got `{key}` twice", hint=f"it is {signature}", where=where)
        bound[key] = value
    missing = [port.name for port in ports if port.default is None and port.name not in bound]
    if missing:
        listed = ", ".join(f"`{m}`" for m in missing)
        raise DefinitionError(f"`{name}` is called without {listed}", hint=f"it is {signature}", where=where)
    return bound


def require(what: str) -> Trace:
    """The trace under way. Raises DefinitionError outside of a pipeline."""
    trace = current.get()
    if trace is None:
        raise DefinitionError(
            f"{what} has a meaning only inside a pipeline", hint="call it in a function decorated with @fw.pipeline", where=caller()
        )
    return trace


def _expr(value: Value) -> Expr:
    expr = value.fw_expr
    if expr is None:
        raise DefinitionError(f"{value.fw_text} is not one value", hint="pass one of its outputs", where=caller())
    return expr


def _holds_values(items: Iterable[Any]) -> bool:
    return any(isinstance(i, Value) or (isinstance(i, list | tuple) and _holds_values(i)) for i in items)  # type: ignore[arg-type]


def _is_definition(value: Any) -> bool:
    return hasattr(type(value), "fw_definition")


def _unique(base: str, taken: Mapping[str, Any]) -> str:
    id, n = base, 1
    while id in taken:
        n += 1
        id = f"{base}-{n}"
    return id


def _axis_word(source: Expr) -> str:
    """A readable id for an axis: the name of what it runs over."""
    if source.kind == "param":
        return source.name
    if source.kind == "output":
        return source.name if source.output == "result" else f"{source.name}.{source.output}"
    return "each"


def _check_mappable(part: Value) -> None:
    kind = types.without_none(part.fw_type)
    if part.fw_expr is not None and part.fw_expr.kind == "const":
        if not isinstance(part.fw_expr.value, list):
            hint = "write fw.each(range(n)) to count" if isinstance(part.fw_expr.value, int) else "give it a list"
            raise DefinitionError(f"fw.each takes lists, not {part.fw_expr.value!r}", hint=hint, where=caller())
    elif kind and "|" not in kind and types.split(kind)[0] not in ("list", "tuple"):
        hint = "it is mapped already: pass it as it is" if part.fw_axes else "let the step return a list, annotated `-> list[...]`"
        raise DefinitionError(f"fw.each takes lists, but {part.fw_text} is a `{kind}`", hint=hint, where=caller())
