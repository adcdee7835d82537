"""The layer of a locked environment: wheels for the image's platform, put where its Python finds them."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import tempfile
from pathlib import Path

from fairway.envs.files import held, write_whole
from fairway.envs.image.layers import Layer, folder_entries, write_layer
from fairway.envs.uv import run_uv
from fairway.errors import UnsupportedError
from fairway.spec.record import from_plain, to_plain

SITE = "opt/fairway/site"
_ARCHITECTURES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
_LIBC = {"glibc": "manylinux_2_28", "musl": "musllinux_1_2"}
_SHEBANG = re.compile(rb"^#!.*python[^\n]*\n")
_LOCAL = ("direct_url.json", "uv_cache.json", "uv_build.json")


def environment_layer(requirements: str, platform: str, python: str, cache: Path, *, libc: str = "glibc", locked: bool = True) -> Layer:
    """The packages of a lock (or of plain requirements) as a layer; made once for the same text, platform and Python.

    Raises UnsupportedError for a platform without wheels, ConfigError for packages that have none for it, InfraError.
    """
    if platform not in _ARCHITECTURES:
        raise UnsupportedError(f"packages cannot be chosen for {platform}", hint=f"known: {', '.join(_ARCHITECTURES)}")
    target = f"{_ARCHITECTURES[platform]}-{_LIBC[libc]}"
    asked = hashlib.sha256("\0".join((requirements, target, python, "2")).encode()).hexdigest()
    return remembered(cache, asked, lambda: _make(requirements, target, python, cache, locked), keep=locked)


def remembered(cache: Path, asked: str, make: object, *, keep: bool = True) -> Layer:
    """A layer that was made before for the same wish, or that is made now. Any number of processes may ask at once; one makes it."""
    record = cache / "layers" / f"{asked}.json"
    with held(cache / "layers" / f"{asked}.held"):
        try:
            known = from_plain(Layer, json.loads(record.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError):
            known = None
        if known is None or not Path(known.path).exists() or not keep:
            known = make()  # type: ignore[operator]
            write_whole(record, json.dumps(to_plain(known)))
        return known


def _make(requirements: str, target: str, python: str, cache: Path, locked: bool) -> Layer:
    with tempfile.TemporaryDirectory(prefix="fairway-image-") as scratch:
        site = Path(scratch, "site")
        words = ["pip", "install", "--quiet", "--target", str(site), "--python-platform", target, "--python-version", python]
        words += ["--only-binary", ":all:", "--link-mode", "copy", *(["--no-deps"] if locked else []), "-r", "-"]
        run_uv(words, cwd=Path(scratch), text=requirements, doing=f"cannot install the packages for {target}, Python {python}")
        site.mkdir(exist_ok=True)
        _make_portable(site)
        entries = folder_entries(site, SITE, leave_out=("__pycache__", ".lock"))
        entries = [entry for entry in entries if not entry.path.endswith("/.lock")]
        return write_layer(entries, cache / "blobs", compress=True, comment="packages of the locked environment")


def _make_portable(site: Path) -> None:
    """Take out what names this machine: interpreters in scripts, folders that wheels came from."""
    changed: dict[str, tuple[str, int] | None] = {}
    for script in (site / "bin").glob("*") if (site / "bin").is_dir() else ():
        data = script.read_bytes()
        if _SHEBANG.match(data) or data.startswith(b"#!/bin/sh\n'''exec'"):
            body = data.split(b"' '''\n", 1)[1] if data.startswith(b"#!/bin/sh\n'''exec'") else data.split(b"\n", 1)[1]
            data = b"#!/usr/bin/env python3\n" + body
            script.write_bytes(data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            changed[f"bin/{script.name}"] = (digest, len(data))
    for record in site.glob("*.dist-info/RECORD"):
        for name in _LOCAL:
            local = record.with_name(name)
            if local.exists():
                local.unlink()
                changed[f"{record.parent.name}/{name}"] = None
        lines = [line for old in record.read_text(encoding="utf-8").splitlines() if (line := _rewrite(old, changed))]
        record.write_text("\n".join(sorted(lines)) + "\n", encoding="utf-8")
    for folder in site.rglob("__pycache__"):
        shutil.rmtree(folder, ignore_errors=True)


def _rewrite(line: str, changed: dict[str, tuple[str, int] | None]) -> str:
    """A line of a RECORD as it has to be now, "" if its file is gone."""
    path = line.rsplit(",", 2)[0].strip('"')
    inside = re.sub(r"^(\.\./)+", "", path)
    if inside not in changed:
        return line
    now = changed[inside]
    return f"{path},sha256={now[0]},{now[1]}" if now else ""
