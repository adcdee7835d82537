"""Where a step runs on a cluster, as it is written: `fw.place`, `fw.pool`, `fw.volume`. Checked at once; a laptop passes over all of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from fairway.dsl.source import caller
from fairway.errors import DefinitionError
from fairway.spec.placement import Placement, Pool, Toleration, Volume
from fairway.spec.record import from_plain, replace
from fairway.spec.resources import parse_duration, parse_memory

LARGEST_POOL = 1000
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_LABEL = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?)?")
_TAINT = re.compile(r"(?:([^=:\s]+)(?:(=)([^:\s]*))?)?(?::(NoSchedule|PreferNoSchedule|NoExecute))?")
_TOPOLOGY = re.compile(r"\d+x\d+(x\d+)?")
_AFFINITIES = ("nodeAffinity", "podAffinity", "podAntiAffinity")
_OURS = ("/", "/fairway", "/proc", "/sys", "/dev", "/etc", "/usr", "/bin", "/lib", "/var/run/secrets")
_SOURCES = 'write one of claim="…", secret="…", config_map="…" or size="10Gi"'


def pool(size: int, *, idle: str | float = 60.0) -> Pool:
    """Up to `size` warm workers that take attempt after attempt: `@fw.step(pool=fw.pool(size=8, idle="2m"))`. A worker that has had nothing
    to do for `idle` goes; with nothing to do there are none."""
    return _written(lambda: _pool(size, idle))


def volume(
    path: str,
    *,
    claim: str = "",
    secret: str = "",
    config_map: str = "",
    size: str | int = 0,
    memory: bool = False,
    read_only: bool = False,
    sub_path: str = "",
) -> Volume:
    """Something to be mounted at `path`: an existing volume claim, a secret or a config map by its name, or an empty volume of at most
    `size` (in memory, if `memory`). `sub_path` mounts only that path of it."""
    return _written(lambda: _volume(path, claim, secret, config_map, size, Volume("", "", "", "", 0, memory, read_only, sub_path)))


def place(  # noqa: PLR0913 - each keyword is one thing that a pod's specification has a name for
    *,
    nodes: Mapping[str, str] | None = None,
    tolerations: Iterable[str | Mapping[str, Any]] | str = (),
    affinity: Mapping[str, Any] | None = None,
    priority_class: str = "",
    queue: str = "",
    spot: bool = False,
    volumes: Iterable[Volume] | Volume = (),
    variables_from: Iterable[str] | str = (),
    service_account: str = "",
    pull_secrets: Iterable[str] | str = (),
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    user: int = 65532,
    writable_root: bool = False,
    home: str = "",
    patch: Mapping[str, Any] | None = None,
) -> Placement:
    """Where and how a step's pods run.

    `nodes`: labels that a node must have. `tolerations`: "key=value:Effect", "key:Effect", "key", or as Kubernetes spells them.
    `variables_from`: "secret:NAME" and "config:NAME", whose keys become variables. `user`: the number of the user, never 0. `home`: HOME,
    /tmp if left out. `patch` is merged into the pod last (RFC 7386), for what nothing else can say.
    """

    def read() -> Placement:
        if type(user) is not int or not 0 < user < 2**31:
            raise DefinitionError(f"user must be a number above 0: {user!r}", hint="pods run as a user of their own, never as root")
        if home and not home.startswith("/"):
            raise DefinitionError(f"home must be a full path: {home!r}", hint='write home="/home/me"')
        return Placement(
            queue=_name(queue, "queue"),
            spot=_flag(spot, "spot"),
            nodes=_labels(nodes, "nodes"),
            tolerations=tuple(parse_toleration(one) for one in ([tolerations] if isinstance(tolerations, str) else tolerations)),
            affinity=_structure(affinity, "affinity", _AFFINITIES),
            priority_class=_name(priority_class, "priority_class"),
            volumes=_volumes(volumes),
            variables_from=tuple(_variables_from(one) for one in _list(variables_from)),
            service_account=_name(service_account, "service_account"),
            pull_secrets=tuple(_name(one, "pull_secrets") for one in _list(pull_secrets)),
            labels=_labels(labels, "labels"),
            annotations={key: str(value) for key, value in (annotations or {}).items()},
            user=user,
            writable_root=_flag(writable_root, "writable_root"),
            home=home,
            patch=_structure(patch, "patch", ("metadata", "spec")),
        )

    return _written(read)


def parse_toleration(value: str | Mapping[str, Any]) -> Toleration:
    """From "key=value:Effect" (as `kubectl taint` spells it), "key:Effect", "key", ":Effect", or Kubernetes' own structure. Raises
    DefinitionError."""
    hint = 'write "gpu=true:NoSchedule", "gpu:NoSchedule" or "gpu"'
    if isinstance(value, str):
        found = _TAINT.fullmatch(value.strip())
        if not found or not value.strip():
            raise DefinitionError(f"not a toleration: {value!r}", hint=hint)
        return Toleration(found[1] or "", "Equal" if found[2] else "Exists", found[3] or "", found[4] or "")
    known = {"key", "operator", "value", "effect", "tolerationSeconds"}
    if not isinstance(value, Mapping) or not value or not set(value) <= known:
        raise DefinitionError(f"not a toleration: {value!r}", hint=hint)
    fields = {"operator": "Equal" if "value" in value else "Exists", **value}
    return from_plain(Toleration, {**fields, "seconds": fields.pop("tolerationSeconds", -1)})


def parse_topology(value: Any) -> str:
    """ "2x4" or "2x2x2", as a TPU slice's node is labelled. Raises DefinitionError."""
    if not isinstance(value, str) or not _TOPOLOGY.fullmatch(value):
        raise DefinitionError(f"not a topology: {value!r}", hint='write topology="2x4"')
    return value


