"""From a pipeline and its parameters to a run: everything that can be wrong is found here, before anything starts."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fairway.dsl.slowimports import find_slow_imports
from fairway.engine.code import code_of, foreseen
from fairway.engine.driver import Driver, OnEvents
from fairway.engine.history import History
from fairway.engine.inputs import check_inputs, store_constants, store_param
from fairway.engine.keys import environment_name, needs_lock
from fairway.engine.library import StoreLibrary
from fairway.engine.project import Project
from fairway.engine.services import Services
from fairway.errors import DefinitionError, UnsupportedError
from fairway.executors.local import LocalExecutor
from fairway.spec import event as ev
from fairway.spec.artifact import ArtifactRef
from fairway.spec.environment import Environment
from fairway.spec.graph import Graph, StepDef, secrets_of
from fairway.spec.layout import BLOBS, STREAMS
from fairway.spec.ports import Inventory, run_now
from fairway.spec.record import Record, field, record, replace, to_plain

if TYPE_CHECKING:
    from fairway.dsl.pipeline import Pipeline
    from fairway.dsl.search import Search

_KEYED_FACTS = ("python", "packages", "codes", "environments")  # what of a run's environment counts for cache keys


@record
class Submission(Record):
    """A pipeline ready to run: its graph with code digests and locked environments, its parameters and bundle in the store.

    `environment` is what `RunStarted.environment` records; `source` is the file (and name) it came from.
    """

    graph: Graph
    params: dict[str, ArtifactRef]
    bundle: str = ""
    source: str = ""
    environment: dict[str, Any] = field(default_factory=dict)


def open_services(project: Project, *, grace_s: float = 10.0, file: str = "", root: str = "") -> Services:
    """The ports of the local target. Raises StoreUnavailable if the home cannot be used. `file`: a pipeline's, about to be loaded; as a
    module of a package from the folder `root`, if that is given."""
    from fairway.step.folder import FolderArtifactStore, FolderStreamStore
    from fairway.store import open_journal

    executor = LocalExecutor(project.home, settings=_executor_settings(project))
    own = project.targets.get("local")
    grace_s = own.grace_s if own else grace_s
    executor.start()
    if file.endswith(".py") and not needs_lock(project.environment) and not project.environment.image:
        name = os.path.relpath(file, root or os.path.dirname(file) or ".").removesuffix(".py").replace(os.sep, ".")
        executor.import_ahead(name, find_slow_imports(file, root=root), project.environment.variables)
    return Services(
        home=project.home,
        journal=open_journal(project.journal),
        artifacts=FolderArtifactStore(os.path.join(project.home, BLOBS), durability=project.durability),
        streams=FolderStreamStore(os.path.join(project.home, STREAMS)),
        executor=executor,
        grace_s=grace_s,
        place=LocalPlace(executor, project.secrets_file),
    )


class LocalPlace:
    """See `engine.services.Place`: this machine."""

    machine = "this machine"

    def __init__(self, executor: LocalExecutor, secrets_file: str) -> None:
        self._executor, self._secrets_file = executor, secrets_file

    def check_graph(self, graph: Graph) -> None:
        """What this machine lacks is found by lint and by the look at its size."""

    def check_secrets(self, wanted: Mapping[str, str]) -> None:
        """Raises NotFoundError that names all that nobody here has."""
        from fairway.executors.secrets import check_secrets

        check_secrets(wanted, self._secrets_file)

    def accept(self, graph: Graph, bundle: str, folder: str, secrets: Sequence[str], facts: Mapping[str, Any]) -> None:
        """The code is in the home already; the executor learns what hides from whom."""
        self._executor.prepare(folder, secrets)


def _executor_settings(project: Project) -> dict[str, Any]:
    made: dict[str, Any] = {"source": project.root, "dotenv": project.secrets_file, "durability": project.durability}
    if own := project.targets.get("local"):
        limits = {"cpu": own.limits.cpu, "memory": own.limits.memory_bytes, "accelerators": own.limits.accelerators}
        made |= {"grace": own.grace_s} | {name: limit for name, limit in limits.items() if limit}
    return made


def prepare(pipeline: Pipeline | Graph, params: Mapping[str, Any], project: Project, services: Services, *, source: str = "") -> Submission:
    """Check everything, store the inputs and the code. `params` are texts (from a command line) or values.

    Raises DefinitionError, ConfigError, NotFoundError, UnsupportedError; nothing has run then.
    """
    graph = pipeline if isinstance(pipeline, Graph) else pipeline.trace()
    values = bind_params(graph, params)
    check_inputs(graph, values)
    _check(graph, services)
    secrets = _find_secrets(graph, services)
    graph = _with_images(_lock_environments(graph, project), project)
    graph, bundle, environment, folder = code_of(graph, pipeline, project, source)
    environment |= _lock_foreseen(graph, environment, project)
    if services.place is not None:
        services.place.accept(graph, bundle, folder, secrets, environment)
    store = services.artifacts
    graph = store_constants(graph, store, project)
    library = StoreLibrary(store)
    refs = {p.name: store_param(p.name, p.type, values[p.name], library, store, project) for p in graph.params}
    return Submission(graph, refs, bundle, source or graph.where, environment)


def lock_and_bundle(pipeline: Pipeline | Graph, project: Project, *, source: str = "") -> tuple[Graph, str]:
    """(the graph with its environments locked, the digest of its code, which is in the home): what an image is made of."""
    graph = pipeline if isinstance(pipeline, Graph) else pipeline.trace()
    graph, bundle, _, _ = code_of(_lock_environments(graph, project), pipeline, project, source)
    return graph, bundle


def _with_images(graph: Graph, project: Project) -> Graph:
    """Images for what was locked, where the target has a registry to push them to."""
    target = project.targets.get(project.target)
    if target is None or not target.registry:
        return graph
    from fairway.engine.images import with_images

    return with_images(graph, project, target, lambda line: print(line, file=sys.stderr))


def start(
    run: str,
    submission: Submission,
    services: Services,
    project: Project,
    *,
    options: ev.RunOptions | None = None,
    name: str = "",
    tags: Sequence[str] = (),
    triggered_by: str = "",
    on_events: OnEvents | None = None,
) -> Driver:
    """The driver of a new run: its first `drive()` records RunStarted together with the first attempts."""
    begin = make_start(run, submission, project, options=options, name=name, tags=tags, triggered_by=triggered_by)
    return Driver(run, services, begin=[begin], on_events=on_events)


def make_start(
    run: str,
    submission: Submission,
    project: Project,
    *,
    options: ev.RunOptions | None = None,
    name: str = "",
    tags: Sequence[str] = (),
    triggered_by: str = "",
) -> ev.RunStarted:
    """The first event of a new run."""
    return ev.RunStarted(
        run=run,
        graph=submission.graph,
        params=submission.params,
        bundle=submission.bundle,
        at=time.time(),
        project=project.name,
        created_by=user_name(),
        triggered_by=triggered_by,
        target=project.target,
        name=name,
        source=submission.source,
        options=options or ev.RunOptions(max_parallel=project.max_parallel, timeout_s=project.timeout_s),
        tags=tuple(tags),
        environment=submission.environment,
    )


def resume(
    history: History,
    services: Services,
    *,
    submission: Submission | None = None,
    options: ev.RunOptions | None = None,
    on_events: OnEvents | None = None,
) -> Driver:
    """The driver that goes on with a run: after a crash just where it was; after its end with what failed, was cancelled or never ran.

    With a `submission` whose graph differs from the run's, the run continues with the edited code: what the edit does not reach is not
    redone.
    """
    begin = make_resumption(history.state, submission, options)
    return Driver(history.state.run, services, begin=begin, on_events=on_events, history=history)


def make_resumption(state: Any, submission: Submission | None = None, options: ev.RunOptions | None = None) -> list[ev.Event]:
    """What a resume records first: nothing where a driver only died, RunResumed where the run has ended or its code was edited."""
    edited = submission is not None and submission.graph != state.graph
    moved = submission is not None and any(submission.environment.get(n) != state.environment.get(n) for n in _KEYED_FACTS)
    if submission is not None and (edited or moved):
        graph, bundle = (submission.graph, submission.bundle) if edited else (None, "")
        return [ev.RunResumed(time.time(), user_name(), graph, bundle, options, submission.environment)]
    if state.status != "running" or state.stopping in ("cancelled", "timeout"):  # the wish to go on is the later one
        return [ev.RunResumed(time.time(), user_name(), options=options)]
    return []


def user_name() -> str:
    """Who starts this."""
    return os.environ.get("FAIRWAY_USER") or os.environ.get("USER") or os.environ.get("LOGNAME") or ""


def bind_params(graph: Graph, given: Mapping[str, Any]) -> dict[str, Any]:
    """JSON values for all parameters. Raises ConfigError that names all unknown, missing and ill-typed ones."""
    from fairway.dsl.params import bind

    search = _find_search(graph)

    def spell(name: str) -> str:
        """As it is given on the command line: `fairway tune` has options of its own, so what its target takes stands behind -p."""
        return f"-p {name}=" if search else f"--{name.replace('_', '-')} "

    return bind(graph, given, spell, tuple(search.space) if search else ())


def _find_search(graph: Graph) -> Search | None:
    if all(node.pace is None for node in graph.nodes):
        return None
    from fairway.dsl.tuning import find_search

    return find_search(graph)


def _check(graph: Graph, services: Services) -> None:
    """Lint, and resources that this target can never give."""
    from fairway.dsl.lint import check
    from fairway.step.artifacts import can_store

    problems = check(graph, can_store, services.executor.capabilities)
    if problems:
        first = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise DefinitionError(first.message + more, hint=first.hint, where=first.where)
    if services.place is not None:
        services.place.check_graph(graph)
    if all(_is_small(step) for step in graph.steps.values()):
        return
    inventory = run_now(services.executor.inventory())
    for step in graph.steps.values():
        _check_step(step, inventory, services.place.machine if services.place is not None else "this machine")


def _is_small(step: StepDef) -> bool:
    """Every machine can run it."""
    asked = step.resources
    return asked.cpu <= 1 and not asked.memory_bytes and not asked.accelerators and not step.gang.replicas


def _find_secrets(graph: Graph, services: Services) -> tuple[str, ...]:
    """Names of the secrets that the graph's steps take. Raises NotFoundError for one that the target does not have."""
    where = secrets_of(graph)
    if where and services.place is not None:
        services.place.check_secrets(where)
    return tuple(where)


