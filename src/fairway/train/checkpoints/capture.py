"""A state as it is at this moment: its structure as JSON, its tensors copied into the arena, in the order in which files will hold them."""

from __future__ import annotations

import json
import threading
from typing import Any

from fairway.errors import DefinitionError
from fairway.spec.record import to_plain
from fairway.step import plainjson
from fairway.step.serializers.tensorfile import METADATA, render_header
from fairway.train.checkpoints.arena import Arena, Copy, copy_all, copy_one_by_one
from fairway.train.checkpoints.places import find_path, names_of
from fairway.train.checkpoints.tensors import Tensor, find_tensor

FILE_BYTES = 256 << 20
"""A file takes no further tensor once it holds so much: several are checked, sent and fetched side by side."""
_ALIGNED = 64
_LATER_BYTES = 1 << 16  # what is smaller takes no time: so the buffers of a batch normalization, which a forward pass changes, are safe
_encode = json.JSONEncoder(separators=(",", ":")).encode


class Captured:
    """What a writer needs: `tree` (the bytes of tree.json) and `files`, each the header of a safetensors file and where in the arena its
    data lies. `await_copies()` returns once the arena holds everything; what is to be copied `beside` the training it copies itself."""

    def __init__(self) -> None:
        self.tree = b""
        self.files: list[tuple[bytes, int, int]] = []
        self.size_bytes = 0
        self.events: list[Any] = []
        self.beside: list[tuple[Copy, Tensor, int, str]] = []  # with the tensor's version when it was saved, and its name
        self.copied = threading.Event()

    def await_copies(self) -> None:
        """A CUDA device copies by itself. Raises DefinitionError where the training has changed what was being copied."""
        try:
            for event in self.events:
                event.synchronize()
            copy_one_by_one([copy for copy, *_ in self.beside])
            for _, tensor, version, name in self.beside:
                if tensor.version() != version:
                    raise DefinitionError(
                        f"{name} was changed while it was copied",
                        hint="call fw.checkpoint.copied() before what changes it, or save without beside=True",
                    )
        finally:
            self.beside = []
            self.copied.set()


