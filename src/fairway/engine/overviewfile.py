"""An overview as one file, so that a long run opens at once the next time: a header in JSON and its columns as they lie in memory.

The file is a cache: whatever is wrong with it, the run is folded again.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from typing import Any

import msgspec

from fairway.engine.nodecolumns import NodeColumns, ScopeColumns
from fairway.engine.overview import Overview, as_error
from fairway.engine.skim import Seen
from fairway.spec.artifact import ArtifactRef
from fairway.spec.event import RunOptions
from fairway.spec.graph import Graph, Node
from fairway.spec.outcome import ErrorInfo
from fairway.spec.record import from_plain, to_plain
from fairway.spec.resources import Retry

MAGIC = b"fairway overview 4\n"
_DIGEST = 32
_LENGTH = 8
_PLAIN = (
    "run", "head", "status", "bundle", "project", "created_by", "triggered_by", "name", "source", "target", "note", "archived",
    "started_at", "resumed_at", "ended_at", "now", "idle_s", "resumes", "stopping", "broken", "metrics",
    "environment", "totals", "live", "known_reasons",
)  # fmt: skip
_NODE = ("started_at", "ended_at", "counts", "spent", "attempts", "first_failed")
_BROKEN_FILE = (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, msgspec.MsgspecError)


def dump_overview(overview: Overview) -> bytes:
    """What is to be kept of it: a copy, so that the overview may change afterwards."""
    parts = [*overview.columns.dump(), *overview.made.dump()]
    header = msgspec.json.encode({**_header(overview), "order": sys.byteorder, "parts": [[name, len(data)] for name, data in parts]})
    return b"".join([len(header).to_bytes(_LENGTH, "big"), header, *(data for _, data in parts)])


def seal(data: bytes) -> bytes:
    """The file's bytes, of what `dump_overview` made."""
    return MAGIC + hashlib.sha256(data).digest() + data


def save_overview(path: str, data: bytes) -> None:
    """Write what `dump_overview` made, whole or not at all. What hinders it is nobody's concern: it is a cache."""
    beside = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(beside, "wb") as file:
            file.write(seal(data))
        os.replace(beside, path)
    except OSError:
        remove_file(beside)


def remove_file(path: str) -> None:
    """Absent = success."""
    try:
        os.unlink(path)
    except OSError:
        return


def load_overview(path: str) -> Overview | None:
    """What `save_overview` has written, None where there is none, or none that can be trusted."""
    try:
        with open(path, "rb") as file:
            data = file.read()
        return parse_overview(data)
    except _BROKEN_FILE:
        return None


def parse_overview(data: bytes) -> Overview:
    """The overview in a file's bytes. Raises ValueError, or another error of the decoding, for anything else."""
    start = len(MAGIC) + _DIGEST
    view = memoryview(data)
    if data[: len(MAGIC)] != MAGIC or hashlib.sha256(view[start:]).digest() != data[len(MAGIC) : start]:
        raise ValueError("not an overview")
    length = int.from_bytes(view[start : start + _LENGTH], "big")
    at = start + _LENGTH + length
    header = msgspec.json.decode(view[start + _LENGTH : at])
    if header["order"] != sys.byteorder:
        raise ValueError("made on another kind of machine")
    overview = _restore(header)
    parts: dict[str, memoryview] = {}
    for name, size in header["parts"]:
        parts[name] = view[at : at + size]
        at += size
    overview.made.load(header["made"], {name: parts.pop(name) for name, _ in overview.made.dump()})
    overview.columns.load(parts.items())
    if parts.keys() != {name for name, _ in overview.columns.dump()}:
        raise ValueError("made by another version")
    return overview


