"""What can be wrong with a Graph, whoever wrote it: one function for each rule, each yields its problems. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from fairway.dsl import ganglint, types
from fairway.dsl.infer import Facts
from fairway.dsl.order import find_cycle, sources
from fairway.dsl.source import suggest
from fairway.spec.graph import Axis, Expr, Graph, Node
from fairway.spec.record import Record, record

Serializable = Callable[[str], bool]

_KINDS = ("param", "output", "const", "artifact", "item", "collect", "either", "op", "secret", "run", "list", "at", "history")
_OPERATORS = {
    **dict.fromkeys(("<", "<=", ">", ">=", "==", "!=", "+", "-", "*", "/", "//", "%", "and", "or", "in"), 2),
    **dict.fromkeys(("not", "len"), 1),
}
_FACTS = ("id", "status", "error", "started_at")
_STEP_KINDS = ("python", "dynamic", "command", "container")
_PLAIN = frozenset({"", "int", "float", "str", "bool", "None", "list", "dict"})


@record
class Problem(Record):
    """One thing that is wrong: the rule's name, what, where ("file:line"), and what to do about it."""

    rule: str
    message: str
    hint: str = ""
    where: str = ""


def check(graph: Graph, serializable: Serializable, capabilities: Collection[str]) -> list[Problem]:
    """All problems of a graph, those first that others may follow from. [] if it can run."""
    found = [problem for rule in STRUCTURE for problem in rule(graph)]
    if found:
        return found
    facts = Facts(graph)
    found += [problem for rule in MEANING for problem in rule(facts)]
    found += check_serializable(graph, serializable)
    found += check_capabilities(graph, capabilities)
    return found


# structure: names that stand for something ------------------------------------------------------------------


def check_unique_ids(graph: Graph) -> Iterator[Problem]:
    """No two nodes, parameters or inputs of a step have one name."""
    seen: set[str] = set()
    for node in graph.nodes:
        if node.id in seen:
            yield Problem("unique-ids", f"two nodes are called `{node.id}`", "give one another id", node.where)
        seen.add(node.id)
    names = [param.name for param in graph.params]
    for name in {name for name in names if names.count(name) > 1}:
        yield Problem("unique-ids", f"two parameters are called `{name}`", "give one another name", graph.where)
    for step in graph.steps.values():
        for ports in (step.inputs, step.outputs):
            named = [port.name for port in ports]
            for name in {name for name in named if named.count(name) > 1}:
                yield Problem("unique-ids", f"the step `{step.name}` has two ports called `{name}`", "give one another name", step.where)


def check_steps_known(graph: Graph) -> Iterator[Problem]:
    """Every node's step is defined, and is of a kind that there is."""
    for node in graph.nodes:
        if node.step not in graph.steps:
            hint = f"the steps are {', '.join(graph.steps) or 'none'}.{suggest(node.step, list(graph.steps))}"
            yield Problem("steps-known", f"`{node.id}` calls the step `{node.step}`, which is not defined", hint, node.where)
    for step in graph.steps.values():
        if step.kind not in _STEP_KINDS:
            yield Problem(
                "steps-known", f"the step `{step.name}` is of kind `{step.kind}`", f"the kinds are {', '.join(_STEP_KINDS)}", step.where
            )


def check_references(graph: Graph) -> Iterator[Problem]:
    """Every value names a parameter, an output, an axis or a fact of the run that there is."""
    facts = Facts(graph)
    for where, owner, expr, at_exit in _all_values(graph):
        for part in _parts(expr):
            message, hint = _check_value(facts, part, at_exit)
            if message:
                yield Problem("references", f"{owner} {message}", hint, where)


def _check_value(facts: Facts, expr: Expr, at_exit: bool) -> tuple[str, str]:
    """What is wrong with one value, and the way out; ("", "") if nothing."""
    graph = facts.graph
    if expr.kind not in _KINDS:
        return f"has a value of the unknown kind `{expr.kind}`", f"the kinds are {', '.join(_KINDS)}"
    if expr.kind == "param" and expr.name not in facts.params:
        return f"uses the parameter `{expr.name}`, which the pipeline does not have", _known("parameters", expr.name, list(facts.params))
    if expr.kind == "output":
        node = facts.nodes.get(expr.name)
        if node is None:
            return f"uses the output of `{expr.name}`, which is not a node", _known("nodes", expr.name, list(facts.nodes))
        step = graph.steps.get(node.step)
        outputs = [port.name for port in step.outputs] if step else []
        if step and (expr.output or "result") not in outputs:
            return f"uses `{expr.output or 'result'}` of `{expr.name}`", _known("outputs", expr.output, outputs)
    if expr.kind == "item":
        axis = graph.axes.get(expr.name)
        if axis is None:
            return f"runs over the axis `{expr.name}`, which is not defined", _known("axes", expr.name, list(graph.axes))
        if not 0 <= expr.position < len(axis.sources):
            return f"takes list {expr.position} of the axis `{expr.name}`", f"it has {len(axis.sources)}, counted from 0"
    if expr.kind == "history" and not any(node.pace and node.pace.by == expr.name for node in graph.nodes):
        return f"uses the history of `{expr.name}`, by which no node is paced", "give a node a `pace` by it"
    if expr.kind == "at" and expr.name not in graph.axes:
        return f"chooses on the axis `{expr.name}`, which is not defined", _known("axes", expr.name, list(graph.axes))
    return _check_form(expr, at_exit)


