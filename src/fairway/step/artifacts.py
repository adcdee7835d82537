"""Values to artifacts and back: what a step returned is saved by digest, what it takes is loaded.

Plain JSON values, by far the most frequent, take the short way: nothing is imported for them, and up to 1 KiB they live inside their
reference. Everything else is written by a serializer to a file under `scratch`, hashed while it is written, and moved into the store.
Lists of such values and structures around them ("tree") are manifests of references.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

from fairway.errors import DefinitionError, FairwayError, NotFoundError, StoreUnavailable, UnsupportedError
from fairway.spec.artifact import INLINE_LIMIT_BYTES, ArtifactRef, blob_key
from fairway.spec.record import from_plain, to_plain
from fairway.step import plainjson

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from fairway.spec.ports import ArtifactStore, Serializer

PATHS = "paths"
_MANIFESTS = frozenset({"list", "tree", "dir", "model"})


def save(value: Any, store: ArtifactStore, scratch: Path | str, *, declared: str = "", name: str = "", trust: bool = False) -> ArtifactRef:
    """Store `value` and return its reference. The same value gives the same digest.

    `declared` is the output's type name ("" if none): a path declared "fairway.File" is stored by content. `trust` allows pickles.
    Raises DefinitionError, with the ways out, for what cannot be stored; StoreUnavailable if the store fails.
    """
    try:
        if "|" in declared:
            declared = _one_of(declared)
        if declared.startswith("fairway."):
            value = _as_declared(value, declared)
        if plainjson.is_plain(value):
            return _save_json(plainjson.dump_plain(value), type(value).__name__, store, name, value if type(value) is str else None)
        return _save_other(value, store, os.fspath(scratch), name, trust)
    except RecursionError:
        raise DefinitionError(
            f"the {_called(name)} contains itself or is nested too deeply to be stored", hint="return something flatter, or write a fw.File"
        ) from None


def load(ref: ArtifactRef, store: ArtifactStore, scratch: Path | str, *, wanted: str = "", trust: bool = False) -> Any:
    """The value of an artifact, as the type named by `wanted` where that says more than the artifact does. `PATHS` wants a list's items
    as paths of files with their bytes.

    Files that the value goes on using (a `fw.File`, memory-mapped tables) lie in the store or under `scratch`.
    Raises NotFoundError, UnsupportedError (a library is missing), StoreUnavailable (damaged bytes), DefinitionError (a pickle, no trust).
    """
    optional = "|" in wanted
    if optional:
        wanted = _one_of(wanted)
    if ref.format == "json":
        text = ref.inline if ref.inline is not None else store.get(blob_key(ref.digest))
        if not wanted.startswith("fairway.") or (optional and text in ("null", b"null")):
            return plainjson.parse(text)
        return _as_wanted(plainjson.parse(text), ref, wanted, store, os.fspath(scratch))
    return _load_other(ref, store, os.fspath(scratch), wanted, trust)


def collect(refs: Sequence[ArtifactRef], store: ArtifactStore) -> ArtifactRef:
    """One list artifact of many: a JSON list if all are inline JSON, else a manifest. Fast for 100,000 items."""
    kinds = {ref.type for ref in refs}
    kind = f"list[{kinds.pop()}]" if len(kinds) == 1 and "" not in kinds else "list"
    texts = [ref.inline for ref in refs]
    if None not in texts:
        return _save_json(f"[{','.join(texts)}]".encode("utf-8", "surrogatepass"), kind, store, "")  # type: ignore[arg-type]
    return _save_manifest("list", b'{"items":[' + ",".join(map(_manifest_item, refs)).encode() + b"]}", refs, kind, store)


def split(ref: ArtifactRef, store: ArtifactStore) -> list[ArtifactRef]:
    """The items of a list artifact, each as an artifact of its own. Raises DefinitionError if it is no list."""
    if ref.format == "list":
        return _items(store.get(blob_key(ref.digest)))
    value = plainjson.parse(_json_text(ref, store)) if ref.format == "json" else None
    if not isinstance(value, list | tuple | range):
        found = f"a {ref.type or ref.format}"
        raise DefinitionError(
            f"fw.each needs a list, not {found}",
            hint="return list(value) from the step; for a dict, list(value.items()); for a table, a list of its parts",
        )
    return [_save_json(plainjson.render(item), type(item).__name__, store, "") for item in value]


def import_path(path: Path | str, store: ArtifactStore, type_name: str = "", *, scratch: Path | str | None = None) -> ArtifactRef:
    """The artifact of a file or folder that exists, stored by content.

    `type_name` "fairway.Directory" demands a folder, "fairway.File" a file. Raises NotFoundError if there is nothing at `path`.
    """
    from fairway.step import paths

    return paths.import_path(os.fspath(path), store, type_name, scratch=None if scratch is None else os.fspath(scratch))


def digests(ref: ArtifactRef, store: ArtifactStore) -> Iterator[str]:
    """The digest of every blob that this artifact needs, its own first.

    What is inline may have no blob; a missing manifest ends its branch.
    """
    yield ref.digest
    if ref.format not in _MANIFESTS and not ref.meta.get("folder"):
        return
    try:
        manifest = json.loads(store.get(blob_key(ref.digest)))
    except NotFoundError:
        return
    for file in manifest.get("files", ()):
        yield file["digest"]
    for item in manifest.get("items", ()):
        yield from digests(from_plain(ArtifactRef, item), store)


def find_serializer(type_name: str) -> Serializer | None:
    """The writer for a type by its public name ("pandas.DataFrame"), None if there is none. JSON's own types have "str"'s at most."""
    from fairway.step import serializers

    return serializers.find_for_name(type_name)


def can_store(type_name: str) -> bool:
    """Could a value of this annotation be stored? False only where it is known that it could not."""
    from fairway.step import annotations

    return annotations.can_store(type_name)


def _save_json(text: bytes, kind: str, store: ArtifactStore, name: str, long_text: str | None = None) -> ArtifactRef:
    size = len(text)
    if size <= INLINE_LIMIT_BYTES:
        return ArtifactRef(hashlib.sha256(text).hexdigest(), size, "json", kind, name, text.decode("utf-8", "surrogatepass"))
    if long_text is not None:  # of a long str people want the text, not its JSON
        text, kind = long_text.encode("utf-8", "surrogatepass"), "str"
        digest = hashlib.sha256(text).hexdigest()
        store.put(blob_key(digest), text)
        return ArtifactRef(digest, len(text), "text", kind, name, None, {"characters": len(long_text)})
    digest = hashlib.sha256(text).hexdigest()
    store.put(blob_key(digest), text)
    return ArtifactRef(digest, size, "json", kind, name)


def _json_text(ref: ArtifactRef, store: ArtifactStore) -> str | bytes:
    return ref.inline if ref.inline is not None else store.get(blob_key(ref.digest))


def _save_other(value: Any, store: ArtifactStore, scratch: str, name: str, trust: bool) -> ArtifactRef:
    from fairway.step import serializers
    from fairway.step.types import Directory, File

    kind = type(value)
    if isinstance(value, File | Directory):
        from fairway.step import paths

        return paths.store_output(value, store, scratch, name)
    if kind not in (list, tuple, dict):
        writer = serializers.find_for_class(kind)
        if writer is not None and not (kind.__module__ == "numpy" and _fits_json(value)):
            return _write(value, writer, store, scratch, name, trust)
    if isinstance(value, dict) and (writer := _writer_of_dict(value)) is not None:
        return _write(value, writer, store, scratch, name, trust)
    try:
        return _save_json(plainjson.render(value), serializers.type_name(kind), store, name)
    except plainjson.NotJson as error:
        whole = error.value is value  # nothing around it that could be taken apart
    if whole:
        return _save_trusted(value, store, scratch, name, trust)
    if kind is list:
        refs = [save(item, store, scratch, name=name, trust=trust) for item in value]
        made = collect(refs, store)
        made.name = name
        return made
    return _save_tree(value, store, scratch, name, trust)


def _fits_json(value: Any) -> bool:
    """NumPy's scalars and arrays of objects travel as JSON; arrays of numbers do not."""
    try:
        plainjson.render(value)
    except plainjson.NotJson:
        return False
    return True


