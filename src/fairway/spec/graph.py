"""The Graph: what a pipeline is, as data. Written by tracing, by hand in YAML, or by a dynamic step.

How values, maps and conditions work
------------------------------------
Every value is an `Expr`. A node is one call of a step. `fw.each(list)` makes an `Axis`; a node whose inputs lie on axes
runs once for each index of them (row-major, outermost axis first). A value made by such a node lies on the same axes; passing it on
maps on. An `Expr("collect")` gathers all elements of its argument's axes beyond those in `over` into one flat list, in order.
An axis may lie on other axes (its source is itself mapped): then its length may differ for each of their indices.
Guards say when a node runs: all guards must hold, else its tasks are skipped; a task whose input was skipped is
skipped too, except through `either`, which takes its first argument that was not skipped, and `collect`, which leaves skipped elements out.
A node with a `pace` runs one index after the other, each as soon as few enough tasks of another node are still to end; it can see by
`history` how those before have ended. That is how a search proposes parameters one after the other while several trials of them run.
"""

from __future__ import annotations

from typing import Any

from fairway.spec.artifact import ArtifactRef
from fairway.spec.environment import Environment
from fairway.spec.gang import Gang
from fairway.spec.placement import Placement, Pool
from fairway.spec.record import Record, field, record
from fairway.spec.resources import Resources, Retry

GRAPH_VERSION = 1


@record
class Expr(Record):
    """One value, by `kind`:

    - "param": the pipeline parameter `name`
    - "output": output `output` of node `name`
    - "const": the JSON value `value`
    - "artifact": a known artifact, `ref`; until submission imports it, `value` is its path or URL, `name` its type and `output` the digest
    it must have
    - "default": a function's own default that JSON cannot hold (only in `Port.default`): the input is not passed
    - "list": a list of `args`, in order
    - "item": the element of axis `name`; `position` tells which of its zipped sources
    - "collect": `args[0]` gathered over its axes that are not in `over`, as a flat list
    - "either": the first of `args` that was not skipped
    - "op": operator `name` on `args`: one of < <= > >= == != + - * / // % and or not in len
    - "secret": the secret `name`
    - "at": `args[0]`, which lies on axis `name`, at the index on it that `args[1]` is
    - "history": how the tasks of node `name`, by which another is paced, have ended so far (for that other node: those before it), along
    its last axis, or (`output` "ended" and "rest") the same in two parts; see `fairway.engine.trialhistory`. Whoever else asks gets it when
    all have ended
    - "run": a fact of the run, `name` in "id", "status", "error" (only in the exit handler), "started_at"
    """

    kind: str
    name: str = ""
    output: str = ""
    position: int = 0
    value: Any = None
    ref: ArtifactRef | None = None
    args: tuple[Expr, ...] = ()
    over: tuple[str, ...] = ()


@record
class Axis(Record):
    """One `each`. `sources` are zipped: lists of equal length. `axes` are the axes that the sources lie on (outermost first).

    `on_error`: "fail" (a failed item fails the run once others in flight have ended) or "keep" (a failed item counts as skipped).
    """

    id: str
    sources: tuple[Expr, ...]
    axes: tuple[str, ...] = ()
    max_parallel: int = 0
    batch: int = 1
    on_error: str = "fail"
    where: str = ""


@record
class Guard(Record):
    """The node runs only if `expr` is truthy (`wanted`) or falsy (not `wanted`)."""

    expr: Expr
    wanted: bool = True


@record
class Port(Record):
    """A declared input or output of a step. `type` is the annotation's name ("int", "pandas.DataFrame", "list[fairway.Model]"), "" if none.

    For inputs `default` is the function's own default (as an Expr), None if the input is required.
    """

    name: str
    type: str = ""
    default: Expr | None = None
    help: str = ""


@record
class StepDef(Record):
    """A step's definition. `kind`: "python", "dynamic", "command", "container".

    `module`:`qualname` is found in the bundle. A step of one unnamed output calls it "result". `returns` says how the function's value
    becomes outputs: "one", "namedtuple", "dataclass", "dict", "none". `argv` (command, container) mixes strings with placeholders
    `{in:NAME}`, `{out:NAME}`, `{param:NAME}`. `exit_codes` maps an exit code to "ok", "skip", "retry" or "fail" (0 is ok, others fail).
    `code` is the digest of the reachable code (see `fairway.dsl.reach`), filled in at submission.
    """

    name: str
    kind: str = "python"
    module: str = ""
    qualname: str = ""
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = (Port("result"),)
    returns: str = "one"
    argv: tuple[str, ...] = ()
    image: str = ""
    exit_codes: dict[str, str] = field(default_factory=dict)
    resources: Resources = field(default_factory=Resources)
    placement: Placement = field(default_factory=Placement)
    pool: Pool = field(default_factory=Pool)
    gang: Gang = field(default_factory=Gang)
    retry: Retry = field(default_factory=Retry)
    timeout_s: float = 0.0
    environment: Environment = field(default_factory=Environment)
    cache: bool = True
    trust: bool = False
    secrets: tuple[str, ...] = ()
    code: str = ""
    doc: str = ""
    where: str = ""


@record
class Pace(Record):
    """The node's tasks run in order along its last axis: one when that before it has ended and fewer than `ahead` tasks of node `by` with a
    smaller index have not. If one was skipped, so are all after it.

    `by` takes outputs of the paced node, at the same index; `told` is JSON that its tasks find in their context (the trials of a search:
    metrics, directions, pruner, …).
    """

    by: str
    ahead: int = 1
    told: dict[str, Any] = field(default_factory=dict)


@record
class Node(Record):
    """One call of a step. `id` is unique in its graph ("train", "train-2", "clean.load" inside pipeline `clean`).

    `axes`: what it is mapped over, outermost first. `after`: node ids that must have ended (succeeded or been skipped). `group`: the nested
    pipelines around it, "/"-joined, for display. `exit`: an exit handler: runs when all others have ended, however they did.
    `pace`: one index after the other.
    """

    id: str
    step: str
    inputs: dict[str, Expr] = field(default_factory=dict)
    axes: tuple[str, ...] = ()
    guards: tuple[Guard, ...] = ()
    after: tuple[str, ...] = ()
    group: str = ""
    exit: bool = False
    where: str = ""
    pace: Pace | None = None


@record
class Param(Record):
    """A pipeline parameter. `type` is the annotation's name; `default` any JSON value; `required` if it has none."""

    name: str
    type: str = ""
    default: Any = None
    required: bool = False
    help: str = ""
    choices: tuple[Any, ...] = ()


@record
class Graph(Record):
    """A pipeline as data. `nodes` are in topological order. `steps` by key (StepDef.name, made unique)."""

    name: str
    params: tuple[Param, ...] = ()
    steps: dict[str, StepDef] = field(default_factory=dict)
    nodes: tuple[Node, ...] = ()
    axes: dict[str, Axis] = field(default_factory=dict)
    outputs: dict[str, Expr] = field(default_factory=dict)
    timeout_s: float = 0.0
    max_parallel: int = 0
    doc: str = ""
    where: str = ""
    version: int = GRAPH_VERSION


def secrets_of(graph: Graph) -> dict[str, str]:
    """The secrets that the graph's steps take, each with the line that asks for it."""
    found: dict[str, str] = {}
    for node in graph.nodes:
        for expr in node.inputs.values():
            if expr.kind == "secret":
                found.setdefault(expr.name, node.where)
        for name in graph.steps[node.step].secrets:
            found.setdefault(name, node.where)
    return found