def _check_step(step: StepDef, inventory: Inventory, machine: str) -> None:
    """Raises UnsupportedError for more than one attempt may ask for. An inventory that is "open" bounds only what it names."""
    asked, most, gang = step.resources, inventory.largest, step.gang
    if gang.replicas and inventory.facts.get("one_machine"):
        from fairway.executors.slots import times

        asked = times(asked, gang.fewest)
    lacks: list[str] = []
    devices: dict[str, int] = {}
    if asked.cpu > most.cpu:
        lacks.append(f"{asked.cpu:g} cpu ({machine} has {most.cpu:g})")
    if asked.memory_bytes > most.memory_bytes:
        lacks.append(f"{asked.memory_bytes / 2**30:.3g} GiB of memory ({machine} has {most.memory_bytes / 2**30:.3g} GiB)")
    for name, count in asked.accelerators.items():
        if inventory.facts.get("open") and name not in most.accelerators:
            continue
        if count > most.accelerators.get(name, 0):
            lacks.append(f"{count} {name} ({machine} has {most.accelerators.get(name, 0)})")
            devices[name] = count
    if lacks:
        hint = "ask for less, or run on another target"
        if inventory.facts.get("one_machine"):
            from fairway.executors.local import hint_for_excess

            each, has = step.resources, most.accelerators
            enough = each.memory_bytes <= most.memory_bytes and all(n <= has.get(kind, 0) for kind, n in each.accelerators.items())
            hint = hint_for_excess(gang, asked.cpu > most.cpu, one_fits=enough and each.cpu <= most.cpu, devices=devices)
        together = f" for {gang.fewest} replicas" if asked is not step.resources and gang.fewest > 1 else ""
        raise UnsupportedError(f"step {step.name!r} asks for {' and '.join(lacks)}{together}", hint=hint, where=step.where)