def _header(o: Overview) -> dict[str, Any]:
    current = {id(node) for scope in o.scopes.values() for node in scope.nodes.values()}
    return {
        **{name: getattr(o, name) for name in _PLAIN},
        "made": o.made.head,
        "tags": list(o.tags),
        "graph": to_plain(o.graph),
        "params": to_plain(o.params),
        "outputs": to_plain(o.outputs),
        "options": to_plain(o.options),
        "error": _plain_error(o.error),
        "scopes": [_plain_scope(scope) for scope in o.scopes.values()],
        "nodes": [_plain_node(node, id(node) in current) for node in o.nodes],
        "past": [node.row for node in o.past.values()],
        "seen": [[row, seen.phase, seen.reason, seen.starting_at, seen.running_at] for row, seen in o.seen.items()],
        "retries": o.retries,
        "lost": list(o.lost.items()),
        "cached_graphs": list(o.cached_graphs.items()),
        "failed": list(o.failed),
        "tolerated": list(o.tolerated),
        "errors": list(o.errors.items()),
        "known_errors": o.known_errors,
        "odd_ids": list(o.columns.odd_ids.items()),
    }


def _plain_error(error: Any) -> dict[str, Any] | None:
    if error is None:
        return None
    return to_plain(as_error(error))


def _plain_scope(scope: ScopeColumns) -> dict[str, Any]:
    return {
        "name": scope.name,
        "graph": to_plain(scope.graph) if scope.name else None,  # the pipeline's own is there already
        "owner": scope.owner,
        "ended": scope.ended,
        "lengths": [[axis, list(lengths.items())] for axis, lengths in scope.lengths.items()],
    }


def _plain_node(node: NodeColumns, current: bool) -> dict[str, Any]:
    return {
        **{name: getattr(node, name) for name in _NODE},
        "scope": node.scope,
        "id": node.node.id,
        "node": None if current else to_plain(node.node),
        "blocks": list(node.blocks.items()),
    }


def _restore(header: Mapping[str, Any]) -> Overview:
    o = Overview()
    for name in _PLAIN:
        setattr(o, name, header[name])
    o.tags = tuple(header["tags"])
    o.graph = from_plain(Graph, header["graph"])
    o.params = {name: from_plain(ArtifactRef, ref) for name, ref in header["params"].items()}
    o.outputs = {name: from_plain(ArtifactRef, ref) for name, ref in header["outputs"].items()}
    o.options = from_plain(RunOptions, header["options"])
    o.error = from_plain(ErrorInfo, header["error"]) if header["error"] else None
    for plain in header["scopes"]:
        owner = plain["owner"]
        graph = from_plain(Graph, plain["graph"]) if plain["graph"] is not None else o.graph
        scope = ScopeColumns(plain["name"], graph, (owner[0], owner[1], tuple(owner[2])) if owner else None)
        scope.ended = plain["ended"]
        scope.lengths = {axis: {tuple(index): count for index, count in lengths} for axis, lengths in plain["lengths"]}
        o.scopes[scope.name] = scope
    _restore_nodes(o, header)
    for row, phase, reason, starting_at, running_at in header["seen"]:
        seen = o.seen[row] = Seen()
        seen.phase, seen.reason, seen.starting_at, seen.running_at = phase, reason, starting_at, running_at
    o.retries = [(due_at, n, row, tuple(slots)) for due_at, n, row, slots in header["retries"]]
    o.lost = dict(header["lost"])
    o.cached_graphs = dict(header["cached_graphs"])
    o.failed.extend(header["failed"])
    o.tolerated.extend(header["tolerated"])
    o.errors = dict(header["errors"])
    for kind, code, message, hint in header["known_errors"]:
        o.know_error((kind, code, message, hint))
    o.columns.odd_ids = dict(header["odd_ids"])
    return o


def _restore_nodes(o: Overview, header: Mapping[str, Any]) -> None:
    blocks: list[tuple[int, int, tuple[int, ...]]] = []
    for row, plain in enumerate(header["nodes"]):
        if plain["node"] is None:
            node = o.scopes[plain["scope"]].nodes[plain["id"]]
        else:
            node = NodeColumns(plain["scope"], from_plain(Node, plain["node"]), Retry(), False)
        node.row = row
        for name in _NODE:
            setattr(node, name, plain[name])
        for prefix, (start, count) in plain["blocks"]:
            node.add_block(tuple(prefix), start, count)
            blocks.append((start, row, tuple(prefix)))
        o.nodes.append(node)
    for row in header["past"]:
        o.past[o.nodes[row].scope, o.nodes[row].node.id] = o.nodes[row]
    blocks.sort()
    for start, row, prefix in blocks:
        o.block_start.append(start)
        o.block_node.append(row)
        o.block_prefix.append(prefix)