def _writer_of_dict(value: dict[Any, Any]) -> Serializer | None:
    """A dict of tensors by name is a state dict: one file for all of it."""
    from fairway.step import serializers

    first = next(iter(value.values()), None)
    if not type(first).__module__.startswith("torch") or not all(type(k) is str for k in value):
        return None
    writer = serializers.find_for_class(type(first))
    return writer if writer is not None and writer.format == "safetensors" and all(map(writer.holds, value.values())) else None  # type: ignore[attr-defined]


def _save_tree(value: Any, store: ArtifactStore, scratch: str, name: str, trust: bool) -> ArtifactRef:
    """A structure around values that JSON cannot say: its shape as JSON, with the values as artifacts of their own."""
    from fairway.step import serializers

    refs: list[ArtifactRef] = []

    def leaf(part: Any) -> Any:
        if part is value:
            raise plainjson.NotJson(part)
        refs.append(save(part, store, scratch, name=name, trust=trust))
        return {"$ref": len(refs) - 1}

    shape = opaque = None
    try:
        shape = plainjson.encode(value, leaf)
    except plainjson.NotJson as error:
        opaque = error.value
    if opaque is not None:
        return _save_trusted(value if trust else opaque, store, scratch, name, trust)
    text = b'{"items":[' + ",".join(map(_manifest_item, refs)).encode() + b'],"value":' + plainjson.dump_plain(shape) + b"}"
    made = _save_manifest("tree", text, refs, serializers.type_name(type(value)), store)
    made.name = name
    return made