def _check_form(expr: Expr, at_exit: bool) -> tuple[str, str]:
    """The same for what needs no look at the rest of the graph."""
    if expr.kind == "op" and len(expr.args) != _OPERATORS.get(expr.name, -1):
        wanted = f"`{expr.name}` takes {_OPERATORS[expr.name]}" if expr.name in _OPERATORS else f"the operators are {' '.join(_OPERATORS)}"
        return f"applies `{expr.name}` to {len(expr.args)} values", wanted
    if expr.kind == "collect" and len(expr.args) != 1:
        return f"collects {len(expr.args)} values", "collect takes one"
    if expr.kind == "at" and len(expr.args) != 2:
        return f"chooses with {len(expr.args)} values", "`at` takes two: what lies on the axis, and the index"
    if expr.kind == "either" and not expr.args:
        return "chooses between no values", "either takes at least one"
    if expr.kind == "run" and expr.name not in _FACTS:
        return f"uses the fact `{expr.name}` of the run", f"the facts are {', '.join(_FACTS)}"
    if expr.kind == "run" and expr.name in ("status", "error") and not at_exit:
        return f"uses the run's {expr.name}, which is known only at its end", "use it in an exit handler (on_exit=)"
    return "", ""


def _known(what: str, word: str, known: list[str]) -> str:
    return f"the {what} are {', '.join(known) or 'none'}.{suggest(word, known)}"


def check_axes(graph: Graph) -> Iterator[Problem]:
    """A node lies on all axes of what it takes, outer ones first; axes have sources and sensible settings."""
    facts = Facts(graph)
    for axis in graph.axes.values():
        yield from _check_axis(facts, axis)
    for node in graph.nodes:
        for id in node.axes:
            if id not in graph.axes:
                yield Problem(
                    "axes", f"`{node.id}` lies on the axis `{id}`, which is not defined", _known("axes", id, list(graph.axes)), node.where
                )
        for expr in (*node.inputs.values(), *(guard.expr for guard in node.guards)):
            for id in facts.axes(expr):
                if id not in node.axes:
                    yield Problem(
                        "axes", f"`{node.id}` takes a value mapped over `{id}` but is not itself", f"add `{id}` to its axes", node.where
                    )
        for position, id in enumerate(node.axes):
            for outer in graph.axes[id].axes if id in graph.axes else ():
                if outer not in node.axes[:position]:
                    yield Problem(
                        "axes", f"`{node.id}` lies on `{id}` before `{outer}`, inside of which it is", "put outer axes first", node.where
                    )


def _check_axis(facts: Facts, axis: Axis) -> Iterator[Problem]:
    if not axis.sources:
        yield Problem("axes", f"the axis `{axis.id}` runs over nothing", "give it at least one source", axis.where)
    if axis.batch < 1 or axis.max_parallel < 0 or axis.on_error not in ("fail", "keep"):
        hint = 'batch counts from 1, max_parallel from 0, on_error is "fail" or "keep"'
        yield Problem("axes", f"the axis `{axis.id}` has a setting that is not allowed", hint, axis.where)
    for source in axis.sources:
        for id in facts.axes(source):
            if id == axis.id or id not in axis.axes:
                yield Problem("axes", f"the axis `{axis.id}` runs over lists mapped over `{id}`", f"add `{id}` to its axes", axis.where)


