"""What differs between here and a target, before anything runs there: what would fail, what may matter, what is only good to know. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from fairway.engine.release import versions_apart
from fairway.engine.settings import nearest
from fairway.spec.graph import Graph, StepDef, secrets_of
from fairway.spec.record import Record, field, record
from fairway.spec.resources import Resources
from fairway.spec.target import Limits, TargetSettings

if TYPE_CHECKING:
    from fairway.kube.inventory import ClusterInventory

LEVELS = ("problem", "warning", "note", "ok")
"""From what would fail to what is well."""


@record
class Finding(Record):
    """One thing looked at. `level` is one of LEVELS; `hint` says what to do about it, `where` is the user's own line that is to blame."""

    level: str
    what: str
    hint: str = ""
    where: str = ""


@record
class Side(Record):
    """One side of the comparison: the Fairway there, and the interpreter and machine that run steps without an environment of their own.

    `cpu_level`: 1 to 4 for x86-64-v1 to v4, 0 if it is another processor or not known. `packages`: installed distributions, None if they
    cannot be seen.
    """

    fairway: str
    python: str
    machine: str = ""
    libc: str = ""
    cpu_level: int = 0
    packages: Mapping[str, str] | None = None


@record
class Variable(Record):
    """A variable that the user's code reads. `required`: without it the code fails."""

    name: str
    where: str
    required: bool


@record
class Facts(Record):
    """All that is known of both sides. `secrets`: names of those at the target, None if unknown. `inventory`: nodes and quotas, as far as
    they may be seen. `growing`: an autoscaler adds nodes. `kueue`: None if it is not known whether it is there. `queues`: its local queues
    and why each admits nothing now ("" if it does), None if they may not be seen. `bounds`: how much of a resource each can ever give, as
    far as that is known. `variables`: those that are set here. `store`: what is wrong with the target's store, "" if nothing. `unseen`:
    what could not be looked at, in sentences."""

    here: Side
    there: Side
    target: TargetSettings
    secrets: tuple[str, ...] | None = None
    inventory: ClusterInventory | None = None
    growing: bool = False
    kueue: bool | None = None
    queues: Mapping[str, str] | None = None
    bounds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    variables: frozenset[str] = frozenset()
    store: str = ""
    unseen: tuple[str, ...] = ()


@record
class Used(Record):
    """What the code of a graph uses, where it was looked at: step -> distribution -> version here, for steps without a lock; variables."""

    packages: dict[str, dict[str, str]] = field(default_factory=dict)
    variables: tuple[Variable, ...] = ()


def check(graph: Graph, facts: Facts, used: Used | None = None) -> list[Finding]:
    """What would fail or differ if `graph` ran at the target, what matters most first; nothing that is well."""
    used = used or Used()
    found: list[Finding] = [*check_versions(facts)]
    rules: tuple[Callable[[Graph, Facts, Used], Iterator[Finding]], ...] = (
        _check_interpreter,
        _check_packages,
        _check_locks,
        _check_secrets,
        _check_sizes,
        _check_queue,
        _check_variables,
    )
    for rule in rules:
        found += rule(graph, facts, used)
    found += check_machines(facts)
    return in_order(found)


def in_order(findings: list[Finding]) -> list[Finding]:
    """By how much they matter."""
    return sorted(findings, key=lambda one: LEVELS.index(one.level))


def check_versions(facts: Facts) -> Iterator[Finding]:
    """Client and server one minor version apart work together, further apart not."""
    mine, theirs = facts.here.fairway, facts.there.fairway
    if not theirs or mine == theirs:
        return
    ahead = versions_apart(mine, theirs)
    upgrade = "pip install -U fairway" if _newer(theirs, mine) else f"fairway up --on {facts.target.name}"
    if ahead is None or abs(ahead) > 1:
        yield Finding("problem", f"this is Fairway {mine}, and the server is {theirs}: too far apart", upgrade)
    else:
        yield Finding("note", f"this is Fairway {mine}, the server is {theirs}", upgrade)


