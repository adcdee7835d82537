"""A look at a target for `fairway doctor --on`: is it reached, may it be used, what differs from here, what of a pipeline would fail."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

from fairway.engine.lookup import gather
from fairway.engine.parity import Facts, Finding, Used, check, check_machines, check_own_queue, check_versions, in_order
from fairway.engine.project import Project
from fairway.engine.surroundings import find_variables
from fairway.engine.targets import get_target
from fairway.errors import FairwayError
from fairway.spec.record import replace
from fairway.spec.target import TargetSettings

_PATIENCE_S = 10.0


def examine_target(project: Project, name: str, file: str = "") -> list[Finding]:
    """What is found at the target, and with a pipeline's `file` of that pipeline there; what matters most first."""
    target = get_target(project, name)
    found: list[Finding] = []
    if target.kind == "kubernetes":
        try:
            found += asyncio.run(_examine_cluster(target))
        except FairwayError as error:
            return [Finding("problem", f"the cluster is not reached: {error.message}", error.hint)]
        if any(one.level == "problem" for one in found):
            return in_order(found)
    try:
        found += _examine_server(replace(project, target=target.name), target, file)
    except FairwayError as error:
        found.append(Finding("problem", str(error), error.hint, error.where))
    return in_order(found)


async def _examine_cluster(target: TargetSettings) -> list[Finding]:
    from fairway.engine.deploy import connect
    from fairway.engine.rights import find_ungiven, rights_to_use

    client = connect(target)
    try:
        version, missing = await asyncio.gather(client.version(), client.can(rights_to_use()))
        shown = ".".join(map(str, version))
        found = [Finding("ok", f"Kubernetes {shown} at {client.server}, namespace {client.namespace}")]
        if missing:
            lacks = ", ".join(right.text for right in missing)
            found.append(Finding("problem", f"you may not {lacks} there", f"`fairway up --on {target.name}` writes what gives it"))
        needed, better = await find_ungiven(client, target)
        gives = f"`fairway up --on {target.name}` gives the server what you may give"
        if needed:
            found.append(Finding("warning", f"the server may not make {', '.join(needed)} there: no endpoint can be deployed", gives))
        elif better:
            found.append(Finding("note", f"the server may not make {', '.join(better)} there: endpoints and gangs do without", gives))
    finally:
        await client.close()
    return found


def _examine_server(project: Project, target: TargetSettings, file: str) -> Iterator[Finding]:
    from fairway.engine.remote import open_connection

    connection = open_connection(project, patience_s=_PATIENCE_S)
    try:
        started = time.perf_counter()
        told = connection.api.get("/target")
        took = 1000 * (time.perf_counter() - started)
        yield Finding("ok", f"the server is Fairway {told['version']}, it answers in {took:.0f} ms; you are {told['user']!r} there")
        facts = gather(connection, bounds=True, patience_s=_PATIENCE_S)
        try:
            connection.artifacts.stat("sha256/" + "0" * 64)
        except FairwayError as error:
            facts = replace(facts, store=error.message)
        yield from _describe(facts)
        if file:
            yield from _compare(project, facts, file)
        else:
            yield from check_versions(facts)
            yield from check_machines(facts)
            yield from check_own_queue(facts)
            yield Finding("note", "no pipeline was compared", f"fairway doctor FILE --on {target.name}")
        for sentence in facts.unseen:
            yield Finding("note", sentence)
    finally:
        connection.close()


def _describe(facts: Facts) -> Iterator[Finding]:
    """What was found, where all is well."""
    there = facts.there
    about = ", ".join(part for part in (f"Python {there.python}" if there.python else "", there.machine, there.libc) if part)
    yield Finding("ok", f"steps run in {facts.target.image}: {about or 'nothing is known of it'}")
    if not facts.store:
        yield Finding("ok", f"artifacts are kept {f'at {facts.target.store}' if facts.target.store else 'on the volume of the server'}")
    if facts.secrets is not None:
        yield Finding("ok", f"secrets: {', '.join(facts.secrets) or 'none'}")
    if facts.queues:
        shown = (f"{name}{' (admits nothing now)' if why else ''}" for name, why in facts.queues.items())
        yield Finding("ok", f"queues of Kueue: {', '.join(shown)}")
    if facts.inventory is not None and facts.inventory.nodes:
        most = {name: max(node.total.get(name, 0.0) for node in facts.inventory.nodes) for name in ("cpu", "memory")}
        count = len(facts.inventory.nodes)
        largest = f"{most['cpu']:g} cpu, {most['memory'] / 2**30:.0f} GiB"
        yield Finding("ok", f"{count} node{'s' if count > 1 else ''}; the largest has {largest}")


def _compare(project: Project, facts: Facts, file: str) -> Iterator[Finding]:
    graph, used = look_at(project, file)
    found = check(graph, facts, used)
    yield from found
    if not any(one.level in ("problem", "warning") for one in found):
        yield Finding("ok", f"nothing keeps {graph.name!r} from running there")


def look_at(project: Project, file: str) -> tuple[Any, Used]:
    """The graph of a pipeline's file with its environments locked, and what its code uses."""
    import os

    from fairway.dsl.load import load_pipeline
    from fairway.engine.code import code_of
    from fairway.engine.session import name_source
    from fairway.engine.submit import _lock_environments
    from fairway.spec.graph import Graph
    from fairway.spec.layout import BUNDLES

    pipeline = load_pipeline(file)
    graph = pipeline if isinstance(pipeline, Graph) else pipeline.trace()
    graph = _lock_environments(graph, project)
    graph, bundle, facts, _ = code_of(graph, pipeline, project, name_source(project, file))
    variables = find_variables(os.path.join(project.home, BUNDLES, bundle)) if bundle else []
    return graph, Used(facts.get("packages", {}), tuple(variables))