def check_pace(graph: Graph) -> Iterator[Problem]:
    """A paced node lies on the same axes as the one by which it is paced, which takes something from it."""
    nodes = {node.id: node for node in graph.nodes}
    for node in graph.nodes:
        pace = node.pace
        if pace is None:
            continue
        by = nodes.get(pace.by)
        if by is None or by.id == node.id:
            yield Problem(
                "pace", f"`{node.id}` is paced by `{pace.by}`, which is no other node", _known("nodes", pace.by, list(nodes)), node.where
            )
        elif not node.axes or by.axes != node.axes:
            yield Problem(
                "pace", f"`{node.id}` and `{by.id}`, by which it is paced, are not on the same axes", "put both on one axis", node.where
            )
        elif not any(name == node.id for expr in by.inputs.values() for name in sources(expr, {})):
            yield Problem("pace", f"`{by.id}` takes nothing from `{node.id}`, which is paced by it", "pass an output of it on", node.where)
        if pace.ahead < 1:
            yield Problem("pace", f"`{node.id}` is paced with {pace.ahead} ahead", "`ahead` counts from 1", node.where)
        if any(graph.axes[axis].batch != 1 for axis in node.axes if axis in graph.axes):
            yield Problem("pace", f"`{node.id}` is paced and lies on an axis with batches", "remove `batch`", node.where)


def check_cycles(graph: Graph) -> Iterator[Problem]:
    """No node waits for itself; `after` names nodes that there are; exit handlers are waited for by none."""
    ids = {node.id: node for node in graph.nodes}
    for node in graph.nodes:
        for other in node.after:
            if other not in ids:
                yield Problem(
                    "cycles", f"`{node.id}` waits for `{other}`, which is not a node", _known("nodes", other, list(ids)), node.where
                )
            elif ids[other].exit:
                yield Problem("cycles", f"`{node.id}` waits for the exit handler `{other}`", "exit handlers run last", node.where)
    cycle = find_cycle(graph.nodes, graph.axes)
    if cycle:
        ring = " → ".join(f"`{node.id}`" for node in [*cycle, cycle[0]])
        yield Problem("cycles", f"steps wait for each other in a circle: {ring}", "remove one of the dependencies", cycle[0].where)


def check_arguments(graph: Graph) -> Iterator[Problem]:
    """Every required input is given; none is given that the step does not have."""
    for node in graph.nodes:
        step = graph.steps.get(node.step)
        if step is None:
            continue
        names = [port.name for port in step.inputs]
        for port in step.inputs:
            if port.default is None and port.name not in node.inputs:
                yield Problem("arguments", f"`{node.id}` is called without `{port.name}`", f"give it a value for `{port.name}`", node.where)
        for name in node.inputs:
            if name not in names:
                yield Problem(
                    "arguments",
                    f"`{node.id}` is given `{name}`, which `{step.name}` does not take",
                    _known("inputs", name, names),
                    node.where,
                )


# meaning -----------------------------------------------------------------------------------------------------


def check_types(facts: Facts) -> Iterator[Problem]:
    """What goes into an input is of the type that the input declares."""
    for node in facts.graph.nodes:
        step = facts.graph.steps[node.step]
        for port in step.inputs:
            expr = node.inputs.get(port.name)
            if expr is None or not port.type:
                continue
            have = facts.type(expr)
            if types.file_type(port.type) and _is_path(expr, facts):
                continue
            if step.kind in ("command", "container") and port.type == "fairway.File":
                continue  # a program is given a file with whatever was made
            if not types.fits(have, port.type):
                yield Problem(
                    "types", f"`{port.name}` of `{step.name}` takes `{port.type}`, not `{have}`", _way_out(have, port.type), node.where
                )


def _is_path(expr: Expr, facts: Facts) -> bool:
    """A text that stands for a file: written in the pipeline, or given by whoever runs it."""
    if expr.kind == "item":
        axis = facts.graph.axes[expr.name]
        return _is_path(axis.sources[expr.position], facts)
    return expr.kind in ("const", "param", "artifact") or bool(
        expr.kind in ("list", "either") and all(_is_path(arg, facts) for arg in expr.args)
    )


def _way_out(have: str, want: str) -> str:
    if types.file_type(want) and have in ("str", "pathlib.Path"):
        return "let the step that makes it return fw.File(path), annotated `-> fw.File`"
    if types.list_depth(want) > types.list_depth(have):
        return "pass `[value]` for a list of one, or map the step that makes it with fw.each(...)"
    if types.list_depth(have) > types.list_depth(want):
        return "write fw.each(value) to run the step for each item"
    return "change one of the two annotations, or put a step between that converts"


def check_importable(facts: Facts) -> Iterator[Problem]:
    """A step's function stands at the top level of a module, where the attempt's process can find it."""
    for step in facts.graph.steps.values():
        if step.kind in ("python", "dynamic"):
            if "<locals>" in step.qualname:
                hint = "move it to the top level of the file"
                yield Problem(
                    "importable", f"the step `{step.name}` is defined inside a function, where its process cannot find it", hint, step.where
                )
            elif not step.module or not step.qualname:
                yield Problem("importable", f"the step `{step.name}` names no function", "give it `module` and `qualname`", step.where)
        elif not step.argv:
            yield Problem("importable", f"the step `{step.name}` names no program", "give it `argv`", step.where)


