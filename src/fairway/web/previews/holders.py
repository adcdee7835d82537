"""What holds other things: folders, lists of artifacts, archives, files of tensors. Runs in a process of its own."""

from __future__ import annotations

import json
import struct
from typing import Any

from fairway.web.previews.sights import CannotSee
from fairway.web.previews.source import Source

MANIFEST_LIMIT_BYTES = 64 << 20
PAGE = 200
SHAPE_CHARACTERS = 20_000
_HEAD_LIMIT_BYTES = 16 << 20


def see_folder(source: Source, args: dict[str, Any]) -> dict[str, Any]:
    """{"entries": [{"name", "path", "folder", "size_bytes", "files", "digest"}], "more", "files", "size_bytes"} right below the folder
    `under`; or, with `path`, {"file": {"digest", "size_bytes"}}; with `flat`, all files."""
    manifest = _manifest(source)
    files = [file for file in manifest.get("files", []) if isinstance(file, dict)]
    if args.get("path"):
        found = next((file for file in files if file.get("path") == args["path"]), None)
        return {"file": found and {"digest": str(found["digest"]), "size_bytes": int(found.get("size_bytes", 0))}}
    under = str(args.get("under") or "").strip("/")
    prefix = f"{under}/" if under else ""
    entries: dict[str, dict[str, Any]] = {}
    count = size = 0
    for file in files:
        path, bytes_ = str(file.get("path", "")), int(file.get("size_bytes", 0))
        if not path.startswith(prefix):
            continue
        count, size = count + 1, size + bytes_
        name, slash, _ = path[len(prefix) :].partition("/")
        known = entries.setdefault(name, {"name": name, "path": prefix + name, "folder": bool(slash), "size_bytes": 0, "files": 0})
        known["size_bytes"] += bytes_
        known["files"] += 1
        if not slash:
            known["digest"] = str(file.get("digest", ""))
    for path in manifest.get("folders", []):
        if isinstance(path, str) and path.startswith(prefix) and path != under:
            name = path[len(prefix) :].partition("/")[0]
            entries.setdefault(name, {"name": name, "path": prefix + name, "folder": True, "size_bytes": 0, "files": 0})
    ordered = sorted(entries.values(), key=lambda entry: (not entry["folder"], entry["name"]))
    start = max(0, int(args.get("offset") or 0))
    page = ordered[start : start + PAGE]
    return {"entries": page, "more": max(0, len(ordered) - start - len(page)), "files": count, "size_bytes": size}


def see_items(source: Source, args: dict[str, Any]) -> dict[str, Any]:
    """{"items": [references as plain data], "total", "paths", "shape"} of a list or structure from `offset` on; with `digest`
    {"item": that one}."""
    manifest = _manifest(source)
    items = [item for item in manifest.get("items", []) if isinstance(item, dict)]
    if args.get("digest"):
        return {"item": next((item for item in items if item.get("digest") == args["digest"]), None)}
    start = max(0, int(args.get("offset") or 0))
    shown: dict[str, Any] = {"items": items[start : start + PAGE], "total": len(items)}
    if "value" in manifest:
        paths = _paths(manifest["value"])
        shown["paths"] = paths[start : start + PAGE]
        shape = json.dumps(_with_paths(manifest["value"], paths), ensure_ascii=False, indent=1)
        if not start and len(shape) <= SHAPE_CHARACTERS:
            shown["shape"] = shape.encode("utf-8", "replace").decode()
    return shown


def see_archive(source: Source, args: dict[str, Any]) -> dict[str, Any]:
    """{"files": [{"path", "size_bytes"}], "total"} in a zip file."""
    import zipfile

    try:
        with source.open() as file, zipfile.ZipFile(file) as archive:
            found = archive.infolist()
    except zipfile.BadZipFile:
        raise CannotSee("this is not a whole zip archive", "download it to see what it is") from None
    return {"files": [{"path": one.filename[:500], "size_bytes": one.file_size} for one in found[:PAGE]], "total": len(found)}


def see_tensors(source: Source, args: dict[str, Any]) -> dict[str, Any]:
    """{"tensors": [{"name", "dtype", "shape", "size_bytes"}], "total", "parameters", "notes"} of a safetensors file: its head alone."""
    with source.open() as file:
        (size,) = struct.unpack("<Q", file.read(8))
        if size > min(_HEAD_LIMIT_BYTES, source.size_bytes):
            raise CannotSee("this is not a file of tensors", "download it to see what it is")
        head = json.loads(file.read(size))
    notes = head.pop("__metadata__", {})
    rows = [
        {
            "name": str(name),
            "dtype": str(about["dtype"]),
            "shape": about["shape"],
            "size_bytes": about["data_offsets"][1] - about["data_offsets"][0],
        }
        for name, about in head.items()
    ]
    parameters = 0
    for row in rows:
        count = 1
        for length in row["shape"]:
            count *= int(length)
        parameters += count
    return {"tensors": rows[:PAGE], "total": len(rows), "parameters": parameters, "notes": notes}


def _manifest(source: Source) -> dict[str, Any]:
    if source.size_bytes > MANIFEST_LIMIT_BYTES:
        raise CannotSee("there are too many things in it to be listed here", "fairway artifacts get fetches all of it")
    found = json.loads(source.head(MANIFEST_LIMIT_BYTES))
    return found if isinstance(found, dict) else {"items": found}


def _with_paths(value: Any, paths: list[str]) -> Any:
    """The structure with the paths of its items in their places."""
    if isinstance(value, dict):
        if set(value) == {"$ref"}:
            return f"→ {paths[value['$ref']]}"
        return {name: _with_paths(inner, paths) for name, inner in value.items()}
    return [_with_paths(inner, paths) for inner in value] if isinstance(value, list) else value


def _paths(value: Any, path: str = "") -> list[str]:
    """Where in the structure each of its items stands, by number: ".matrix", "[0].line"."""
    found: dict[int, str] = {}

    def walk(value: Any, path: str) -> None:
        if isinstance(value, dict):
            if set(value) == {"$ref"}:
                found[int(value["$ref"])] = path
                return
            for name, inner in value.items():
                walk(inner, path if name.startswith("$") else f"{path}.{name}" if path else name)
        elif isinstance(value, list):
            for number, inner in enumerate(value):
                walk(inner, f"{path}[{number}]")

    walk(value, path)
    return [found.get(n, "") for n in range(max(found, default=-1) + 1)]