def _lock_environments(graph: Graph, project: Project) -> Graph:
    if not any(node.pace is not None for node in graph.nodes):
        return _locked(graph, project)
    from fairway.engine.searching import free_suggestions, place_suggestions

    return place_suggestions(_locked(free_suggestions(graph), project), project)


def _locked(graph: Graph, project: Project) -> Graph:
    steps: dict[str, StepDef] = {}
    locked: dict[Environment, Environment] = {}
    default = Environment()
    for name, step in graph.steps.items():
        wanted = step.environment if step.environment != default else project.environment
        if wanted == default:
            continue
        if needs_lock(wanted) and wanted not in locked:
            from fairway import envs

            locked[wanted] = envs.lock(wanted, project.root, project.home)
        steps[name] = replace(step, environment=locked.get(wanted, wanted))
    return replace(graph, steps={**graph.steps, **steps}) if steps else graph


def _lock_foreseen(graph: Graph, facts: Mapping[str, Any], project: Project) -> dict[str, Any]:
    """The fact `environments`: locks for the steps that dynamic steps may call, by `environment_name`; {} if there is none."""
    outer = [step.environment for step in graph.steps.values() if step.kind == "dynamic"]
    if not outer:
        return {}
    from fairway.dsl.settings import under

    found: dict[str, Any] = {}
    inner, seen = foreseen(graph, facts), set(outer)
    for around in outer:  # grows: what a dynamic step calls may be dynamic itself
        for step in inner:
            wanted = under(step.environment, around)
            if needs_lock(wanted):
                from fairway import envs

                locked = envs.lock(wanted, project.root, project.home)
                found[environment_name(wanted)] = to_plain(locked)
                wanted = locked
            if step.kind == "dynamic" and wanted not in seen:
                seen.add(wanted)
                outer.append(wanted)
    return {"environments": found} if found else {}