def apply_placement(step: Placement, said: Mapping[str, Any]) -> Placement:
    """The step's placement with what its settings say: `place` whole, then `queue` and `spot`."""
    base = said.get("place", step)
    return replace(base, **{name: value for name, value in said.items() if name != "place"})


def read_placement(name: str, value: Any) -> Any:
    """The value of one of the settings `place`, `pool`, `queue`, `spot`. Raises DefinitionError."""
    if name == "place":
        if not isinstance(value, Placement):
            raise DefinitionError(f"place must be made by fw.place(...): {value!r}", hint='write place=fw.place(nodes={"disk": "ssd"})')
        return value
    if name == "pool":
        if not isinstance(value, Pool):
            raise DefinitionError(f"pool must be made by fw.pool(...): {value!r}", hint='write pool=fw.pool(size=8, idle="2m")')
        return value
    return _flag(value, name) if name == "spot" else _name(value, name)


def _written(read: Any) -> Any:
    """Errors name the line of the user's own file."""
    try:
        return read()
    except DefinitionError as error:
        raise DefinitionError(error.message, hint=error.hint, where=error.where or caller()) from None


def _pool(size: int, idle: str | float) -> Pool:
    if type(size) is not int or not 0 <= size <= LARGEST_POOL:
        raise DefinitionError(
            f"the size of a pool is a whole number up to {LARGEST_POOL}: {size!r}", hint='write fw.pool(size=8, idle="2m")'
        )
    return Pool(size, parse_duration(idle))


def _volume(path: str, claim: str, secret: str, config_map: str, size: str | int, more: Volume) -> Volume:
    if not isinstance(path, str) or not path.startswith("/") or "/../" in f"{path}/" or ":" in path:
        raise DefinitionError(f"a volume is mounted at a full path: {path!r}", hint='write fw.volume("/data", claim="corpus")')
    path = path.rstrip("/") or "/"
    if path in _OURS or path.startswith(("/fairway/", "/proc/", "/sys/")):
        raise DefinitionError(f"nothing can be mounted at {path}", hint='choose a path of your own: fw.volume("/data", …)')
    sources = [claim, secret, config_map, size]
    if sum(bool(source) for source in sources) != 1:
        raise DefinitionError(f"the volume at {path} needs exactly one source", hint=_SOURCES)
    if more.sub_path.startswith("/") or ".." in more.sub_path.split("/"):
        raise DefinitionError(f"sub_path is a path inside the volume: {more.sub_path!r}", hint='write sub_path="2026/july"')
    if more.memory and not size:
        raise DefinitionError(f"only an empty volume can be in memory: {path}", hint='write fw.volume("/scratch", size="2Gi", memory=True)')
    return replace(
        more,
        path=path,
        claim=_name(claim, "claim"),
        secret=_name(secret, "secret"),
        config_map=_name(config_map, "config_map"),
        empty_bytes=parse_memory(size) if size else 0,
    )


def _volumes(value: Iterable[Volume] | Volume) -> tuple[Volume, ...]:
    found = (value,) if isinstance(value, Volume) else tuple(value)
    seen: set[str] = set()
    for one in found:
        if not isinstance(one, Volume):
            raise DefinitionError(
                f"a volume must be made by fw.volume(...): {one!r}", hint='write volumes=[fw.volume("/data", claim="corpus")]'
            )
        if one.path in seen:
            raise DefinitionError(f"two volumes are mounted at {one.path}", hint="give one of them another path")
        seen.add(one.path)
    return found


def _name(value: Any, what: str) -> str:
    if value == "":
        return ""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise DefinitionError(f"{what} is the name of something in the namespace: {value!r}", hint="use small letters, digits and hyphens")
    return value


def _flag(value: Any, what: str) -> bool:
    if not isinstance(value, bool):
        raise DefinitionError(f"{what} must be True or False: {value!r}", hint=f"write {what}=True")
    return value


def _list(value: Iterable[str] | str) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _variables_from(value: Any) -> str:
    kind, _, name = value.partition(":") if isinstance(value, str) else ("", "", "")
    if kind not in ("secret", "config") or not _NAME.fullmatch(name):
        raise DefinitionError(f"not a source of variables: {value!r}", hint='write variables_from=["secret:NAME", "config:NAME"]')
    return value


def _labels(value: Mapping[str, str] | None, what: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, text in dict(value or {}).items():
        text = str(text).lower() if isinstance(text, bool) else str(text)
        if not _LABEL.fullmatch(key) or not _LABEL_VALUE.fullmatch(text):
            raise DefinitionError(f"{what}: not a label: {key!r}: {text!r}", hint=f'write {what}={{"example.org/disk": "ssd"}}')
        found[key] = text
    return found


def _structure(value: Mapping[str, Any] | None, what: str, keys: tuple[str, ...]) -> dict[str, Any]:
    """A structure of Kubernetes' own, which has to be JSON."""
    found = dict(value or {})
    wrong = [key for key in found if key not in keys]
    if wrong:
        raise DefinitionError(f"{what} has no {wrong[0]!r}", hint=f"its keys are {', '.join(keys)}, as in a pod's own YAML")
    try:
        return json.loads(json.dumps(found))
    except (TypeError, ValueError) as error:
        raise DefinitionError(f"{what} must be what YAML can hold: {error}", hint="use dicts, lists, text and numbers") from None
