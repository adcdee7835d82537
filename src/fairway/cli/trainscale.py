"""`fairway train PIPELINE --scale 1,2,4`: the gang at each size, how fast it was, and what bounds it."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fairway.cli.arguments import open_project
from fairway.cli.style import clip, find_width, is_terminal, paint, spell_duration
from fairway.dsl.picture import needed_nodes
from fairway.engine.gangview import WAITS
from fairway.engine.ranks import stream_of
from fairway.errors import DefinitionError, FairwayError, NotFoundError
from fairway.spec.event import RunOptions
from fairway.spec.graph import Graph
from fairway.spec.ports import StreamStore
from fairway.spec.record import replace, to_plain
from fairway.train.scaling import Measured, Point, Scaled, advise, growth, judge_scaling, speed_of, steady

if TYPE_CHECKING:
    from fairway.engine.session import AnySession

BAR = 30
_MOST_BYTES = 8 << 20


def measure_sizes(folder: str, graph: Graph, node: str, sizes: Sequence[int], params: Mapping[str, Any], file: str) -> list[Measured]:
    """Run it at each size, one after the other. One that does not fit is said to; the first failure of another kind is raised."""
    found: list[Measured] = []
    for replicas in sizes:
        size = replicas * _gang_step(graph, node).gang.processes
        sys.stderr.write(f"{size} rank{'' if size == 1 else 's'} …\n")
        scaled = scaled_graph(graph, node, replicas)
        try:
            session = _open(folder, scaled, size, params, file)
        except FairwayError as error:  # found before anything ran: there is no room for so many
            if not found:
                raise
            found.append(Measured(size, note=f"does not fit: {error.message}"))
            break
        found.append(_measure(session, node, size))
    return found


def scaled_graph(graph: Graph, node: str, replicas: int) -> Graph:
    """The pipeline up to the gang `node`, which has `replicas` replicas and is not taken from the cache. Raises DefinitionError."""
    step = _gang_step(graph, node)
    if step.gang.roles:
        raise DefinitionError(
            f"`{node}` has roles ({', '.join(step.gang.roles)}): such a gang has one shape",
            hint="--scale measures gangs whose ranks are all alike",
            where=step.where,
        )
    known = {one.id: one for one in graph.nodes}
    wanted: set[str] = set()
    ahead = [node]
    while ahead:
        name = ahead.pop()
        if name in known and name not in wanted:
            wanted.add(name)
            ahead += needed_nodes(graph, known[name])
    nodes = tuple(one for one in graph.nodes if one.id in wanted)
    steps = {one.step: graph.steps[one.step] for one in nodes}
    steps[known[node].step] = replace(step, gang=replace(step.gang, replicas=replicas, min_replicas=0), cache=False)
    axes = {name: graph.axes[name] for one in nodes for name in one.axes}
    return replace(graph, nodes=nodes, steps=steps, axes=axes, outputs={})


def _gang_step(graph: Graph, node: str) -> Any:
    for one in graph.nodes:
        if one.id == node:
            return graph.steps[one.step]
    raise NotFoundError(f"{graph.name} has no step {node!r}")


def _open(folder: str, graph: Graph, size: int, params: Mapping[str, Any], file: str) -> AnySession:
    from fairway.engine.session import name_source, open_run

    project = open_project(folder)
    return open_run(
        project,
        lambda: graph,
        params,
        options=RunOptions(max_parallel=project.max_parallel, timeout_s=project.timeout_s),
        labels={"name": f"scale-{size}", "tags": ("scale",), "triggered_by": "cli"},
        source=name_source(project, file),
    )


def _measure(session: AnySession, node: str, size: int) -> Measured:
    """Run it to its end. Raises FairwayError if it fails."""
    try:
        before = _machine_cpu()
        began = time.monotonic()
        state = session.drive()
        busy = (_machine_cpu() - before) / (time.monotonic() - began)
        if state.status != "succeeded":
            first = state.first_failure()
            told = first[1].message if first else state.status
            raise FairwayError(f"with {size} ranks it failed: {told}", hint=f"fairway show {session.run} says more")
        scope = state.scopes[""]
        (attempt, *_) = [task.attempts[-1] for task in scope.nodes[node].items.values() if task.attempts]
        outcome = state.attempts[attempt].outcome
        usage = outcome.usage if outcome is not None else None
        took = usage.wall_s if usage is not None else 0.0
        cores = (os.cpu_count() or 0) if not session.remote else 0
        found = read_measured(session.services.streams, session.run, attempt, size, took, cores)
        found.busy = busy if cores else 0.0
        return found
    finally:
        session.close()


def _machine_cpu() -> float:
    """CPU seconds that all processes of this machine have used since it started; 0 where the system does not tell."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            user, nice, system, _, _, irq, softirq, steal, *_ = (int(word) for word in file.readline().split()[1:])
    except (OSError, ValueError):
        return 0.0
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def read_measured(streams: StreamStore, run: str, attempt: str, size: int, took_s: float, cores: int) -> Measured:
    """What the streams of all ranks tell of their speed, their waits and the cores they kept busy."""
    found = Measured(size, took_s=took_s, cores=cores, run=run)
    waits: dict[str, list[float]] = {kind: [] for kind in WAITS}
    busy: list[float] = []
    starved: list[float] = []
    for rank in range(size):
        lines = {kind: _read(streams, f"{run}/{attempt}/{stream_of(kind, rank)}") for kind in ("progress", "metrics", "samples")}
        done: list[Point] = [(float(at), float(n)) for at, n, *_ in lines["progress"] if n is not None]
        if len(done) < 3:
            done = [(float(at), float(step)) for at, step, *_ in lines["metrics"] if step is not None]
        samples = lines["samples"]
        given = [(float(line[0]), line[3]) for line in samples if len(line) > 3 and "batches" in line[3]]
        found.rate += growth(done) or growth([(at, float(more["batches"])) for at, more in given])
        worked = [(float(line[0]), float(line[3]["samples"])) for line in lines["progress"] if len(line) > 3 and "samples" in line[3]]
        found.samples += growth(worked or [(at, float(more["samples"])) for at, more in given])
        found.cpu += growth([(float(line[0]), float(line[2])) for line in samples])
        counts = [(float(line[0]), line[3]) for line in samples if len(line) > 3]
        if counts and all("core" in more for _, more in counts):
            starved.append(growth([(at, float(more["core"])) for at, more in counts]))
        for kind in WAITS:
            waits[kind].append(min(1.0, growth([(at, float(more.get(kind, 0.0))) for at, more in counts])))
        kept = steady([(at, float(n)) for n, (at, _) in enumerate(counts)])
        busy += [gpu[1] for _, n in kept for gpu in counts[int(n)][1].get("gpu", ()) if gpu[1] >= 0]
    found.starved = sum(starved) / len(starved) if starved else -1.0
    found.waits = {kind: sum(shares) / size for kind, shares in waits.items() if any(shares)}
    found.gpu = sum(busy) / len(busy) if busy else -1.0
    return found


