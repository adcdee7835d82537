"""What serving needs of others as one zip for a pod's Python and platform: copies of what is installed here, so no pod needs an index."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from fairway.engine.release import Machine, is_portable
from fairway.envs.runtime import compile_module
from fairway.errors import UnsupportedError

if TYPE_CHECKING:
    from importlib.metadata import Distribution

FIRST = ("msgspec", "httptools", "jsonschema", "grpclib", "protobuf")
_LEVEL = 1
_PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


def collect_serving(machine: Machine, folder: str) -> str:
    """The path of the zip; made below `folder` the first time. Raises UnsupportedError if what is installed here does not fit there."""
    found = find_serving(machine)
    said = "\n".join(f"{one.name} {one.version}" for one in found)
    name = f"serving-cp{machine.python}-{machine.machine}-{hashlib.sha256(said.encode()).hexdigest()[:12]}.zip"
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        os.makedirs(folder, exist_ok=True)
        descriptor, part = tempfile.mkstemp(dir=folder, suffix=".part")
        try:
            with os.fdopen(descriptor, "wb") as file, zipfile.ZipFile(file, "w") as made:
                for inner, data in sorted(_contents(found, machine)):
                    made.writestr(zipfile.ZipInfo(inner), data, zipfile.ZIP_DEFLATED, _LEVEL)
            os.replace(part, path)
        except BaseException:
            os.unlink(part)
            raise
    return path


def find_serving(machine: Machine) -> list[Distribution]:
    """The installed distributions that serving needs, by name. Raises UnsupportedError if one is not here or does not fit that machine."""
    from importlib.metadata import PackageNotFoundError, distribution

    found: dict[str, Distribution] = {}
    waiting = [(name, False) for name in FIRST]
    while waiting:
        name, is_optional = waiting.pop()
        key = re.sub(r"[-_.]+", "-", name).lower()
        if key in found:
            continue
        try:
            one = distribution(name)
        except PackageNotFoundError:
            if is_optional:  # a marker that we do not read says when it is needed: where it was, it has been installed
                continue
            raise UnsupportedError(f"{name} is not installed with the server", hint='its image needs "fairway[serve]"') from None
        if not is_portable(one, machine):
            raise UnsupportedError(
                f"the server's {one.name} {one.version} (Python {_PYTHON}) does not fit Python {machine.python} on {machine.machine}",
                hint='name an image with the Python of the server\'s, or one with "fairway[serve]" in it',
            )
        found[key] = one
        waiting += _needs(one)
    return sorted(found.values(), key=lambda one: one.name.lower())


def _needs(one: Distribution) -> Iterator[tuple[str, bool]]:
    """(name, whether only under some condition) of what it requires, extras left out."""
    for text in one.requires or ():
        requirement, _, marker = text.partition(";")
        name = re.match(r"\s*([\w.-]+)", requirement)
        if name is not None and "extra" not in marker:
            yield name[1], bool(marker.strip())


def _contents(found: list[Distribution], machine: Machine) -> Iterator[tuple[str, bytes]]:
    """The files, modules compiled as well where this Python is of the same version: a pod that starts has no time for that."""
    same = machine.python == _PYTHON
    for one in found:
        for file in one.files or ():
            name = str(file)
            if name.startswith(("..", "/")) or "__pycache__" in file.parts or file.name.endswith((".pyi", ".pxd", ".pyx", ".c", ".h")):
                continue
            path = str(one.locate_file(file))
            with open(path, "rb") as opened:
                data = opened.read()
            yield name, data
            if same and name.endswith(".py"):
                with suppress(SyntaxError, ValueError):  # templates of code, code for other versions
                    yield compile_module(name, data)
