"""Command and container steps: any program, files in, files out, exit codes mapped."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fairway.errors import TaskFailed, UnsupportedError
from fairway.spec.graph import Port, StepDef
from fairway.spec.outcome import ErrorInfo, ItemOutcome

_PLACEHOLDER = re.compile(r"\{(in|out|param):([^{}]+)\}")
_FILES = ("fairway.File", "fairway.Directory", "fairway.Model", "")
OUTPUTS = "outputs"
LONGEST_COMMAND = 80
GANG_FILES = "/.gang/files/"
_OPENED = re.compile(r"(^|=)/.*/\.inputs/[0-9a-f]{16}/")


class OutputMissing(TaskFailed):
    """A command ended well without having written one of its outputs (or what it wrote is not what was declared: `absent` False)."""

    absent = True


class Folders:
    """Where a program works (`scratch`), finds the bundle's files (`root`) and the store's (`store`), and keeps what outlives a failed try
    (`checkpoints`)."""

    __slots__ = ("checkpoints", "root", "scratch", "store")

    def __init__(self, scratch: str, root: str, store: str, checkpoints: str) -> None:
        self.scratch, self.root, self.store, self.checkpoints = scratch, root, store, checkpoints


def run_command(step: StepDef, values: Mapping[str, Any], folders: Folders, save: Callable[[Any, Port], Any], seed: int) -> ItemOutcome:
    """Run the program to its end and keep its outputs. `values` are the loaded inputs, files as paths."""
    argv = lay_out(step, values, folders.scratch, folders.root)
    if step.kind == "container":
        argv = _in_container(step, argv, folders)
    os.makedirs(folders.checkpoints, exist_ok=True)
    environ = {**os.environ, "FAIRWAY_SEED": str(seed), "FAIRWAY_CHECKPOINTS": folders.checkpoints}
    try:
        pid = os.posix_spawnp(argv[0], argv, environ)
    except FileNotFoundError:
        raise UnsupportedError(
            f"there is no program {argv[0]!r} on this machine", hint="install it, or name it by its path; PATH is the one `fairway run` had"
        ) from None
    except PermissionError:
        raise UnsupportedError(f"{argv[0]!r} may not be executed", hint=f'chmod +x, or call its interpreter: ["sh", {argv[0]!r}]') from None
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    verdict = step.exit_codes.get(str(code), "ok" if code == 0 else "")
    if verdict == "skip":
        return ItemOutcome("skipped", reason=f"exit code {code}")
    if verdict != "ok":
        return ItemOutcome("failed", error=explain_exit([_named(part, folders) for part in argv], code, verdict))
    return ItemOutcome("succeeded", outputs={port.name: save(find_output(port, folders.scratch, argv), port) for port in step.outputs})


def lay_out(step: StepDef, values: Mapping[str, Any], scratch: str, root: str) -> list[str]:
    """The program's command line, once the files are there that it names."""
    os.makedirs(f"{scratch}/{OUTPUTS}", exist_ok=True)
    return [_fill(part, values, scratch, root) for part in step.argv]


def explain_exit(argv: list[str], code: int, verdict: str) -> ErrorInfo:
    """The error of a program that ended badly; `verdict` is what its step says of the exit code ("" if nothing)."""
    shown = " ".join(" ".join(argv).split())
    shown = shown if len(shown) <= LONGEST_COMMAND else shown[:LONGEST_COMMAND] + "…"  # how it ended comes after it, and is to be seen
    if code < 0:
        from fairway.step.verdict import name_signal

        return ErrorInfo(
            "crash", "FW-TASK-CRASHED", f"{shown} was ended by {name_signal(-code)}", hint="its last lines are in the task's log"
        )
    hint = "its last lines are in the task's log; exit_codes={…} of the command says what its other exit codes mean"
    return ErrorInfo(f"exit:{code}", "FW-TASK-FAILED", f"{shown} ended with exit code {code}", hint=hint, retryable=verdict != "fail")


def _named(part: str, folders: Folders) -> str:
    """A file of the bundle or of the scratch folder by the name that the user knows; an input, and what a gang is told, by its own."""
    part = _OPENED.sub(r"\1", part)
    if GANG_FILES in part:
        return part.rpartition("/")[2]
    return next((part[len(folder) + 1 :] for folder in (folders.root, folders.scratch) if folder and part.startswith(f"{folder}/")), part)