def check_machines(facts: Facts) -> Iterator[Finding]:
    """Processors and C libraries: results may differ in the last digits, compiled code may not run."""
    here, there = facts.here, facts.there
    if here.machine and there.machine and here.machine != there.machine:
        what = f"this machine is {here.machine}, the cluster's is {there.machine}"
        yield Finding("warning", f"{what}: compiled files of yours do not run there", "results may differ in their last digits")
    elif here.cpu_level and there.cpu_level and here.cpu_level > there.cpu_level:
        what = f"this machine's processor has the features of x86-64-v{here.cpu_level}, the cluster's those of v{there.cpu_level}"
        yield Finding("warning", what, "code that was compiled for this very processor (-march=native) fails there")
    elif here.cpu_level and there.cpu_level and here.cpu_level < there.cpu_level:
        yield Finding("note", f"the cluster's processors can do more (x86-64-v{there.cpu_level}) than this machine's (v{here.cpu_level})")
    family, other = here.libc.partition(" ")[0], there.libc.partition(" ")[0]
    if family and other and family != other:
        hint = "many packages have no wheels for it; take an image with glibc, as python:3.12-slim"
        yield Finding("warning", f"the C library here is {here.libc}, in the image {there.libc}", hint if other == "musl" else "")
    elif _older(there.libc, here.libc):
        yield Finding("note", f"the C library in the image is older ({there.libc}) than here ({here.libc})")
    if facts.store:
        yield Finding("problem", f"the target's store cannot be reached: {facts.store}", "see the settings `store` and `store-secret`")


def _check_interpreter(graph: Graph, facts: Facts, used: Used) -> Iterator[Finding]:
    here, there = facts.here.python, facts.there.python
    if not there or here == there:
        return
    plain = [step for step in graph.steps.values() if step.module and not step.image and not _own_python(step)]
    if plain:
        yield Finding(
            "problem",
            f"this is Python {here}, and {_steps(plain)} would run under Python {there} of {facts.target.image}",
            f'image = "python:{here}-slim" below [targets.{facts.target.name}] and `fairway up`; or fw.env(python="{there}")',
            plain[0].where,
        )


def _check_packages(graph: Graph, facts: Facts, used: Used) -> Iterator[Finding]:
    """Steps without an environment find in the image what is installed there, and nothing else."""
    missing: dict[str, list[StepDef]] = {}
    other: dict[str, tuple[str, str]] = {}
    unknown: dict[str, list[StepDef]] = {}
    for key, packages in used.packages.items():
        step = graph.steps.get(key)
        if step is None or step.environment.lock or not packages:
            continue
        image = step.image or step.environment.image
        if image or facts.there.packages is None:
            unknown.setdefault(image or facts.target.image, []).append(step)
            continue
        for name, version in packages.items():
            there = facts.there.packages.get(name)
            if there is None:
                missing.setdefault(name, []).append(step)
            elif there != version:
                other[name] = (version, there)
    if missing:
        first = next(iter(missing.values()))[0]
        names = sorted(missing)
        wanted = ", ".join(f'"{name}"' for name in names[:5])
        whose = f"{_steps([first])} imports" if not first.module.startswith("fairway.") else "chooses the parameters of trials"
        more = "" if not first.module.startswith("fairway.") else " (for what the search calls, or for the whole project)"
        yield Finding(
            "problem",
            f"the image {facts.target.image} has no {', '.join(names)}, which {whose}",
            f"say what the steps need: env=fw.env(packages=[{wanted}]){more}, or name an image that has it",
            first.where,
        )
    for name, (version, there) in sorted(other.items()):
        yield Finding("warning", f"{name} is {version} here and {there} in the image", "an environment with a lock is the same everywhere")
    for image, steps in unknown.items():
        hint = "an environment with a lock is the same everywhere"
        yield Finding("note", f"whether {image} has what {_steps(steps)} imports cannot be seen from here", hint, steps[0].where)


def _check_locks(graph: Graph, facts: Facts, used: Used) -> Iterator[Finding]:
    """A lock is for one Python minor version; the image has to have it, or a way to get it."""
    for step in graph.steps.values():
        wanted = ".".join(step.environment.python.split(".")[:2])
        if wanted and facts.there.python and not (step.image or step.environment.image) and wanted != facts.there.python:
            yield Finding(
                "warning",
                f"the environment of {_steps([step])} is for Python {wanted}, the image {facts.target.image} has {facts.there.python}",
                f'each pod fetches Python {wanted} first, if it can; an image spares that: image="python:{wanted}-slim"',
                step.where,
            )
            return


def _check_secrets(graph: Graph, facts: Facts, used: Used) -> Iterator[Finding]:
    if facts.secrets is None:
        return
    for name, where in secrets_of(graph).items():
        if name not in facts.secrets:
            target = facts.target.name
            yield Finding("problem", f"the target {target!r} has no secret {name!r}", f"fairway secret set {name} --on {target}", where)