def _save_manifest(form: str, text: bytes, refs: Sequence[ArtifactRef], kind: str, store: ArtifactStore) -> ArtifactRef:
    digest = hashlib.sha256(text).hexdigest()
    store.put(blob_key(digest), text)
    return ArtifactRef(digest, len(text) + sum(r.size_bytes for r in refs), form, kind, "", None, {"items": len(refs)})


def _manifest_item(ref: ArtifactRef) -> str:
    if ref.name:
        ref = ArtifactRef(ref.digest, ref.size_bytes, ref.format, ref.type, "", ref.inline, ref.meta)
    return json.dumps(to_plain(ref), separators=(",", ":"))


def _items(manifest: bytes) -> list[ArtifactRef]:
    return [from_plain(ArtifactRef, item) for item in json.loads(manifest)["items"]]


def _save_trusted(value: Any, store: ArtifactStore, scratch: str, name: str, trust: bool) -> ArtifactRef:
    from fairway.step import serializers

    if trust:
        writer = serializers.find_for_format("pickle")
        assert writer is not None
        return _write(value, writer, store, scratch, name, trust)
    from fairway.step import refusals

    raise refusals.cannot_store(value, _called(name))


def _write(value: Any, writer: Any, store: ArtifactStore, scratch: str, name: str, trust: bool) -> ArtifactRef:
    """By way of a file or folder of its own under `scratch`."""
    from pathlib import Path

    from fairway.step import paths, serializers

    kind = serializers.type_name(type(value))
    os.makedirs(scratch, exist_ok=True)
    path = Path(scratch, f".saving-{os.urandom(6).hex()}{writer.suffix}")
    try:
        write = writer.write_trusted if trust and hasattr(writer, "write_trusted") else writer.write
        meta = dict(write(value, path))
        if path.is_dir():
            form = writer.format
            return paths.store_folder(
                path, store, scratch, form=form, kind=kind, name=name, meta=meta if form == "model" else {**meta, "folder": True}
            )
        digest, size = meta.pop("digest", ""), path.stat().st_size
        if not digest:
            from fairway.step.serializers.hashed import hash_file

            digest = hash_file(path)
        store.put(blob_key(digest), path, move=True)
    except ImportError as error:
        raise _missing_library(error, "store", kind) from error
    except OSError as error:
        raise StoreUnavailable(
            f"the {_called(name)} cannot be written: {error.strerror or error}", hint=f"is there room in {scratch}?"
        ) from error
    finally:
        paths.remove(path)
    return ArtifactRef(digest, size, meta.pop("format", writer.format), kind, name, None, plainjson.encode(meta, str))


def _load_other(ref: ArtifactRef, store: ArtifactStore, scratch: str, wanted: str, trust: bool) -> Any:
    from fairway.step import paths

    if ref.format == "list" and wanted == PATHS:
        return [paths.local_path(item, store, scratch) for item in _items(store.get(blob_key(ref.digest)))]
    if ref.format == "list" and wanted not in ("fairway.File", "fairway.Directory"):
        inner = wanted[5:-1] if wanted.startswith("list[") else ""
        return [load(item, store, scratch, wanted=inner, trust=trust) for item in _items(store.get(blob_key(ref.digest)))]
    if ref.format == "tree":
        return _load_tree(ref, store, scratch, trust)
    if ref.format == "dir":
        return paths.open_folder(ref, store, scratch)
    if ref.format == "file" or wanted == "fairway.File":
        return paths.open_file(ref, store, scratch)
    from fairway.step import serializers

    reader: Any = serializers.find_for_format(ref.format)
    if reader is None:
        raise UnsupportedError(
            f"there is no reader for {ref.format!r} here (it holds a {ref.type})",
            hint=f'install the distribution that wrote it: it registers {ref.format!r} under "{serializers.GROUP}"',
        )
    if ref.format == "pickle" and not trust:
        from fairway.step import refusals

        raise refusals.cannot_trust(ref)
    folder = ref.format == "model" or ref.meta.get("folder")
    path = paths.open_folder(ref, store, scratch) if folder else paths.local_path(ref, store, scratch)
    _warn_of_versions(ref)
    value = read_with(reader, path, ref, "" if wanted.startswith(("list[", "dict[", "tuple[")) else wanted, trust)
    return _as_wanted(value, ref, wanted, store, scratch) if wanted else value


