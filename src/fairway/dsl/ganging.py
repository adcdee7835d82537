"""A step that is a gang, as it is written: `@fw.step(gang=fw.gang(replicas=4, framework="torch"))`. Checked where it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fairway.dsl.source import caller, suggest
from fairway.errors import DefinitionError
from fairway.spec.gang import Gang
from fairway.spec.record import Record, record, replace
from fairway.spec.resources import Retry, parse_duration

LARGEST_GANG = 10_000
_RESTART_AFTER_S = 0.1
_RESTARTED = ("crash", "oom", "stall", "lost", "port")
KEYWORDS = ("replicas", "framework", "per_replica", "processes", "min_replicas", "roles", "restarts", "stall_timeout", "start_timeout")
"""What every gang can be told, whatever its framework."""

OTHER_WORDS = {
    "nproc_per_node": "processes", "nnodes": "replicas", "num_nodes": "replicas", "nodes": "replicas", "world_size": "replicas",
    "num_workers": "replicas", "workers": "replicas", "ranks": "replicas", "max_restarts": "restarts", "retries": "restarts",
    "gpus": "per_replica", "gpu": "per_replica", "accelerator": "per_replica", "timeout": "stall_timeout",
}  # fmt: skip
"""What launchers and other tools call them."""


@record
class GangSetting(Record):
    """What `fw.gang` gives: the gang, and what `per_replica` asks for."""

    gang: Gang
    per_replica: str = ""


def gang(
    replicas: int = 0,
    framework: str = "plain",
    *,
    per_replica: str = "",
    processes: int = 1,
    min_replicas: int = 0,
    roles: Mapping[str, int] | None = None,
    restarts: int = 3,
    stall_timeout: str | float = 0,
    start_timeout: str | float = "10m",
    **options: Any,
) -> GangSetting:
    """Make a step a gang of `replicas`, each of which gets what the step asks for: cores, memory, and `per_replica` ("nvidia.com/gpu:1").

    `framework`: a row of the rendezvous table ("torch", "tensorflow", "jax", "xgboost", "mpi", "plain", …). `processes`: how many ranks
    each replica runs. `min_replicas`: start with as few where not all can be had, and grow again later. `roles`: replicas by role, as
    {"chief": 1, "worker": 2, "ps": 1}; then `replicas` is their sum. `restarts`: how often a gang that has lost a rank starts again from
    its newest checkpoint. `stall_timeout`: end it, with every rank's stack kept, after so long without progress. `start_timeout`: how
    long those that are there wait for the others. Other keywords are the framework's own, as backend="gloo".

    Raises DefinitionError with the caller's line.
    """
    try:
        if roles and not isinstance(roles, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise DefinitionError(f"roles must be replicas by role: {roles!r}", hint='write roles={"chief": 1, "worker": 2}')
        return _read(Gang(replicas, framework, processes, min_replicas, dict(roles or {}), restarts, 0.0, 0.0, options),
                     stall_timeout, start_timeout, per_replica)  # fmt: skip
    except DefinitionError as error:
        raise DefinitionError(error.message, hint=error.hint, where=error.where or caller()) from None


def _read(asked: Gang, stall_timeout: str | float, start_timeout: str | float, per_replica: str) -> GangSetting:
    for role, count in asked.roles.items():
        _check_count(f"the number of {role!r}", count, 1)
    total = sum(asked.roles.values())
    if asked.roles and asked.replicas not in (0, total):
        raise DefinitionError(f"roles add up to {total} replicas, not {asked.replicas}", hint="leave `replicas` out: roles say it")
    replicas = total or asked.replicas
    if not asked.replicas and not asked.roles and asked.options:  # a keyword beside the one that was meant
        near = "".join(suggest_keyword(name) for name in asked.options)
        said = ", ".join(f"`{name}`" for name in asked.options)
        raise DefinitionError(f"fw.gang is told {said}, but not how many replicas", hint=near.strip() or "write gang=fw.gang(replicas=4)")
    _check_count("replicas", replicas, 1)
    _check_count("processes", asked.processes, 1)
    _check_count("min_replicas", asked.min_replicas, 0)
    _check_count("restarts", asked.restarts, 0)
    if asked.min_replicas > replicas:
        raise DefinitionError(
            f"min_replicas={asked.min_replicas} is more than replicas={replicas}", hint="it is the fewest with which the gang may go on"
        )
    if not isinstance(asked.framework, str) or not asked.framework:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise DefinitionError(f"not a framework: {asked.framework!r}", hint='write framework="torch"')
    if per_replica:
        _read_devices(per_replica)
    made = replace(
        asked,
        replicas=replicas,
        stall_timeout_s=_read_duration("stall_timeout", stall_timeout) if stall_timeout else 0.0,
        start_timeout_s=_read_duration("start_timeout", start_timeout),
    )
    return GangSetting(made, per_replica)


def suggest_keyword(name: str, own: Sequence[str] = ()) -> str:
    """' Did you mean `processes`?' for what is not one of `fw.gang`'s keywords, nor of its framework's own; "" where nothing is near."""
    word = OTHER_WORDS.get(name, "")
    return f" Did you mean `{word}`?" if word else suggest(name, [*own, *KEYWORDS])


def _read_duration(name: str, value: str | float) -> float:
    try:
        return parse_duration(value)
    except DefinitionError as error:
        raise DefinitionError(f"{name}: {error.message}", hint=error.hint) from None


def _check_count(what: str, count: Any, least: int) -> None:
    if isinstance(count, bool) or not isinstance(count, int) or not least <= count <= LARGEST_GANG:
        raise DefinitionError(
            f"{what} must be a whole number from {least} to {LARGEST_GANG:,}: {count!r}",
            hint=f"write fw.gang({what}=2)" if what in KEYWORDS else 'write roles={"chief": 1, "worker": 2}',
        )


def read_gang(value: Any) -> tuple[Gang, dict[str, Any]]:
    """The gang and the step's resources that follow from it. Raises DefinitionError."""
    if not isinstance(value, GangSetting):
        raise DefinitionError(f"gang must be made by fw.gang(...): {value!r}", hint="write gang=fw.gang(replicas=4)")
    return value.gang, {"accelerators": _read_devices(value.per_replica)} if value.per_replica else {}


def _read_devices(per_replica: str) -> dict[str, int]:
    from fairway.dsl.settings import parse_accelerator

    try:
        return parse_accelerator(per_replica)
    except DefinitionError:
        hint = 'write per_replica="nvidia.com/gpu:1": the name that clusters have for the device, then how many each replica gets'
        raise DefinitionError(f"per_replica names no device: {per_replica!r}", hint=hint) from None


def restarting(asked: Gang, retry: Retry, retries: int = 0) -> Retry:
    """How a gang's task is tried again: at once, and only for what a new start from a checkpoint can mend. With `retries` it is tried as
    often more, whatever the error."""
    return replace(retry, attempts=asked.restarts + retries + 1, backoff_s=_RESTART_AFTER_S, kinds=() if retries else _RESTARTED)
