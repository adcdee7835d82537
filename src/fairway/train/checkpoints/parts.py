"""Parts of one checkpoint that other ranks have saved: they too must be whole, or it is none; and they may be on another machine."""

from __future__ import annotations

import json
import os
import time

from fairway.step import pulse
from fairway.step.saved import ELSEWHERE, LOST, WANTED, Manifest, Saved, manifest_name
from fairway.step.serializers.hashed import hash_file
from fairway.train.checkpoints.reading import Damaged
from fairway.train.checkpoints.writing import CHECKED, remove

_LOOK_EVERY_S = 0.02
GOOD = "good"


def check_others(root: str, saved: Saved, rank: int, n: int) -> None:
    """Raises Damaged unless the parts of all other ranks are whole, too: all ranks of the `n`th try see the checkpoint alike.

    Each rank looks first at what stands behind its own part, and leaves word of what it has found: with all looking, each file is read
    about once. What is elsewhere its server has looked at.
    """
    path, count = f"{root}/{saved.name}", len(saved.manifests)
    elsewhere = _find_elsewhere(path)
    for place in range(1, count):
        one = saved.manifests[(rank + place) % count]
        if not elsewhere.issuperset(one.files):
            said = _read_word(path, n, one) or check_part(path, one, n)
            if said != GOOD:
                raise Damaged(said)


def check_part(path: str, one: Manifest, n: int, said: str = "") -> str:
    """Look at every byte of a part's files, and leave word of it: "good", or what is wrong (`said`, where that is known already)."""
    found = said or next(filter(None, (_look_at(path, one, name) for name in one.files)), GOOD)
    try:
        target = f"{path}/{_name(n, one)}"
        with open(f"{target}.{os.getpid()}.part", "w", encoding="utf-8") as file:
            file.write(found)
        os.rename(f"{target}.{os.getpid()}.part", target)
    except OSError:  # a disk that is full, or may only be read: the others look for themselves
        pass
    return found


def bring_all(root: str, saved: Saved) -> None:
    """Until the files of all its parts are on this machine. Raises Damaged if they cannot be had."""
    if not _find_elsewhere(f"{root}/{saved.name}"):
        return
    wanted, lost = f"{root}/{WANTED}{saved.name}", f"{root}/{LOST}{saved.name}"
    os.makedirs(os.path.dirname(wanted), exist_ok=True)
    remove(lost)
    with open(wanted, "w", encoding="utf-8"):
        pass
    with pulse.waiting("network"):
        while os.path.exists(f"{root}/{saved.name}/{ELSEWHERE}"):
            pulse.beat()  # whoever brings them has its own patience
            if not os.path.exists(wanted) and os.path.exists(lost):
                with open(lost, encoding="utf-8") as file:
                    raise Damaged(file.read())
            time.sleep(_LOOK_EVERY_S)


def _find_elsewhere(path: str) -> set[str]:
    try:
        with open(f"{path}/{ELSEWHERE}", encoding="utf-8") as file:
            return set(json.load(file))
    except (FileNotFoundError, ValueError):
        return set()


def _look_at(path: str, one: Manifest, name: str) -> str:
    held = one.files[name]
    try:
        size = os.stat(f"{path}/{name}").st_size
        if size != held.size_bytes:
            return f"{name} has {size:,} bytes instead of {held.size_bytes:,}"
        return "" if hash_file(f"{path}/{name}") == held.sha256 else f"the digest of {name} is not the one in its manifest"
    except FileNotFoundError:
        return f"{name} is missing"
    except OSError as error:
        return f"{name} cannot be read: {error.strerror or error}"


def _read_word(path: str, n: int, one: Manifest) -> str:
    try:
        with open(f"{path}/{_name(n, one)}", encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def _name(n: int, one: Manifest) -> str:
    return f"{CHECKED}{n}.{manifest_name(one.rank, one.world_size, True)}"
