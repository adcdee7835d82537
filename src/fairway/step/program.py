"""Where a container step's files are in its pod, known before anything has run: the container's argv stands in the pod's manifest.

The init container `fetch` puts each input at `input_path` (a link will do), the program writes to `output_path`, the sidecar `ship` looks
there, and in the working folder, when the program has ended.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence

from fairway.errors import TaskFailed
from fairway.spec.artifact import ArtifactRef
from fairway.spec.layout import BUNDLES, CHECKPOINTS, task_folder

HOME = "/fairway"
WORK = f"{HOME}/work"
"""The program's working folder."""

_PLACEHOLDER = re.compile(r"\{(in|out|param):([^{}]+)\}")
_NAMED = ("file", "dir", "model")
_TABLES = ("arrow", "table", "csv")


def host_name(replica: int) -> str:
    """What the replicas of a container step's gang call each other."""
    return f"rank-{replica}"


def first_port(number: int) -> int:
    """The ports at which they meet: each has a network of its own, so they can be known before."""
    return 29500 + number


def checkpoint_path(run: str, task: str) -> str:
    """What outlives a failed try."""
    return f"{HOME}/{CHECKPOINTS}/{run}/{task_folder(task)}"


def input_path(name: str, ref: ArtifactRef) -> str:
    """The path of input `name`: under the name that the file had when it was stored, where it is one; else with the ending of its form."""
    if ref.format in _NAMED:
        own = str(ref.meta.get("name") or name).rpartition("/")[2]
        return f"{WORK}/inputs/{name}/{own or name}"
    if ref.format in _TABLES:
        return f"{WORK}/inputs/{name}/{name}.csv"
    return f"{WORK}/inputs/{name}/{name}{'.json' if ref.format == 'json' and ref.type != 'str' else ''}"


def output_path(name: str) -> str:
    """Where the program writes output `name`."""
    return f"{WORK}/outputs/{name}"


def fill_argv(
    argv: Sequence[str], inputs: Mapping[str, ArtifactRef], read: Callable[[ArtifactRef], str], bundle: str, files: Collection[str]
) -> list[str]:
    """The command line as the pod runs it. `read` gives the text of a value; `files` are the paths in the bundle: a plain argument that
    names one becomes its full path. Raises TaskFailed for an input that was not given."""

    def replace(match: re.Match[str]) -> str:
        kind, name = match.groups()
        if kind == "out":
            return output_path(name)
        if name not in inputs:
            raise TaskFailed(f"the command names an input {name!r} that it was not given", hint="give it as an argument of the call")
        return input_path(name, inputs[name]) if kind == "in" else read(inputs[name])

    def fill(part: str) -> str:
        filled = _PLACEHOLDER.sub(replace, part)
        if filled == part and part.removeprefix("./") in files:
            return f"{HOME}/{BUNDLES}/{bundle}/{part.removeprefix('./')}"
        return filled

    return [fill(part) for part in argv]


def value_text(ref: ArtifactRef, data: bytes) -> str:
    """A value as a word of a command line: text as it is, anything else as JSON."""
    text = data.decode("utf-8", "replace")
    if ref.format != "json":
        return text
    value = json.loads(text)
    return value if isinstance(value, str) else text
