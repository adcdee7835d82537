"""What the fragment of a preview is made of, by the kind of the artifact."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from fairway.spec.artifact import ArtifactRef
from fairway.spec.record import from_plain
from fairway.step.serializers.models import CARD
from fairway.web.identity import Identity
from fairway.web.ports import Site
from fairway.web.previews.finding import Meant
from fairway.web.previews.frames import FRAME
from fairway.web.previews.kinds import kind_of, kind_of_name
from fairway.web.previews.looker import Subject

VALUE_LIMIT_BYTES = 64 << 10
JSON_LIMIT_BYTES = 64 << 20
_STAND_IN = "fairway-files:/"
_NAMES = {
    "array": "Array", "archive": "Archive", "bytes": "Bytes", "code": "Code", "figure": "Figure", "file": "File", "folder": "Folder",
    "html": "HTML", "image": "Picture", "json": "JSON", "list": "List", "markdown": "Markdown", "metrics": "Metrics", "model": "Model",
    "sparse": "Sparse matrix", "table": "Table", "tensors": "Tensors", "text": "Text", "value": "Value",
}  # fmt: skip
ICONS = {"folder": "folder", "model": "artifacts", "table": "columns", "figure": "timeline", "image": "timeline", "list": "runs"}


class Shower:
    """Gathers what the template of one preview needs."""

    def __init__(self, site: Site, identity: Identity, meant: Meant) -> None:
        self._site, self._identity, self._meant = site, identity, meant

    async def show(self) -> dict[str, Any]:
        """The template's context: `kind` and what goes with it; `problem` where nothing can be shown."""
        meant = self._meant
        kind = "value" if meant.kind in ("json", "metrics") and _is_small_value(meant) else meant.kind
        kind = "metrics" if meant.kind == "metrics" and meant.subject.size_bytes <= VALUE_LIMIT_BYTES else kind
        if meant.ref.format == "pickle" and not meant.file:
            kind = "pickle"
        act: Callable[[], Any] | None = getattr(self, f"_{kind}", None)
        shown: dict[str, Any] = {"kind": kind, "problem": "", "hint": "", **(await act() if act is not None else {})}
        if shown.get("problem"):
            shown["kind"] = "problem"
        return {"meant": meant, "shown": shown, "about": describe(meant), "kind_name": _NAMES.get(meant.kind, meant.kind)}

    async def _look(self, what: str, subject: Subject | None = None, **args: Any) -> dict[str, Any]:
        return await asyncio.to_thread(self._site.looker.look, what, subject or self._meant.subject, args)

    def _content(self, name: str) -> str:
        """An address of the bytes without any rights."""
        meant = self._meant
        ref = meant.ref
        return self._site.grants.make(meant.run, ref.digest, meant.file or name, self._identity, ref=ref)

    async def _value(self) -> dict[str, Any]:
        text = self._meant.subject.inline or ""
        value = json.loads(text)
        return {"value": value, "text": value if isinstance(value, str) else text}

    async def _metrics(self) -> dict[str, Any]:
        seen = await self._look("value")
        value = seen.get("value")
        return {**seen, "metrics": value if isinstance(value, dict) else {"value": value}}

    async def _image(self) -> dict[str, Any]:
        return {"url": self._content(str(self._meant.ref.meta.get("name") or "picture"))}

    async def _html(self) -> dict[str, Any]:
        return {"url": self._content("page.html")}

    async def _figure(self) -> dict[str, Any]:
        meant = self._meant
        kind = str(meant.ref.meta.get("kind", ""))
        seen = await self._look("library", Subject(meant.ref.digest, 0, ""), kind=kind)
        return seen if "problem" in seen else {"url": self._content(FRAME), "library": kind}

    async def _text(self) -> dict[str, Any]:
        return await self._look("text")

    _code = _file = _text

    async def _pickle(self) -> dict[str, Any]:
        return {
            "problem": "a pickle is not opened here: reading one runs code of whoever wrote it",
            "hint": "who trusts it loads it with .load(trust=True)",
        }

    async def _bytes(self) -> dict[str, Any]:
        return await self._look("text", hex=True)

    async def _markdown(self) -> dict[str, Any]:
        """Pictures are the folder's own files; their addresses are short-lived, so what is kept holds a stand-in for them."""
        if not self._meant.file:
            return await self._look("markdown")
        seen = await self._look("markdown", pictures=_STAND_IN)
        url, path = self._content(""), quote(self._meant.file)
        folder = url[: -len(path)] + path.rpartition("/")[0] + ("/" if "/" in path else "")
        return {**seen, "html": seen.get("html", "").replace(f'src="{_STAND_IN}', f'src="{folder}')}

    async def _array(self) -> dict[str, Any]:
        return {"facts": await self._look("array")}

    async def _sparse(self) -> dict[str, Any]:
        return {"facts": await self._look("sparse")}

    async def _archive(self) -> dict[str, Any]:
        return await self._look("archive")

    async def _tensors(self) -> dict[str, Any]:
        return await self._look("tensors")

    async def _folder(self) -> dict[str, Any]:
        return entries_with_kinds(await self._look("folder"))

    async def _model(self) -> dict[str, Any]:
        seen = await self._folder()
        found = await self._look("folder", path=CARD)
        if found.get("file"):
            card = await self._look("value", Subject(found["file"]["digest"], found["file"]["size_bytes"], None, CARD))
            seen["card"] = card.get("value") if isinstance(card.get("value"), dict) else None
        return seen

    async def _list(self) -> dict[str, Any]:
        return items_with_kinds(await self._look("items"))


