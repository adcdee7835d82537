"""One item of an attempt: load its inputs, call the step, store its outputs."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from fairway.errors import DefinitionError, NotFoundError, StoreUnavailable, TaskFailed
from fairway.spec.artifact import ArtifactRef, blob_key
from fairway.spec.graph import Port
from fairway.spec.outcome import ItemOutcome, Usage
from fairway.spec.record import to_plain
from fairway.step import artifacts, context, plainjson
from fairway.step.context import Settled
from fairway.step.conversion import find_conversion
from fairway.step.defeat import TERMINATED, Terminated
from fairway.step.importing import import_module
from fairway.step.seeding import seed_everything

if TYPE_CHECKING:
    from fairway.spec.attempt import AttemptItem, AttemptSpec, Input
    from fairway.spec.ports import ArtifactStore
    from fairway.step.errors_report import Origin

_TELLING_CHARS = 6  # shorter secrets are found everywhere
_IMMUTABLE = (str, int, float, bool, bytes, type(None))


class ItemRunner:
    """Runs the items of one attempt, one after the other. `phase` is "input" or "output" while values travel, "" in user code.

    Every item gets its own copy of what can be changed, also of inputs the batch shares: an item's result must not depend on its batch.
    `around` is entered around the user's code of a gang's rank, which has one item; the ranks of a machine share the folder `opened`, where
    files and folders among the inputs are laid out.
    """

    def __init__(
        self, spec: AttemptSpec, store: ArtifactStore, scratch: str, root: str, secrets: Mapping[str, str], origin: Origin, usage: Usage
    ) -> None:
        self.phase = ""
        self._spec, self._store, self._scratch, self._root = spec, store, scratch, root
        self._secrets, self._origin, self._usage = secrets, origin, usage
        self.opened = scratch
        self._types = {port.name: port.type for port in spec.step.inputs}
        if spec.step.kind in ("command", "container"):  # a program takes files, whatever was made: see `command`
            self._types = {name: "" if kind == "fairway.File" else kind for name, kind in self._types.items()}
        self._items = 0
        self._conversions = {port.name: find_conversion(port.type) for port in spec.step.inputs}
        self._shared: dict[str, Any] = {}
        self._target: Any = None
        self.around: AbstractContextManager[None] = nullcontext()

    def run(self, item: AttemptItem) -> ItemOutcome:
        """Raises what user code raises, and FairwayErrors of inputs and outputs (then `phase` says which)."""
        step = self._spec.step
        self.phase = "input"
        self._items += 1
        if self._items > 1 and step.kind in ("command", "container"):
            clear_folder(self._scratch)  # what the item before has left there is none of this one's outputs
        values = self.load(item)
        self.phase = ""
        self._usage.running_at = self._usage.running_at or time.time()
        seed_everything(item.seed)
        if step.kind in ("command", "container"):
            with self.around:
                return self._run_command(values, item.seed)
        if self._target is None:
            self._target = find_target(step.module, step.qualname, self._root)
        self._convert(values)
        if step.kind == "dynamic":
            return self._expand(values)
        function = getattr(self._target, "function", self._target)
        with self.around, Settled(), _OneProcess():
            result = function(**values)
        self._usage.writing_at = time.time()
        self.phase = "output"
        outputs = {port.name: self.save(value, port) for port, value in self._split(result)}
        self.phase = ""
        return ItemOutcome("succeeded", outputs)

    def lay_out(self, item: AttemptItem) -> None:
        """The files that a program finds, without running it."""
        from fairway.step.command import lay_out

        lay_out(self._spec.step, self.load(item), self._scratch, self._root)

    def load(self, item: AttemptItem) -> dict[str, Any]:
        """Its inputs as values, those the batch shares among them. Raises NotFoundError (a secret), and what loading artifacts raises."""
        values = {name: self._load(name, given) for name, given in self._spec.inputs.items() if name not in item.inputs}
        return values | {name: self._load(name, given) for name, given in item.inputs.items()}

    def _load(self, name: str, given: Input) -> Any:
        if given.secret:
            if given.secret not in self._secrets:
                raise NotFoundError(f"there is no secret {given.secret!r}", hint=f"set the variable {given.secret}, or put it into .env")
            return self._secrets[given.secret]
        ref = given.ref
        if ref is None:
            return None
        if ref.digest in self._shared:
            return self._shared[ref.digest]
        try:
            value = artifacts.load(ref, self._store, self.opened, wanted=self._types.get(name, ""), trust=self._spec.step.trust)
        except NotFoundError as error:
            raise StoreUnavailable(
                f"input {name!r} is gone from the store: {error.message}",
                hint="was it deleted by hand? A new `fairway run` makes it again",
            ) from error
        if type(value) in _IMMUTABLE and ref.inline is None:
            self._shared[ref.digest] = value
        return value

    def _convert(self, values: dict[str, Any]) -> None:
        """What the annotations make of plain JSON."""
        for name, convert in self._conversions.items():
            if convert is not None and name in values:
                self.phase = "input"
                try:
                    values[name] = convert(values[name])
                except DefinitionError as error:
                    raise DefinitionError(f"input {name!r}: {error.message}", hint=error.hint) from None
        self.phase = ""

    def save(self, value: Any, port: Port) -> ArtifactRef:
        """An output, kept. Raises DefinitionError for what cannot or must not be stored."""
        if self._secrets:
            self._refuse_secrets(value, port)
        return artifacts.save(value, self._store, self._scratch, declared=port.type, name=port.name, trust=self._spec.step.trust)

    def _refuse_secrets(self, value: Any, port: Port) -> None:
        """Text, lists and dicts that hold a secret's value are not stored. (Tables and files are not searched.)"""
        text = value if type(value) is str else plainjson.dump_plain(value).decode() if plainjson.is_plain(value) else ""
        for name, secret in self._secrets.items():
            if len(secret) >= _TELLING_CHARS and (secret in text or json.dumps(secret, ensure_ascii=False)[1:-1] in text):
                raise DefinitionError(
                    f"the output {port.name!r} holds the value of the secret {name}",
                    hint="outputs are stored with the run, and secrets never are: return what was made with it",
                )

    def _split(self, result: Any) -> list[tuple[Port, Any]]:
        """The function's value as outputs, as the step's definition says."""
        step = self._spec.step
        if step.returns == "none" or not step.outputs:
            return []
        if step.returns == "one":
            return [(step.outputs[0], result)]
        if step.returns == "dict":
            if not isinstance(result, Mapping):
                raise _not_returned(step.name, "a dict", result)
            missing = [port.name for port in step.outputs if port.name not in result]
            if missing:
                raise TaskFailed(f"step {step.name!r} returned no {missing[0]!r}", hint=f"its dict must hold {_names(step.outputs)}")
            return [(port, result[port.name]) for port in step.outputs]
        try:
            return [(port, getattr(result, port.name)) for port in step.outputs]
        except AttributeError:
            raise _not_returned(step.name, "what it is annotated to return", result, _names(step.outputs)) from None

    def _run_command(self, values: dict[str, Any], seed: int) -> ItemOutcome:
        from fairway.step.command import Folders, OutputMissing, run_command

        def save(value: Any, port: Port) -> ArtifactRef:
            self._usage.writing_at = self._usage.writing_at or time.time()
            return self.save(value, port)

        folders = Folders(self._scratch, self._root, getattr(self._store, "root", ""), context.context().folder)
        try:
            made = run_command(self._spec.step, values, folders, save, seed)
        except OutputMissing:
            self.phase = "output"
            raise
        if made.error is not None:
            made.error.message = self._origin.mask(made.error.message)
        return made

    def _expand(self, values: dict[str, Any]) -> ItemOutcome:
        graph = self._target.expand(
            values, lambda value: artifacts.save(value, self._store, self._scratch, trust=self._spec.step.trust), self._spec.environment
        )
        data = json.dumps(to_plain(graph), separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()
        digest = hashlib.sha256(data).hexdigest()
        self._usage.writing_at = time.time()
        self._store.put(blob_key(digest), data)
        return ItemOutcome("succeeded", graph=digest)


class _OneProcess:
    """Around a step's function: a child that it has forked, and that comes back from it, ends there. It would go on as the step itself, and
    end the task a second time."""

    def __enter__(self) -> None:
        self._pid = os.getpid()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if os.getpid() == self._pid:
            return
        status = 0 if error is None else 1
        if isinstance(error, Terminated):  # somebody has ended it
            status = TERMINATED
        elif isinstance(error, SystemExit):  # as any process may end, and whoever forked it waits for its status
            status = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
            if isinstance(error.code, str):
                print(error.code, file=sys.stderr)
        else:
            if error is not None:
                import traceback

                traceback.print_exception(kind, error, trace)
            print(f"fairway: a process that the step had forked {'raised' if error else 'returned'} there: a child ends by os._exit()")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status & 0xFF)


def clear_folder(path: str) -> None:
    """Remove all that is in a folder, as far as it can be removed."""
    import shutil

    with os.scandir(path) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                os.unlink(entry.path)


def _not_returned(name: str, wanted: str, result: Any, names: str = "") -> TaskFailed:
    hint = f"return an object with {names}" if names else "return what the annotation says, or change the annotation"
    return TaskFailed(f"step {name!r} did not return {wanted} but a {type(result).__name__}", hint=hint)


def _names(ports: tuple[Port, ...]) -> str:
    return ", ".join(port.name for port in ports)


def find_target(module: str, qualname: str, root: str) -> Any:
    """The step (or plain function) `module:qualname`. Raises DefinitionError if the module has no such name."""
    target = import_module(module, root)
    for part in qualname.split("."):
        try:
            target = getattr(target, part)
        except AttributeError:
            raise DefinitionError(
                f"module {module!r} has no {qualname!r}",
                hint="a step must be defined at the top level of its module, whenever it is imported",
            ) from None
    return target
