"""A package as a folder that says by itself what it is, ready to be stored: model, a script's imports, schema, example, card."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairway.dsl import bundle
from fairway.errors import ConfigError, NotFoundError
from fairway.serve.package.package import CARD, EXAMPLE, SCHEMA, Package
from fairway.step import paths, serializers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fairway.spec.artifact import ArtifactRef
    from fairway.spec.ports import ArtifactStore

SUFFIXES = frozenset(
    (
        ".py",
        ".r",
        ".onnx",
        ".pt",
        ".pth",
        ".pt2",
        ".keras",
        ".h5",
        ".ubj",
        ".json",
        ".txt",
        ".skops",
        ".pkl",
        ".joblib",
        ".safetensors",
        ".zip",
    )
)
"""Endings by which a name is taken for a path."""
MOST_BYTES = 2 << 30
"""Of a script's own folder; more than this is hardly meant."""
_OWN = {CARD, SCHEMA, EXAMPLE}
_LEFT_BEHIND = (".log", ".pid", ".out", ".tmp", ".pyc")
"""Endings of what programs write while they run: it would make another revision each time."""


def open_artifact(ref: ArtifactRef, store: ArtifactStore, scratch: str, name: str) -> str:
    """The artifact as a folder that `open_package` takes. An estimator that was stored by itself gets a card."""
    if ref.format in ("model", "dir") or ref.meta.get("folder"):
        return str(paths.open_folder(ref, store, scratch))
    if ref.format == "file":
        return str(paths.open_file(ref, store, scratch))
    writer = serializers.find_for_format(ref.format)
    suffix = str(getattr(writer, "suffix", ""))
    if not suffix:
        raise NotFoundError(f"{name} is a {ref.type or ref.format}, which is no model", hint="return fw.Model(estimator) from the step")
    folder = Path(scratch, ".models", ref.digest[:16], name)
    if not folder.is_dir():
        part = folder.with_name(f".{name}.{os.getpid()}")
        part.mkdir(parents=True)
        shutil.copyfile(paths.local_path(ref, store, scratch), part / f"model{suffix}")
        card = {"fairway": 1, "class": ref.type, "versions": ref.meta.get("versions", {}), "file": f"model{suffix}", "format": ref.format}
        _write_json(part / CARD, card)
        part.rename(folder)
    return str(folder)


def stage(package: Package, target: Path, root: str) -> None:
    """Write the package as the new folder `target`. Raises ConfigError for what is too large or must not travel, NotFoundError."""
    target.mkdir(parents=True)
    if package.kind in ("script", "class", "r"):
        _stage_script(package, target, root)
    elif package.card or package.path.is_dir() or package.path.parent != Path(package.folder):
        _copy_folder(Path(package.folder), target)
    else:
        shutil.copyfile(package.path, target / package.entry)
    card: dict[str, Any] = {"fairway": 1, **package.card, "kind": package.kind, "entry": package.entry, "name": package.name}
    card["options"] = {name: value for name, value in package.options.items() if name in ("class", "args", "model", "signature")}
    if package.schema is not None:
        card["schema"] = SCHEMA
        _write_json(target / SCHEMA, package.schema)
    if package.example is not None:
        card["example"] = EXAMPLE
        _write_json(target / EXAMPLE, package.example)
    _write_json(target / CARD, card)


def _stage_script(package: Package, target: Path, root: str) -> None:
    """The script with what it imports; beside it the model that it names, or else all of its own folder."""
    folder, chosen = Path(package.folder), package.options.get("model")
    if chosen:
        path = next((one for one in (folder / str(chosen), Path(str(chosen)).absolute()) if one.exists()), None)
        if path is None:
            raise NotFoundError(f"the option model names {chosen}, and there is no such path", hint=f"looked in {folder} and {Path.cwd()}")
        if path.is_dir():
            _copy_folder(path, target / "model")
        else:
            (target / "model").mkdir()
            shutil.copyfile(path, target / "model" / path.name)
        package.options["model"] = "model"
    else:
        _copy_folder(folder, target, _LEFT_BEHIND)
    if package.path.suffix == ".py":
        found = bundle.collect(package.path, root)
        for file in found.files:
            out = target / file.path
            if not out.exists():
                out.parent.mkdir(parents=True, exist_ok=True)
                out.write_bytes(found.data[file.path])
    elif not (target / package.path.name).exists():
        shutil.copyfile(package.path, target / package.path.name)


def _copy_folder(folder: Path, target: Path, but: tuple[str, ...] = ()) -> None:
    """All files but those that may hold secrets, what tools leave behind, and those that end in one of `but`."""
    total = 0
    for path, inner in _files(folder):
        if inner.lower().endswith(but):
            continue
        total += path.stat().st_size
        if total > MOST_BYTES:
            raise ConfigError(
                f"{folder} holds more than {MOST_BYTES >> 30} GB, and all of it would travel",
                hint="put what is served into a folder of its own; or name the model alone: --option model=PATH",
            )
        out = target / inner
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, out)


def _files(folder: Path) -> Iterator[tuple[Path, str]]:
    for here, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(
            name for name in folders if name not in bundle.DENIED_FOLDERS and not Path(here, name, "pyvenv.cfg").is_file()
        )  # fmt: skip
        for name in sorted(names):
            path = Path(here, name)
            inner = path.relative_to(folder).as_posix()
            if not bundle.denied(inner) and not (inner in _OWN and path.is_dir()) and path.is_file():
                yield path, inner


def _write_json(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
