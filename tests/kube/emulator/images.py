"""The images that the cluster's nodes can pull, made of programs of this machine."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

SHELLS = {"sh", "bash", "dash", "ash"}


class Image(NamedTuple):
    """One image. `python`: the interpreter it has as python3, "" for none; `shell`: whether it has a shell and the usual tools;
    `programs`: what else it has, by name. `user`: its USER. `command`: entrypoint and arguments when a pod gives none."""

    name: str
    python: str = ""
    shell: bool = True
    programs: dict[str, str] = {}
    user: int = 0
    command: tuple[str, ...] = ()
    env: dict[str, str] = {}

    @property
    def digest(self) -> str:
        return "sha256:" + hashlib.sha256(self.name.encode()).hexdigest()


BARE = str(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info[1]}")
STANDARD = (
    Image("python:3.11-slim", python=BARE),
    Image("python:3.12-slim", python=BARE),
    Image("busybox:1.37"),
    Image("debian:12-slim"),
    Image("gcr.io/distroless/static:nonroot", shell=False, user=65532),
)


class Images:
    """By name; `refusals` holds what the registry says for a name instead."""

    def __init__(self, folder: Path, images: Iterable[Image]) -> None:
        self._folder, self.cluster = folder, str(folder)
        self._known = {image.name: image for image in images}
        self.refusals: dict[str, str] = {}
        self.hasty = False  # nodes read what a container wrote last before its last line is there

    def add(self, image: Image) -> None:
        self._known[image.name] = image

    def find(self, name: str) -> tuple[Image | None, str]:
        """The image, or the words with which the registry refuses."""
        full = expanded(name)
        if name in self.refusals:
            return None, f'failed to pull and unpack image "{full}": {self.refusals[name]}'
        plain = name.split("@")[0]
        image = self._known.get(name) or self._known.get(plain)
        if image is not None:
            return image, ""
        tagged = f'failed to pull and unpack image "{full}": failed to resolve image'
        if any(known.rsplit(":", 1)[0] == plain.rsplit(":", 1)[0] for known in self._known):
            return None, f"{tagged}: {full}: not found"
        words = "pull access denied, repository does not exist or may require authorization: "
        words += "server message: insufficient_scope: authorization failed"
        return None, f"{tagged}: {words}"

    def path(self, image: Image) -> str:
        """The PATH of a container: a folder of links to the image's programs, made once."""
        folder = self._folder / image.digest.split(":")[1]
        if not folder.exists():
            folder.mkdir(parents=True)
            for name, target in image.programs.items():
                (folder / name).symlink_to(target)
        parts = [str(folder)]
        if image.python:
            # A virtual environment is known by the folder its interpreter is in, so that one goes onto the path as it is.
            own = Path(image.python).parent
            if (own.parent / "pyvenv.cfg").exists():
                parts.append(str(own))
            elif not (folder / "python3").exists():
                (folder / "python3").symlink_to(image.python)
                (folder / "python").symlink_to(image.python)
        return os.pathsep.join([*parts, *(("/usr/local/bin", "/usr/bin", "/bin") if image.shell else ())])

    def find_program(self, image: Image, name: str, path: str) -> str | None:
        """Where a command is; None if the image does not have it."""
        base = Path(name).name
        if base in SHELLS and not image.shell:
            return None
        if base.startswith("python") and not image.python:
            return None
        return name if "/" in name and os.access(name, os.X_OK) else shutil.which(name, path=path) if "/" not in name else None


def expanded(name: str) -> str:
    """The full name, as containerd writes it."""
    first = name.split("/")[0]
    full = (
        name
        if "/" in name and ("." in first or ":" in first or first == "localhost")
        else f"docker.io/{name if '/' in name else f'library/{name}'}"
    )
    return full if "@" in full or ":" in full.rsplit("/", 1)[-1] else f"{full}:latest"
