"""What can be said about a step beside its code: resources, retries, timeouts, cache, environment; checked where it is written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fairway.dsl.source import caller, suggest
from fairway.errors import DefinitionError
from fairway.spec.environment import Environment
from fairway.spec.graph import StepDef
from fairway.spec.record import replace
from fairway.spec.resources import Resources, Retry, parse_duration, parse_memory

STEP_SETTINGS = (
    "name", "cpu", "memory", "disk", "accelerator", "accelerator_type", "topology", "shared_memory", "retries", "retry", "timeout",
    "cache", "env", "trust", "image", "secrets", "pool", "place", "queue", "spot", "gang",
)  # fmt: skip
_RESOURCES = ("cpu", "memory", "disk", "accelerator", "accelerator_type", "topology", "shared_memory")
_SPOT_LOSSES = 100
_KINDS = ("timeout", "oom", "crash", "lost", "output", "input")


def checked(settings: Mapping[str, Any], what: str) -> dict[str, Any]:
    """StepDef fields from a step's settings. Raises DefinitionError with the caller's line for a wrong name or value."""
    fields: dict[str, Any] = {}
    for name, value in settings.items():
        if name not in STEP_SETTINGS:
            hint = f"the settings are {', '.join(STEP_SETTINGS)}.{suggest(name, list(STEP_SETTINGS))}"
            raise DefinitionError(f"{what} has no setting `{name}`", hint=hint, where=caller())
        _reading(lambda name=name, value=value: _apply(fields, name, value))
    return fields


def _reading(read: Callable[[], None]) -> None:
    try:
        read()
    except DefinitionError as error:
        if error.where:
            raise
        raise DefinitionError(error.message, hint=error.hint, where=caller()) from None


def _apply(fields: dict[str, Any], name: str, value: Any) -> None:
    """Add what one setting says to the StepDef fields."""
    if name in _RESOURCES:
        _apply_resource(fields.setdefault("resources", {}), name, value)
    elif name in ("place", "queue", "spot"):
        from fairway.dsl.placing import read_placement

        fields.setdefault("placement", {})[name] = read_placement(name, value)
    elif name == "pool":
        from fairway.dsl.placing import read_placement

        fields["pool"] = read_placement(name, value)
    elif name == "gang":
        from fairway.dsl.ganging import read_gang

        fields["gang"], resources = read_gang(value)
        fields.setdefault("resources", {}).update(resources)
    elif name == "retries":
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise DefinitionError(f"retries must be a whole number from 0: {value!r}", hint="retries=2 means up to three tries")
        fields["retries"] = value
    elif name == "retry":
        if not isinstance(value, Retry):
            raise DefinitionError(f"retry must be made by fw.retry(...): {value!r}", hint='write retry=fw.retry(3, backoff="5s")')
        fields["retry"] = value
    elif name == "timeout":
        fields["timeout_s"] = 0.0 if value is None else parse_duration(value)
    elif name == "env":
        fields["environment"] = as_environment(value)
    elif name == "secrets":
        fields["secrets"] = _names(value, "secrets")
    elif name in ("cache", "trust"):
        if not isinstance(value, bool):
            raise DefinitionError(f"{name} must be True or False: {value!r}", hint=f"write {name}=False")
        fields[name] = value
    else:
        if not isinstance(value, str) or not value:
            raise DefinitionError(f"{name} must be text: {value!r}", hint=f'write {name}="…"')
        fields[name] = value


def _apply_resource(resources: dict[str, Any], name: str, value: Any) -> None:
    if name == "cpu":
        resources["cpu"] = parse_cpu(value)
    elif name == "accelerator":
        resources["accelerators"] = parse_accelerator(value)
    elif name == "accelerator_type":
        if not isinstance(value, str) or not value.strip():
            raise DefinitionError(f"not a type of accelerator: {value!r}", hint='write accelerator_type="H100"')
        resources["model"] = value.strip()
    elif name == "topology":
        from fairway.dsl.placing import parse_topology

        resources["topology"] = parse_topology(value)
    else:
        resources[f"{name}_bytes"] = parse_memory(value)


def with_settings(step: StepDef, settings: Mapping[str, Any]) -> StepDef:
    """The step with checked settings laid over its own."""
    fields = dict(settings)
    resources = fields.pop("resources", None)
    retries = fields.pop("retries", None)
    placement = fields.pop("placement", None)
    if resources:
        fields["resources"] = replace(step.resources, **resources)
        _check_accelerator(fields["resources"], step.where)
    if "gang" in fields and "retry" not in fields:
        from fairway.dsl.ganging import restarting

        fields["retry"] = restarting(fields["gang"], step.retry, retries or 0)
    elif retries is not None:
        fields["retry"] = replace(fields.get("retry", step.retry), attempts=retries + 1)
    if placement:
        from fairway.dsl.placing import apply_placement

        fields["placement"] = apply_placement(step.placement, placement)
        if fields["placement"].spot:  # to be taken away is no failure, however often it happens
            fields["retry"] = replace(fields.get("retry", step.retry), lost_attempts=_SPOT_LOSSES)
    image = fields.pop("image", None)
    if image and step.kind in ("command", "container"):
        fields["image"] = image
    elif image:
        fields["environment"] = replace(fields.get("environment", step.environment), image=image)
        fields["image"] = image
    return replace(step, **fields) if fields else step


def _check_accelerator(resources: Resources, where: str) -> None:
    for what, value in (("accelerator_type", resources.model), ("topology", resources.topology)):
        if value and not resources.accelerators:
            raise DefinitionError(
                f"{what}={value!r} says which accelerator, and none is asked for",
                hint=f'write accelerator="nvidia.com/gpu:1" (or "google.com/tpu:4") beside {what}',
                where=where,
            )


def parse_cpu(value: Any) -> float:
    """Cores from 2, 0.5, "500m" or "2". Raises DefinitionError."""
    number = 0.0
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value)
    elif isinstance(value, str):
        text, milli = (value[:-1], 0.001) if value.endswith("m") else (value, 1.0)
        try:
            number = float(text) * milli
        except ValueError:
            number = 0.0
    if not 0 < number < float("inf"):
        raise DefinitionError(f"not a number of cores: {value!r}", hint='write cpu=2, cpu=0.5 or cpu="500m"')
    return number


def parse_accelerator(value: Any) -> dict[str, int]:
    """{"nvidia.com/gpu": 2} from "nvidia.com/gpu:2", "nvidia.com/gpu", 2 (NVIDIA GPUs) or a dict. Raises DefinitionError."""
    hint = 'write accelerator="nvidia.com/gpu:2": the name that clusters have for the device, then how many'
    if isinstance(value, int) and not isinstance(value, bool):
        value = {"nvidia.com/gpu": value}
    if isinstance(value, str):
        kind, _, count = value.partition(":")
        kind = "nvidia.com/gpu" if kind in ("gpu", "nvidia") else kind.strip()
        if "/" not in kind or (count and not count.strip().isdigit()):
            raise DefinitionError(f"not an accelerator: {value!r}", hint=hint)
        value = {kind: int(count or 1)}
    if not isinstance(value, dict) or not all(isinstance(k, str) and type(n) is int and n >= 0 for k, n in value.items()):  # type: ignore[misc]
        raise DefinitionError(f"not an accelerator: {value!r}", hint=hint)
    return {kind: count for kind, count in value.items() if count}  # type: ignore[misc]


def retry(
    attempts: int = 3,
    *,
    backoff: str | float = 1.0,
    factor: float = 2.0,
    cap: str | float = 60.0,
    jitter: float = 0.5,
    on: str | type[BaseException] | Iterable[str | type[BaseException]] = (),
) -> Retry:
    """How often and when a failed task is tried again: `attempts` in all, waiting `backoff`, then `factor` times as long each, up to `cap`.

    `jitter` (0 to 1) is the part of the wait that is drawn at random. `on` limits it to some errors: exception classes or their names,
    "timeout", "oom", "crash", "lost", "exit:75" (a command's exit code).
    """
    try:
        if type(attempts) is not int or attempts < 1:
            raise DefinitionError(f"attempts must be a whole number from 1: {attempts!r}", hint="3 means: try, and try again twice")
        if not 0 <= jitter <= 1:
            raise DefinitionError(f"jitter must lie between 0 and 1: {jitter!r}", hint="0.5 draws half of the wait at random")
        if factor < 1:
            raise DefinitionError(f"factor must be at least 1: {factor!r}", hint="2 doubles the wait after each failure")
        kinds = [on] if isinstance(on, str | type) else list(on)
        wait = 0.0 if backoff == 0 else parse_duration(backoff)
        return Retry(attempts, wait, float(factor), parse_duration(cap), float(jitter), tuple(_kind(kind) for kind in kinds))
    except DefinitionError as error:
        raise DefinitionError(error.message, hint=error.hint, where=caller()) from None


def _kind(kind: Any) -> str:
    if isinstance(kind, type) and issubclass(kind, BaseException):
        return kind.__name__
    if isinstance(kind, str) and (kind in _KINDS or (kind.startswith("exit:") and kind[5:].isdigit()) or kind.isidentifier()):
        return kind
    raise DefinitionError(f"not a kind of error: {kind!r}", hint='name an exception class, "timeout", "oom", "crash", "lost" or "exit:75"')


def env(
    packages: Iterable[str] = (),
    *,
    python: str = "",
    project: str | os.PathLike[str] = "",
    variables: Mapping[str, Any] | None = None,
    image: str = "",
) -> Environment:
    """The environment of a step or a pipeline: requirement strings, a Python version, variables, an image.

    `project` names a lock or requirements file instead of `packages`.
    """
    try:
        wanted = _names(packages, "packages")
        if project and wanted:
            raise DefinitionError(
                "an environment is made from `packages` or from `project`, not from both", hint="add the packages to the project's own file"
            )
        texts: dict[str, str] = {}
        for name, value in (variables or {}).items():
            if "=" in name or not name:
                raise DefinitionError(f"not a variable's name: {name!r}", hint='write variables={"OMP_NUM_THREADS": "1"}')
            if not isinstance(value, str | int | float | os.PathLike):
                raise DefinitionError(
                    f"the variable {name} is not text: {value!r}", hint="for a secret use fw.secret, as a step's argument"
                )
            texts[name] = os.fspath(value) if isinstance(value, os.PathLike) else str(value)
        if python and not python.replace(".", "").isdigit():
            raise DefinitionError(f"not a Python version: {python!r}", hint='write python="3.12"')
        return Environment(wanted, python, os.fspath(project), texts, image)
    except DefinitionError as error:
        raise DefinitionError(error.message, hint=error.hint, where=caller()) from None


def as_environment(value: Any) -> Environment:
    """What may be written for `env=`: fw.env(...), or the name of a project file."""
    if isinstance(value, Environment):
        return value
    if isinstance(value, str | os.PathLike):
        return Environment(project=os.fspath(value))  # type: ignore[arg-type]
    raise DefinitionError(f"not an environment: {value!r}", hint='write env=fw.env(packages=["scikit-learn==1.7.*"]) or env="uv.lock"')


def under(own: Environment, outer: Environment) -> Environment:
    """A step's environment inside a pipeline's: what the step says wins, variables are merged."""
    if own == Environment():
        return outer
    made_of = own if own.packages or own.project else outer
    return Environment(
        made_of.packages,
        own.python or outer.python,
        made_of.project,
        {**outer.variables, **own.variables},
        own.image or outer.image,
        made_of.lock,
    )


def _names(value: Any, what: str) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [value]
    names = tuple(value)
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise DefinitionError(f"{what} must be a list of texts: {value!r}", hint=f'write {what}=["…", "…"]')
    return names