def _check_sizes(graph: Graph, facts: Facts, used: Used) -> Iterator[Finding]:
    """The largest ask against the largest node, the quotas and the target's own limits."""
    for step in graph.steps.values():
        over = next((text for text in _over_limits(step.resources, facts.target)), "")
        if over:
            yield Finding("problem", f"{_steps([step])} asks for {over}", "ask for less, or raise the target's limit", step.where)
        elif facts.inventory is not None:
            yield from _check_fit(step, facts, facts.inventory)


def _over_limits(asked: Resources, target: TargetSettings) -> Iterator[str]:
    for limit, name in ((target.per_run, "per-run"), (target.limits, "")):
        yield from _over(asked, limit, f"the limit {f'{name}.' if name else ''}{{}} of [targets.{target.name}] is {{}}")


def _over(asked: Resources, limit: Limits, words: str) -> Iterator[str]:
    if limit.cpu and asked.cpu > limit.cpu:
        yield f"{asked.cpu:g} cpu, and {words.format('cpu', f'{limit.cpu:g}')}"
    if limit.memory_bytes and asked.memory_bytes > limit.memory_bytes:
        yield f"{_size(asked.memory_bytes)} of memory, and {words.format('memory', _size(limit.memory_bytes))}"
    for name, count in asked.accelerators.items():
        if name in limit.accelerators and count > limit.accelerators[name]:
            yield f"{count} {name}, and {words.format('accelerators', str(limit.accelerators[name]))}"


def _check_fit(step: StepDef, facts: Facts, inventory: ClusterInventory) -> Iterator[Finding]:
    from fairway.kube.fitting import amounts_of, find_fit

    target, asks, asked = facts.target, spell_resources(step.resources), amounts_of(step.resources)
    for quota in inventory.quotas:
        resource = quota.resource.removeprefix("requests.").removeprefix("limits.").removeprefix("count/")
        if asked.get(resource, 0.0) > quota.hard:
            what = f"{_steps([step])} asks for {asks}, and the quota {quota.name!r} allows {quota.hard:g} {quota.resource} in all"
            yield Finding("problem", what, "ask for less, or have the quota raised", step.where)
            return
    fit = find_fit(inventory, step.resources, step.placement, nodes=target.nodes, tolerations=target.tolerations)
    if not fit.nodes or any(one.empty for one in fit.nodes):
        return
    lacks = "; ".join(sorted({one.lacks for one in fit.nodes if one.lacks})[:3])
    level, hint = "problem", "ask for less or for other nodes: `fairway cluster` shows what there is"
    if facts.growing:
        level, hint = "warning", "it waits until the cluster has grown by such a node"
    elif step.placement.patch:  # the last way out: what it makes of the pod is the cluster's to judge
        level, hint = "warning", "its patch may place it all the same"
    yield Finding(level, f"{_steps([step])} asks for {asks}, and no node of the cluster could hold that ({lacks})", hint, step.where)


def _check_queue(graph: Graph, facts: Facts, used: Used) -> Iterator[Finding]:
    """Kueue does not refuse what names a queue that is not there: it would be waited for without end."""
    if facts.kueue is None:
        return
    target = facts.target
    asking: dict[str, list[StepDef]] = {}
    for step in graph.steps.values():
        asking.setdefault(step.placement.queue or (target.queue if facts.kueue else ""), []).append(step)
    asking.pop("", None)
    for queue, steps in asking.items():
        where = next((step.where for step in steps if step.placement.queue), "")
        if not facts.kueue:
            hint = "the target's own limits hold tasks back instead"
            yield Finding("note", f"the queue {queue!r} has no meaning: Kueue is not in this cluster", hint, where)
            return
        yield from _check_state(queue, facts, _steps(steps), where)
        for step in steps:
            yield from _check_bounds(step, queue, facts.bounds.get(queue, {}))


def check_own_queue(facts: Facts) -> Iterator[Finding]:
    """The target's own queue, whatever runs there."""
    if facts.kueue and facts.target.queue:
        yield from _check_state(facts.target.queue, facts, "what names no other", "")