class Capture:
    """Takes one state apart. `keep(value)` stores what is no tensor by its own serializer and gives its reference."""

    def __init__(self, state: Any, keep: Any) -> None:
        self._state, self._keep = state, keep
        self._values: list[Tensor | dict[str, Any]] = []
        self._firsts: list[int] = []
        self._seen: dict[Any, int] = {}
        self._alive: list[Any] = []  # an identity is an address: nothing may go before all are known

    def run(self, arena: Arena, *, beside: bool = False) -> Captured:
        """`beside`: what can be copied later is not copied now.

        Raises DefinitionError, naming the place in the state, for what cannot be kept.
        """
        try:
            shape = plainjson.encode(self._state, self._leaf)
        except plainjson.NotJson as error:
            raise self._refused(error.value, f"a {type(error.value).__qualname__} cannot be kept", "") from None
        except RecursionError:
            raise DefinitionError("the state contains itself or is nested too deeply to be kept", hint="keep a flatter structure") from None
        made = Captured()
        entries = self._lay_out(made)
        self._copy(entries, arena, made, beside)
        made.tree = _encode({"values": entries}).encode() + b"\n" + plainjson.dump_plain(shape)
        return made

    def _leaf(self, value: Any) -> Any:
        self._alive.append(value)
        number = self._seen.get(id(value))
        if number is None:
            try:
                kept = self._take(value)
            except plainjson.NotJson:
                raise
            except DefinitionError as error:
                raise self._refused(value, error.message.replace("the output 'checkpoint'", "this"), error.hint) from error
            if isinstance(kept, _Plain):
                return plainjson.encode(kept.value, self._leaf)
            identity = kept.identity if isinstance(kept, Tensor) else None
            number = self._seen.get(identity, len(self._values)) if identity is not None else len(self._values)
            if number == len(self._values):
                self._values.append(kept)
                self._firsts.append(id(value))
            self._seen[id(value)] = number
            if identity is not None:
                self._seen[identity] = number
        return {"$ref": number}

    def _take(self, value: Any) -> Tensor | _Plain | dict[str, Any]:
        state = getattr(type(value), "fairway_state", None)
        if state is not None:
            return _Plain(state(value))
        if type(value).__module__ == "torch" and (word := _torch_word(value)) is not None:
            return {"torch": word}
        return find_tensor(value) or {"artifact": to_plain(self._keep(value))}

    def _refused(self, value: Any, message: str, hint: str) -> DefinitionError:
        where, kind = find_path(self._state, value), type(value)
        if hasattr(kind, "state_dict"):
            hint = "keep its state_dict(), and give that back by load_state_dict()"
        return DefinitionError(
            f"{where}: {message}", hint=hint or "keep numbers, text, lists, dicts and tensors; the rest can be made anew"
        )

    def _lay_out(self, made: Captured) -> list[dict[str, Any]]:
        """Entries of tree.json, each tensor's with its file and "at", its place in the arena. Within a file the widest numbers come first:
        all lie aligned."""
        names = self._name()
        groups: list[list[int]] = []
        filled = FILE_BYTES
        for number, value in enumerate(self._values):
            if isinstance(value, Tensor):
                if filled >= FILE_BYTES:
                    groups.append([])
                    filled = 0
                groups[-1].append(number)
                filled += value.size_bytes
        entries: list[dict[str, Any]] = [{} if isinstance(value, Tensor) else value for value in self._values]
        at = 0
        for index, group in enumerate(groups):
            tensors = {number: value for number in group if isinstance(value := self._values[number], Tensor)}
            start, header = at, {}
            for number in sorted(group, key=lambda number: -tensors[number].alignment):
                tensor = tensors[number]
                dtype, shape = (tensor.code, list(tensor.shape)) if tensor.code else ("U8", [tensor.size_bytes])
                header[names[number]] = {"dtype": dtype, "shape": shape, "data_offsets": [at - start, at - start + tensor.size_bytes]}
                entries[number] = {**tensor.describe(), "file": file_name(index), "tensor": names[number], "at": at}
                at += tensor.size_bytes
            made.files.append((render_header(header, {"format": "pt"}, aligned=_ALIGNED), start, at - start))
            at += -at % _ALIGNED
        made.size_bytes = at
        return entries

    def _name(self) -> dict[int, str]:
        """A name of its own for each tensor, by where it stands."""
        names, taken, found = names_of(self._state), set[str](), dict[int, str]()
        for number, first in enumerate(self._firsts):
            name = names.get(first, "value")
            found[number] = name if name not in taken and name != METADATA else f"{name}#{number}"
            taken.add(found[number])
        return found

    def _copy(self, entries: list[dict[str, Any]], arena: Arena, made: Captured, beside: bool) -> None:
        tensors = [(entries[number].pop("at"), value) for number, value in enumerate(self._values) if isinstance(value, Tensor)]
        devices = {tensor.device for _, tensor in tensors if tensor.device is not None}
        arena.ensure(made.size_bytes, pinned=bool(devices))
        copies: list[Copy] = []
        names = [entry["tensor"] for entry in entries if "tensor" in entry]
        for (at, tensor), name in zip(tensors, names, strict=True):
            wanted = tensor.copy(arena.address + at, arena.view(at, tensor.size_bytes))
            if beside and tensor.size_bytes >= _LATER_BYTES:
                made.beside += [(copy, tensor, tensor.version(), name) for copy in wanted]
            else:
                copies += wanted
        made.events = _mark(devices) if devices else []
        copy_all(copies)


def file_name(index: int) -> str:
    """The name of a file of tensors."""
    return f"tensors-{index:05d}.safetensors"


class _Plain:
    """A value that says itself what is kept of it."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _torch_word(value: Any) -> list[Any] | None:
    """dtypes, devices and sizes, which stand in configurations."""
    import torch

    if isinstance(value, torch.Size):
        return ["size", list(value)]
    if isinstance(value, torch.dtype):
        return ["dtype", str(value).removeprefix("torch.")]
    return ["device", str(value)] if isinstance(value, torch.device) else None


def _mark(devices: set[Any]) -> list[Any]:
    """An event behind the copies on each of these CUDA devices. They are made in the order of the training's own work there: what it asks
    for next comes after them, while this process goes on at once."""
    import torch

    events: list[Any] = []
    for device in devices:
        with torch.cuda.device(device):
            event: Any = torch.cuda.Event()
            event.record()
            events.append(event)
    return events