def _read(streams: StreamStore, name: str) -> list[Any]:
    found: list[Any] = []
    for raw in streams.read(name, 0, _MOST_BYTES).split(b"\n"):
        try:
            line = json.loads(raw) if raw else None
        except ValueError:
            continue
        if isinstance(line, list) and len(line) >= 3:
            found.append(line)
    return found


def show_scaling(measured: Sequence[Measured], by: str, output: str | None) -> None:
    """The table and the bars, or all of it as JSON."""
    scaled = judge_scaling(measured, by=by)
    if output == "json":
        from fairway.cli.listing import print_json

        print_json([_as_plain(one) for one in scaled])
        return
    sys.stdout.write("\n".join(render_scaling(scaled, find_width(sys.stdout) if is_terminal(sys.stdout) else 0)) + "\n")


def _as_plain(one: Scaled) -> dict[str, Any]:
    told = {"speedup": round(one.speedup, 4), "efficiency": round(one.efficiency, 4), "bound": one.bound, "why": one.why}
    return {**to_plain(one.measured), **({} if one.measured.note else told)}


def render_scaling(scaled: Sequence[Scaled], width: int = 0) -> list[str]:
    """A line for each size: its speed, its speedup, a bar for its efficiency; then what bounds it."""
    counted = speed_of([one.measured for one in scaled], "steps") == "samples"
    lines = [f"{'ranks':>5}  {'samples/s' if counted else 'steps/s':>9}  {'took':>7}  {'speedup':>7}  efficiency"]
    for one in scaled:
        got = one.measured
        if got.note:
            lines.append(clip(f"{got.ranks:>5}  {got.note}", width) if width else f"{got.ranks:>5}  {got.note}")
            continue
        speed = got.samples if counted else got.rate
        rate = f"{speed:.4g}" if speed else "–"
        head = f"{got.ranks:>5}  {rate:>9}  {spell_duration(got.took_s):>7}  {one.speedup:>6.2f}×"
        full = min(BAR, round(BAR * one.efficiency))
        colour = "green" if one.efficiency >= 0.9 else "yellow" if one.efficiency >= 0.6 else "red"
        lines.append(f"{head}  {paint('█' * full, colour, sys.stdout)}{'·' * (BAR - full)} {one.efficiency:.0%}")
    lines.append("")
    for one in scaled:
        if one.why:
            elsewhere = one.bound == "machine" and not one.measured.cores
            lines.append(f"{one.measured.ranks:>5}  {'bound by its nodes: ' if elsewhere else _BOUND[one.bound]}{one.why}")
    advice = advise(scaled)
    return [*lines, *(["", advice] if advice else [])]


_BOUND = {
    "input": "bound by input: ",
    "checkpoint": "bound by checkpoints: ",
    "network": "bound by the network: ",
    "compute": "bound by computing: ",
    "machine": "bound by this machine: ",
    "": "",
}