def read_with(reader: Any, path: str, ref: ArtifactRef, wanted: str, trust: bool) -> Any:
    """The value in a file, its library's complaints turned into Fairway's errors."""
    from pathlib import Path

    meta = {"type": ref.type, **ref.meta}
    try:
        if trust and hasattr(reader, "read_trusted"):
            return reader.read_trusted(Path(path), wanted, meta)
        return reader.read(Path(path), wanted, meta)
    except FairwayError:
        raise
    except ImportError as error:
        raise _missing_library(error, "read", ref.type) from error
    except Exception as error:  # whatever a library says of bytes it cannot make sense of
        from fairway.step import refusals

        raise refusals.cannot_read(ref, path, error) from error


def _load_tree(ref: ArtifactRef, store: ArtifactStore, scratch: str, trust: bool) -> Any:
    manifest = store.get(blob_key(ref.digest))
    refs = _items(manifest)
    text = json.dumps(json.loads(manifest)["value"])
    return plainjson.parse_with(text, lambda n: load(refs[n], store, scratch, trust=trust))


def _missing_library(error: ImportError, verb: str, kind: str) -> UnsupportedError:
    library = (error.name or str(error)).partition(".")[0]
    return UnsupportedError(
        f"to {verb} a {kind} takes {library}, which is not installed here",
        hint=f"pip install {library}, or add it to the step's fw.env(packages=[…])",
    )


def _warn_of_versions(ref: ArtifactRef) -> None:
    from fairway.step import refusals

    refusals.warn_of_versions(ref.type or ref.format, ref.meta.get("versions") or {})


def _as_declared(value: Any, declared: str) -> Any:
    """What an annotation makes of a bare value: a path becomes a File, an estimator a Model, a figure a Figure."""
    from fairway.step import types

    cls: Any = getattr(types, declared.partition(".")[2], None)
    if cls is None or isinstance(value, cls) or value is None:
        return value
    if cls in (types.File, types.Directory):
        if isinstance(value, str) or hasattr(value, "__fspath__"):
            return cls(value)
        raise DefinitionError(
            f"a step that returns a {declared} must return a path, not a {type(value).__name__}", hint='return fw.File("result.csv")'
        )
    if cls in (types.HTML, types.Markdown) and not isinstance(value, str):
        return cls(getattr(value, "_repr_html_", value.__str__)() if cls is types.HTML else str(value))
    return cls(value)


def _as_wanted(value: Any, ref: ArtifactRef, wanted: str, store: ArtifactStore, scratch: str) -> Any:
    """What an input's annotation makes of the value that came."""
    from fairway.step import types

    if wanted == "fairway.File":
        if isinstance(value, str) and os.path.exists(value):
            return types.File(value)
        from fairway.step import paths

        return paths.open_file(ref, store, scratch)
    if wanted == "fairway.Directory" and isinstance(value, str):
        return types.Directory(value)
    if isinstance(value, types.Model):
        return value if wanted in ("fairway.Model", "typing.Any", "Any", "object") else value.estimator
    if wanted in ("fairway.Model", "fairway.Metrics", "fairway.Table", "fairway.HTML", "fairway.Markdown", "fairway.Figure"):
        return _as_declared(value, wanted)
    return value


def _one_of(kind: str) -> str:
    """The type of "X | None"; "" where there are several."""
    members = [m for m in map(str.strip, kind.split("|")) if m != "None"] if "[" not in kind else [kind.removesuffix("| None").strip()]
    return members[0] if len(members) == 1 and "|" not in members[0].partition("[")[0] else ""


def _called(name: str) -> str:
    return f"output {name!r}" if name and name != "result" else "step's result"