def _fill(part: str, values: Mapping[str, Any], scratch: str, root: str) -> str:
    """One argument with its placeholders replaced; a plain argument that names a file of the bundle becomes its full path."""

    def replace(match: re.Match[str]) -> str:
        kind, name = match.groups()
        if kind == "out":
            return f"{scratch}/{OUTPUTS}/{name}"
        if name not in values:
            raise TaskFailed(f"the command names an input {name!r} that it was not given", hint="give it as an argument of the call")
        return as_path(name, values[name], scratch) if kind == "in" else _as_text(values[name])

    filled = _PLACEHOLDER.sub(replace, part)
    if filled == part and root and not os.path.isabs(part) and os.path.exists(f"{root}/{part}") and part not in (".", ".."):
        return f"{root}/{part}"
    return filled


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def as_path(name: str, value: Any, scratch: str) -> str:
    """A file with the input: itself if it is one; text as it is, tables as CSV, anything else as JSON."""
    from fairway.step.types import Directory, File

    if isinstance(value, File | Directory) or hasattr(value, "__fspath__"):
        return os.fspath(value)
    folder = f"{scratch}/inputs"
    os.makedirs(folder, exist_ok=True)
    if hasattr(value, "to_csv"):
        path = f"{folder}/{name}.csv"
        value.to_csv(path, index=False)
        return path
    path = f"{folder}/{name}" if isinstance(value, str | bytes) else f"{folder}/{name}.json"
    data = value if isinstance(value, bytes) else _as_text(value).encode()
    with open(path, "wb") as file:
        file.write(data)
    return path


def find_output(port: Port, scratch: str, argv: Sequence[str]) -> Any:
    """What the command wrote for the output: `{out:NAME}`, or that with a suffix, or a file NAME in its working folder."""
    from fairway.step.types import Directory, File

    path = ""
    for place in (f"{scratch}/{OUTPUTS}", scratch):
        names = sorted(os.listdir(place)) if os.path.isdir(place) else []
        fitting = [n for n in names if n == port.name] or [n for n in names if n.startswith(port.name + ".")]
        if fitting:
            path = f"{place}/{fitting[0]}"
            break
    if not path:
        raise OutputMissing(
            f"{argv[0]} ended well but wrote no output {port.name!r}",
            hint=f"it has to write the file that fw.Out({port.name!r}) stands for",
        )
    if os.path.isdir(path):
        return Directory(path)
    if port.type in _FILES:
        return File(path)
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if port.type == "str":
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        wrong = OutputMissing(
            f"output {port.name!r} is declared as {port.type}, but {argv[0]} wrote no JSON: {error}",
            hint="declare it as fw.File, or write JSON",
        )
        wrong.absent = False
        raise wrong from None


def _in_container(step: StepDef, argv: list[str], folders: Folders) -> list[str]:
    """The command line of the engine. Inputs are links from the working folder into the store: both are mounted, the store to be read."""
    engine = find_container_engine()
    if not engine:
        raise UnsupportedError(
            f"step {step.name!r} runs in a container, and neither docker nor podman is on this machine",
            hint="install one of them, or run this pipeline on a Kubernetes target",
        )
    volumes = [f"--volume={folder}:{folder}" for folder in (folders.scratch, folders.checkpoints)]
    volumes += [f"--volume={path}:{path}:ro" for path in (folders.root, folders.store) if path and os.path.exists(path)]
    variables = [f"--env={name}" for name in ("FAIRWAY_SEED", "FAIRWAY_CHECKPOINTS", *step.environment.variables, *step.secrets)]
    network = ["--network=host"] if step.gang.replicas else []  # ranks find each other at this machine's ports
    return [engine, "run", "--rm", "--init", *network, *volumes, *variables, f"--workdir={folders.scratch}", step.image, *argv]


def find_container_engine() -> str:
    """The path of docker or podman, "" if there is neither."""
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        for name in ("docker", "podman"):
            if os.access(f"{folder}/{name}", os.X_OK):
                return f"{folder}/{name}"
    return ""