def _check_state(queue: str, facts: Facts, who: str, where: str) -> Iterator[Finding]:
    """Is it there, and does it admit anything? `where`: of the step that names it, "" if it is the target's own."""
    if facts.queues is None:
        return
    target = facts.target
    if queue not in facts.queues:
        what = f"there is no queue {queue!r} of Kueue at the target {target.name!r}: {who} would wait for ever"
        yield Finding("problem", what, _name_queues(queue, facts.queues, target, own=bool(where)), where)
    elif facts.queues[queue]:
        hint = "it starts when that has changed: ask who runs the cluster"
        yield Finding("warning", f"the queue {queue!r} admits nothing now: {facts.queues[queue]}", hint, where)


def _check_bounds(step: StepDef, queue: str, bounds: Mapping[str, float]) -> Iterator[Finding]:
    """What no quota of the queue could hold waits until that is raised. A patch may ask for less."""
    from fairway.kube.fitting import amounts_of

    pods = step.gang.fewest or 1
    for name, amount in ({} if step.placement.patch else amounts_of(step.resources)).items():
        if name in bounds and pods * amount > bounds[name] * (1 + 1e-9):
            needs = f"needs {_spell(name, pods * amount)}{f' for {pods} replicas' if step.gang.replicas else ''}"
            what = f"{_steps([step])} {needs}, and the queue {queue!r} never gives more than {_spell(name, bounds[name])}"
            yield Finding("warning", what, "ask for less, or have the quota of its ClusterQueue raised: until then it waits", step.where)
            return


def _name_queues(queue: str, known: Mapping[str, str], target: TargetSettings, *, own: bool) -> str:
    """What to do about a queue that is not there. `own`: a step has named it, not the target's settings."""
    if not known:
        return "the namespace has no queue at all: leave it out, or ask who runs the cluster for a LocalQueue"
    there = f"there {'is' if len(known) == 1 else 'are'} {', '.join(known)}"
    meant = nearest(queue, tuple(known))
    place = "the step's queue=" if own else f"queue below [targets.{target.name}]"
    return f"{f'{meant} ' if meant.startswith('did') else ''}{there}; change {place}"


def _check_variables(graph: Graph, facts: Facts, used: Used) -> Iterator[Finding]:
    """What is read here from the shell is not there; what a step's environment names is."""
    given = {name for step in graph.steps.values() for name in step.environment.variables}
    for one in used.variables:
        if one.name in facts.variables and one.name not in given:
            yield Finding(
                "warning" if one.required else "note",
                f"the variable {one.name} is set here, and not at the target" + ("; without it this fails" if one.required else ""),
                f'fw.env(variables={{"{one.name}": "…"}}) takes it along; fw.secret("{one.name}") if it is one',
                one.where,
            )


def spell_resources(asked: Resources) -> str:
    """ "4 cpu, 8 GiB of memory, 1 nvidia.com/gpu (H100)"."""
    parts = [f"{asked.cpu:g} cpu"]
    parts += [f"{_size(asked.memory_bytes)} of memory"] if asked.memory_bytes else []
    parts += [f"{_size(asked.disk_bytes)} of disk"] if asked.disk_bytes else []
    parts += [f"{count} {name}{f' ({asked.model})' if asked.model else ''}" for name, count in asked.accelerators.items()]
    return ", ".join(parts)


def _spell(name: str, amount: float) -> str:
    """An amount of a resource by its name in Kubernetes."""
    if name in ("memory", "ephemeral-storage"):
        return f"{_size(amount)} of {'memory' if name == 'memory' else 'disk'}"
    return f"{amount:g} {name}"


def _own_python(step: StepDef) -> bool:
    environment = step.environment
    return bool(environment.python or environment.lock or environment.image)


def _steps(steps: list[StepDef]) -> str:
    names = list(dict.fromkeys(step.name for step in steps))
    if len(names) == 1:
        return f"step {names[0]!r}"
    return f"{len(names)} steps ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"


def _newer(one: str, other: str) -> bool:
    return _numbers(one) > _numbers(other)


def _older(libc: str, other: str) -> bool:
    return libc.partition(" ")[0] == other.partition(" ")[0] != "" and _numbers(libc) < _numbers(other)


def _numbers(text: str) -> tuple[int, ...]:
    import re

    return tuple(int(number) for number in re.findall(r"\d+", text)[:3])


def _size(size_bytes: float) -> str:
    return f"{size_bytes / 2**30:.3g} GiB" if size_bytes >= 2**30 else f"{size_bytes / 2**20:.3g} MiB"
