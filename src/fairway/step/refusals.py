"""What to say when a value cannot be stored, trusted or read: always with the ways out."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any

from fairway.errors import DefinitionError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fairway.spec.artifact import ArtifactRef


class VersionMismatch(UserWarning):
    """A value was written by another version of its library than the one that reads it."""


_HINTS = {
    "pathlib": "annotate the output with fw.File or fw.Directory to store what is at the path, or return str(path)",
    "builtins.generator": "return a list: list(generator)",
    "builtins.function": "return what the function computes, or call it in the step that needs it",
    "_io": "return fw.File(path) after closing the file",
    "sqlite3": "open the connection in the step that uses it",
    "_thread": "locks and threads belong to one process",
    "socket": "open the connection in the step that uses it",
}


def cannot_store(value: Any, called: str) -> DefinitionError:
    """No serializer takes this value."""
    from fairway.step import serializers

    kind = type(value)
    name = serializers.type_name(kind)
    special = next((text for start, text in _HINTS.items() if f"{kind.__module__}.{kind.__qualname__}".startswith(start)), "")
    if not special and "<locals>" in kind.__qualname__:
        special = f"define {kind.__name__} at the top of its module, so that others can find it"
    ways = special or (
        "return plain data (numbers, text, lists, dicts, dataclasses), a table, an array or a fw.File; "
        f'or register a serializer for it under the entry point group "{serializers.GROUP}"'
    )
    return DefinitionError(
        f"the {called} holds a {name}, which has no safe stored format",
        hint=f"{ways}; or, if you trust every writer of this store, @fw.step(trust=True) pickles it",
    )


def cannot_trust(ref: ArtifactRef) -> DefinitionError:
    """A pickle runs code when it is read."""
    return DefinitionError(
        f"the input is a pickled {ref.type}: reading it runs whatever code its writer put there",
        hint="if you trust who wrote it: @fw.step(trust=True) on this step, or .load(trust=True)",
    )


def cannot_read(ref: ArtifactRef, path: str, error: Exception) -> StoreUnavailable:
    """The bytes do not make a value."""
    from pathlib import Path

    from fairway.step.serializers.hashed import hash_file

    what = f"the stored {ref.type or ref.format} sha256:{ref.digest[:12]}"
    if Path(path).is_file() and hash_file(path) != ref.digest:
        return StoreUnavailable(
            f"{what} is damaged: its bytes have changed since it was written", hint=f"delete {path} and run again: it will be made anew"
        )
    told = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    return StoreUnavailable(f"{what} cannot be read here: {told}", hint="is the library that wrote it newer than the one installed here?")


def warn_of_versions(what: str, versions: Mapping[str, str]) -> None:
    """Warn, once for each difference, if a library has another version than the one that wrote the value."""
    for library, written in versions.items():
        here = find_version(library)
        if here is not None and here.partition("+")[0] != written.partition("+")[0]:  # what follows "+" is how it was built
            warnings.warn(
                f"this {what} was written with {library} {written} and is being read with {here}: it may fail or give other results; "
                f'pin the version with fw.env(packages=["{library}=={written}"]) or train it again',
                VersionMismatch,
                stacklevel=2,
            )


def find_version(library: str) -> str | None:
    """The version of an installed distribution (or of Python itself), None if it is not installed."""
    if library == "python":
        return f"{sys.version_info.major}.{sys.version_info.minor}"
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(library)
    except PackageNotFoundError:
        return None
