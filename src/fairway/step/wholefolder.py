"""A folder that is there whole, or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable

from fairway.errors import StoreUnavailable


def place_whole(target: str, what: str, fill: Callable[[str], None]) -> str:
    """`target`, made by `fill(folder)`, which writes into a folder beside it; nothing is done if it is there. Raises StoreUnavailable."""
    if os.path.isdir(target):
        return target
    part = f"{target}.{os.getpid()}-{os.urandom(4).hex()}"
    try:
        os.makedirs(part)
        fill(part)
        os.rename(part, target)
    except OSError as error:
        import shutil

        shutil.rmtree(part, ignore_errors=True)
        if os.path.isdir(target):
            return target  # somebody else was first, with the same files
        raise StoreUnavailable(
            f"cannot write the {what} {target}: {error.strerror or error}", hint="is there room, and may you write there?"
        ) from error
    return target


def write_file(path: str, content: bytes) -> None:
    """With the folders above it."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)