def entries_with_kinds(seen: dict[str, Any]) -> dict[str, Any]:
    """A folder's entries, each with what kind of preview it has."""
    for entry in seen.get("entries", ()):
        entry["kind"] = "folder" if entry["folder"] else kind_of_name(entry["name"])
    return seen


def items_with_kinds(seen: dict[str, Any]) -> dict[str, Any]:
    """A list's items as references, each with what kind of preview it has."""
    refs = [from_plain(ArtifactRef, item) for item in seen.get("items", ())]
    paths = seen.get("paths") or []
    rows = [
        {"ref": ref, "kind": kind_of(ref), "path": paths[n] if n < len(paths) else "", "facts": facts_of(ref)} for n, ref in enumerate(refs)
    ]
    return {**seen, "rows": rows}


def describe(meant: Meant) -> dict[str, Any]:
    """What stands beside every preview: name, type, facts, how to fetch it."""
    ref, place = meant.ref, meant.places[0] if meant.places else None
    about: dict[str, Any] = {
        "name": meant.shown_name,
        "type": "" if meant.file else ref.type or ref.format,
        "format": ref.format,
        "facts": "" if meant.file else facts_of(ref),
        "size_bytes": meant.subject.size_bytes,
        "digest": meant.subject.digest,
        "download": meant.kind not in ("folder", "model", "list"),
        "command": "",
        "python": "",
    }
    if place is not None and not place.param and not meant.within:
        about["command"] = f"fairway artifacts get {meant.run} {shlex.quote(place.name)}"
        owner = f'fw.runs["{meant.run}"]' + (f".tasks[{json.dumps(place.task)}]" if place.task else "")
        value = f"{owner}.outputs[{json.dumps(place.output)}]"
        about["python"] = f"{value}.path() + {json.dumps('/' + meant.file)}" if meant.file else f"{value}.load()"
    return about


def facts_of(ref: ArtifactRef) -> str:
    """The most that can be said of it in a few words, from its reference alone."""
    meta = ref.meta
    if ref.inline is not None:
        return ref.inline if len(ref.inline) <= 80 else f"{ref.inline[:79]}…"
    if "rows" in meta and isinstance(meta.get("columns"), list):
        columns = len(meta["columns"])
        return f"{meta['rows']:,} rows × {columns}{'+' if columns == 50 else ''} columns"
    if "shape" in meta:
        return f"{' × '.join(map(str, meta['shape']))} {meta.get('dtype', '')}".strip()
    if ref.format == "model":
        metrics = ", ".join(
            f"{name} {value:.4g}" for name, value in list(meta.get("metrics", {}).items())[:3] if isinstance(value, int | float)
        )
        return " · ".join(part for part in (str(meta.get("class", "")).rpartition(".")[2], metrics) if part)
    if ref.format == "metrics":
        return ", ".join(
            f"{name} {value:.4g}" for name, value in list(meta.get("metrics", {}).items())[:4] if isinstance(value, int | float)
        )
    if ref.format == "figure":
        return str(meta.get("title", ""))
    for key, word in (("files", "file"), ("items", "item"), ("characters", "character")):
        if isinstance(meta.get(key), int):
            return f"{meta[key]:,} {word}{'' if meta[key] == 1 else 's'}"
    return str(meta.get("name", ""))


def _is_small_value(meant: Meant) -> bool:
    if meant.subject.inline is None or meant.file:
        return False
    try:
        return not isinstance(json.loads(meant.subject.inline), dict | list)
    except (ValueError, RecursionError):
        return False
