"""Image from base, locked environment, runtime and bundle: the same wish gives the same digest, and only what is new is made or sent."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

from fairway.envs.image.base import Base, check_python, read_base
from fairway.envs.image.environment import SITE, environment_layer, remembered
from fairway.envs.image.layers import Entry, Layer, folder_entries, write_layer
from fairway.envs.image.reference import Reference
from fairway.envs.image.registry import CONFIG, INDEX, MANIFEST, ImageStore, Manifest, RegistryImages, make_manifest, open_store
from fairway.envs.runtime import build_runtime_zip, list_runtime
from fairway.errors import ConfigError
from fairway.spec.record import Record, field, record
from fairway.step.install import IMAGE_LOCK

_ROOT = "opt/fairway"
_EPOCH = "1970-01-01T00:00:00Z"
_VERSION = 1


@record
class ImagePlan(Record):
    """What an image is to hold: `requirements` with their `lock` (a digest; without one they are resolved now) for Python `python`, and
    `bundle`, a folder with the user's code and its digest. `command` is what the image does when it is started (what its base does, if
    empty). `runtime`: what attempts import of Fairway comes along."""

    base: Reference
    platforms: tuple[str, ...] = ("linux/amd64",)
    requirements: str = ""
    lock: str = ""
    python: str = ""
    bundle: tuple[str, str] = ("", "")
    runtime: bool = True
    command: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    base_plain: bool | None = None


@record
class Built(Record):
    """`image` names it by digest. `sent` of its layers had to be pushed, `sent_bytes` of them; `new` is False if it was there already."""

    image: str
    digest: str
    new: bool = True
    sent: tuple[str, ...] = ()
    sent_bytes: int = 0
    size_bytes: int = 0
    platforms: tuple[str, ...] = ()


def build_image(plan: ImagePlan, to: Reference, cache: Path, *, plain: bool | None = None, say: Callable[[str], None] = print) -> Built:
    """Build what `plan` says and have it at `to` (a repository, or an OCI layout); its tag is `to.tag`, or follows from the plan.

    Raises ConfigError, NotFoundError, UnsupportedError for a wish that cannot be met, ImageUnavailable for registries.
    """
    with closing(open_store(plan.base, plain=plan.base_plain)) as source, closing(open_store(to, plain=plain)) as target:
        pinned = plan.base.digest or source.has_manifest(plan.base.version if plan.base.registry else plan.base.tag)
        wish = plan_digest(plan, pinned)
        name = Reference(to.registry, to.repository, to.tag or f"fairway-{wish[:24]}")
        mark = f"fairway-{wish[:24]}"
        there = target.has_manifest(mark) if pinned else ""
        if there:
            if name.tag != mark and target.has_manifest(name.tag) != there:
                manifest = target.find_manifest(mark)
                assert manifest is not None
                target.put_manifest(manifest, name.tag)
            return Built(f"{_place(name)}@{there}", there, new=False, platforms=plan.platforms)
        made = _Builder(plan, source, target, cache, say)
        manifests = [made.build(platform) for platform in plan.platforms]
        top = manifests[0][1] if len(manifests) == 1 else _make_index(manifests)
        for version in dict.fromkeys((name.tag, mark)):
            target.put_manifest(top, version)
        size = sum(entry["size"] for _, manifest in manifests for entry in manifest.body["layers"])
        return Built(f"{_place(name)}@{top.digest}", top.digest, True, tuple(made.sent), made.sent_bytes, size, plan.platforms)


def plan_digest(plan: ImagePlan, base_digest: str) -> str:
    """What the image follows from, as one digest."""
    runtime = build_runtime_zip()[1] if plan.runtime else ""
    parts: list[Any] = [_VERSION, base_digest, sorted(plan.platforms), plan.lock or plan.requirements, plan.python, plan.bundle[1], runtime]
    return hashlib.sha256(json.dumps([*parts, list(plan.command), plan.variables], sort_keys=True).encode()).hexdigest()


def _place(name: Reference) -> str:
    return str(Reference(name.registry, name.repository))


def _make_index(manifests: Sequence[tuple[str, Manifest]]) -> Manifest:
    listed: list[dict[str, Any]] = []
    for platform, manifest in manifests:
        system, _, architecture = platform.partition("/")
        listed.append({**manifest.descriptor(), "platform": {"os": system, "architecture": architecture}})
    return make_manifest({"manifests": listed}, INDEX)


class _Builder:
    """Builds one image per platform and sends what the target lacks of it."""

    def __init__(self, plan: ImagePlan, source: ImageStore, target: ImageStore, cache: Path, say: Callable[[str], None]) -> None:
        self._plan, self._source, self._target, self._cache, self._say = plan, source, target, cache, say
        self.sent: list[str] = []
        self.sent_bytes = 0

    def build(self, platform: str) -> tuple[str, Manifest]:
        """(the platform, its manifest), pushed with all that it names."""
        plan = self._plan
        base = read_base(self._source, plan.base, platform, self._cache)
        layers = list(self._layers(base))
        for entry in base.layers:
            self._send_base(entry)
        for layer in layers:
            self._send(layer.digest, layer.size_bytes, layer.comment, _opener(layer))
        config = json.dumps(self._config(base, layers), separators=(",", ":"), sort_keys=True).encode()
        digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
        self._send(digest, len(config), "", lambda: io.BytesIO(config))
        body = {
            "config": {"mediaType": CONFIG, "digest": digest, "size": len(config)},
            "layers": [*map(_as_oci, base.layers), *(layer.descriptor() for layer in layers)],
        }
        manifest = make_manifest(body, MANIFEST)
        if len(plan.platforms) > 1:
            self._target.put_manifest(manifest, manifest.digest)
        return platform, manifest

    def _layers(self, base: Base) -> list[Layer]:
        plan, found = self._plan, list[Layer]()
        check_python(base, plan.python, plan.base)
        if plan.requirements:
            if plan.lock:
                self._say(f"packages: the lock {plan.lock[:12]} for {base.platform}, Python {base.python}")
            python = plan.python or base.python
            found.append(environment_layer(plan.requirements, base.platform, python, self._cache, libc=base.libc, locked=bool(plan.lock)))
        if plan.runtime:
            found.append(self._runtime_layer())
        folder, digest = plan.bundle
        if digest:
            found.append(remembered(self._cache, f"bundle-{digest}", lambda: self._bundle_layer(folder, digest)))
        return found

    def _runtime_layer(self) -> Layer:
        from fairway import errors

        digest = build_runtime_zip()[1]

        def make() -> Layer:
            package = Path(errors.__file__).parent
            entries = [
                Entry(f"{_ROOT}/runtime/fairway/{file.relative_to(package).as_posix()}", source=str(file)) for file in list_runtime(package)
            ]
            entries.append(Entry(f"{_ROOT}/runtime/{digest}", link="."))  # where `step.boot` looks before it asks the server
            return write_layer(entries, self._cache / "blobs", compress=False, comment="Fairway's runtime")

        return remembered(self._cache, f"runtime-{digest}", make)

    def _bundle_layer(self, folder: str, digest: str) -> Layer:
        entries = folder_entries(Path(folder), f"{_ROOT}/bundles/{digest}")
        return write_layer(entries, self._cache / "blobs", compress=False, comment="the user's code")

    def _config(self, base: Base, layers: Sequence[Layer]) -> dict[str, Any]:
        plan, config = self._plan, copy.deepcopy(base.config)
        inner: dict[str, Any] = config.setdefault("config", {}) or {}
        config["config"] = inner
        inner["Env"] = _with_variables(inner.get("Env") or [], self._variables())
        labels = {"dev.fairway.base": base.manifest.digest, "dev.fairway.lock": plan.lock, "dev.fairway.bundle": plan.bundle[1]}
        inner["Labels"] = {**(inner.get("Labels") or {}), **{name: value for name, value in labels.items() if value}}
        if plan.command:
            inner.pop("Entrypoint", None)
            inner["Cmd"] = list(plan.command)
        config["rootfs"]["diff_ids"] = [*config["rootfs"]["diff_ids"], *(layer.diff_id for layer in layers)]
        added = [{"created": _EPOCH, "created_by": "fairway image build", "comment": layer.comment} for layer in layers]
        config["history"] = [*config.get("history", []), *added]
        config["created"] = _EPOCH
        return config

    def _variables(self) -> dict[str, str]:
        made = dict(self._plan.variables)
        paths = [f"/{_ROOT}/bundles/{self._plan.bundle[1]}"] if self._plan.bundle[1] else []
        paths += [f"/{SITE}"] if self._plan.requirements else []
        paths += [f"/{_ROOT}/runtime"] if self._plan.runtime else []
        made["PYTHONPATH"] = os.pathsep.join(paths)
        if self._plan.lock:
            made[IMAGE_LOCK] = self._plan.lock
        return made

    def _send_base(self, entry: Mapping[str, Any]) -> None:
        digest, size = entry["digest"], entry["size"]
        source, target, same = self._source, self._target, ""
        if isinstance(source, RegistryImages) and isinstance(target, RegistryImages) and source.http.host == target.http.host:
            same = source.repository
        if target.put_blob(digest, size, lambda: self._source.open_blob(digest), mount_from=same):
            self._note("a layer of the base", size)

    def _send(self, digest: str, size: int, what: str, open_blob: Callable[[], BinaryIO]) -> None:
        if self._target.put_blob(digest, size, open_blob) and what:
            self._note(what, size)

    def _note(self, what: str, size: int) -> None:
        self.sent.append(what)
        self.sent_bytes += size
        self._say(f"sent {what}: {size / 1e6:.1f} MB")


def _opener(layer: Layer) -> Callable[[], BinaryIO]:
    return lambda: Path(layer.path).open("rb")


def _with_variables(there: Sequence[str], new: Mapping[str, str]) -> list[str]:
    kept: dict[str, str] = {name: value for name, _, value in (pair.partition("=") for pair in there)}
    merged = {**kept, **new}
    if "PYTHONPATH" in kept:
        merged["PYTHONPATH"] = f"{new['PYTHONPATH']}:{kept['PYTHONPATH']}"
    if f"/{SITE}" in new["PYTHONPATH"]:
        default = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        merged["PATH"] = f"/{SITE}/bin:{kept.get('PATH', default)}"
    return [f"{name}={value}" for name, value in merged.items()]


def _as_oci(layer: Mapping[str, Any]) -> dict[str, Any]:
    """A base's layer in an OCI manifest. Docker's own media types mean the same."""
    kind = str(layer["mediaType"])
    if "foreign" in kind:
        raise ConfigError("the base image has layers that may not be copied", hint="name another base image")
    if kind.startswith("application/vnd.docker.image.rootfs.diff.tar"):
        kind = "application/vnd.oci.image.layer.v1.tar" + ("+gzip" if kind.endswith("gzip") else "")
    return {"mediaType": kind, "digest": layer["digest"], "size": layer["size"]}
