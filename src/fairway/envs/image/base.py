"""What an image to build upon is: its Python, its C library, its layers for one platform. Looked up once per image, then remembered."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fairway.envs.files import write_whole
from fairway.envs.image.reference import Reference
from fairway.envs.image.registry import INDEXES, ImageStore, Manifest, get_manifest
from fairway.errors import ConfigError, UnsupportedError
from fairway.spec.record import Record, field, from_plain, record, to_plain

_PYTHON = re.compile(r"(?:^|/)bin/python(3\.\d+)$")
_MUSL = re.compile(r"(?:^|/)lib/ld-musl-[\w]+\.so\.1$")
_OLDEST_MINOR = 11


@record
class Base(Record):
    """One image for one platform. `python`: its minor version, "" if it has none. `libc`: "glibc" or "musl"."""

    manifest: Manifest
    config: dict[str, Any]
    layers: tuple[dict[str, Any], ...]
    platform: str
    python: str = ""
    libc: str = "glibc"


@record
class _Facts(Record):
    python: str = ""
    libc: str = "glibc"
    scanned: tuple[str, ...] = field(default_factory=tuple)


def read_base(store: ImageStore, reference: Reference, platform: str, cache: Path) -> Base:
    """The base image for `platform` ("linux/amd64"). Raises NotFoundError, UnsupportedError if it is not made for that platform."""
    top = get_manifest(store, reference)
    manifest = _for_platform(store, top, reference, platform)
    config = _read_json(store, manifest.body["config"]["digest"])
    made_for = f"{config.get('os', 'linux')}/{config.get('architecture', '')}"
    if made_for != platform:
        raise UnsupportedError(f"{reference} is made for {made_for}, not for {platform}", hint="name a base image that is made for it")
    layers = tuple(manifest.body["layers"])
    facts = _find_facts(store, layers, cache / "bases" / manifest.digest.replace(":", "-"), config)
    return Base(manifest, config, layers, platform, facts.python, facts.libc)


def check_python(base: Base, wanted: str, reference: Reference) -> None:
    """Raises ConfigError if an environment for Python `wanted` ("3.12") cannot work in the image."""
    if not base.python:
        raise ConfigError(
            f"{reference} has no Python of its own, so no packages can be put into it", hint="name an image with Python >= 3.11"
        )
    if int(base.python.partition(".")[2]) < _OLDEST_MINOR:
        raise ConfigError(f"{reference} has Python {base.python}", hint="name an image with Python >= 3.11")
    if wanted and base.python != wanted:
        raise ConfigError(
            f"the environment is locked for Python {wanted}, and {reference} has Python {base.python}",
            hint=f'name an image with Python {wanted}, or lock for {base.python}: fw.env(python="{base.python}")',
        )


def _for_platform(store: ImageStore, top: Manifest, reference: Reference, platform: str) -> Manifest:
    if top.media_type not in INDEXES:
        return top
    offered = top.body.get("manifests", [])
    for entry in offered:
        about = entry.get("platform", {})
        if f"{about.get('os')}/{about.get('architecture')}" == platform and about.get("variant", "v8") == "v8":
            found = store.find_manifest(entry["digest"])
            if found is not None:
                return found
    has = sorted(
        {f"{e['platform'].get('os')}/{e['platform'].get('architecture')}" for e in offered if e.get("platform")} - {"unknown/unknown"}
    )
    raise UnsupportedError(
        f"{reference} is not made for {platform}", hint=f"it is made for {', '.join(has) or 'no platform that it names'}"
    )


def _read_json(store: ImageStore, digest: str) -> dict[str, Any]:
    with store.open_blob(digest) as stream:
        return json.loads(stream.read())


def _find_facts(store: ImageStore, layers: tuple[dict[str, Any], ...], path: Path, config: dict[str, Any]) -> _Facts:
    """Which Python and which C library; read out of the layers' lists of files, which means to fetch them, once."""
    try:
        return from_plain(_Facts, json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError):
        facts = _Facts()
    found: set[str] = set()
    for layer in layers:
        _scan(lambda layer=layer: store.open_blob(layer["digest"]), found, facts)
    named = dict(pair.partition("=")[::2] for pair in (config.get("config") or {}).get("Env") or [])
    official = ".".join(named.get("PYTHON_VERSION", "").split(".")[:2])
    facts.python = official if official in found else max(found, key=lambda text: int(text.partition(".")[2]), default="")
    write_whole(path, json.dumps(to_plain(facts)))
    return facts


def _scan(open_layer: Callable[[], Any], found: set[str], facts: _Facts) -> None:
    with open_layer() as stream, tarfile.open(fileobj=stream, mode="r|*") as tar:
        for member in tar:
            if match := _PYTHON.search(member.name):
                found.add(match[1])
            elif _MUSL.search(member.name):
                facts.libc = "musl"
        while stream.read(1 << 16):  # to its end: the connection is used again
            continue