def check_secrets(facts: Facts) -> Iterator[Problem]:
    """Secrets go straight into steps: they are not outputs, conditions, lists or operands."""
    for where, owner, expr, _ in _all_values(facts.graph, inputs=False):
        if any(part.kind == "secret" for part in _parts(expr)):
            yield Problem("secrets", f"{owner} uses a secret", "secrets can only be passed to steps", where)
    for node in facts.graph.nodes:
        for name, expr in node.inputs.items():
            if any(part.kind == "secret" for arg in expr.args for part in _parts(arg)):
                yield Problem(
                    "secrets", f"`{name}` of `{node.id}` combines a secret with something", "pass the secret by itself", node.where
                )


def check_outputs(facts: Facts) -> Iterator[Problem]:
    """A pipeline's outputs are single values."""
    for name, expr in facts.graph.outputs.items():
        axes = facts.axes(expr)
        if axes:
            yield Problem("outputs", f"the output `{name}` is mapped over {', '.join(axes)}", "collect it", facts.graph.where)


def check_gangs(facts: Facts) -> Iterator[Problem]:
    """Steps that are gangs can be: see `ganglint`."""
    if any(step.gang.replicas for step in facts.graph.steps.values()):
        for message, hint, where in ganglint.find_gang_problems(facts):
            yield Problem("gangs", message, hint, where)


def check_unused_params(facts: Facts) -> Iterator[Problem]:
    """A parameter that must be given is used."""
    used = {part.name for _, _, expr, _ in _all_values(facts.graph) for part in _parts(expr) if part.kind == "param"}
    for param in facts.graph.params:
        if param.required and param.name not in used:
            hint = "pass it to a step, give it a default, or remove it"
            yield Problem("unused-params", f"the parameter `{param.name}` is required but never used", hint, facts.graph.where)


def check_serializable(graph: Graph, serializable: Serializable) -> Iterator[Problem]:
    """What a step is annotated to return can be stored."""
    seen: dict[str, bool] = {}
    for step in graph.steps.values():
        for port in step.outputs:
            if port.type in _PLAIN:
                continue
            if port.type not in seen:
                seen[port.type] = step.trust or serializable(port.type)
            if not seen[port.type]:
                named = "its result" if port.name == "result" else f"`{port.name}`"
                hint = (
                    "return a type that has a serializer (a table, a model, a fw.File, JSON), or register one under `fairway.serializers`"
                )
                yield Problem("serializable", f"`{step.name}` returns {named} as `{port.type}`, which has no stored form", hint, step.where)


def check_capabilities(graph: Graph, capabilities: Collection[str]) -> Iterator[Problem]:
    """The target can do what the steps ask for."""
    have = {capability.lower() for capability in capabilities}
    for step in graph.steps.values():
        if step.kind == "container" and not have & {"image", "container"}:
            hint = "install a container engine, run it on a target that has one, or use fw.command with the program installed here"
            yield Problem("capabilities", f"the step `{step.name}` needs a container engine, which this target lacks", hint, step.where)
    for message, hint, where in ganglint.find_missing_capability(graph, have):
        yield Problem("capabilities", message, hint, where)


STRUCTURE = (check_unique_ids, check_steps_known, check_references, check_axes, check_arguments, check_pace, check_cycles)
MEANING = (check_types, check_importable, check_secrets, check_outputs, check_gangs, check_unused_params)


# walking -----------------------------------------------------------------------------------------------------


def _parts(expr: Expr) -> Iterator[Expr]:
    yield expr
    for arg in expr.args:
        yield from _parts(arg)


def _all_values(graph: Graph, *, inputs: bool = True) -> Iterator[tuple[str, str, Expr, bool]]:
    """(where, owner in words, value, whether it belongs to an exit handler) for every value in the graph."""
    for node in graph.nodes:
        for name, expr in node.inputs.items() if inputs else ():
            yield node.where, f"`{name}` of `{node.id}`", expr, node.exit
        for guard in node.guards:
            yield node.where, f"a condition of `{node.id}`", guard.expr, node.exit
    for axis in graph.axes.values():
        for source in axis.sources:
            yield axis.where or _first_use(graph.nodes, axis.id), f"the axis `{axis.id}`", source, False
    for name, expr in graph.outputs.items():
        yield graph.where, f"the output `{name}`", expr, False


def _first_use(nodes: tuple[Node, ...], axis: str) -> str:
    return next((node.where for node in nodes if axis in node.axes), "")
