"""Server-side apply: who owns which field, what conflicts, what goes when its owner no longer names it."""

from __future__ import annotations

import copy
import json
from typing import Any

from tests.kube.emulator.failure import ApiError
from tests.kube.emulator.memory import Object, now_text
from tests.kube.emulator.patches import SETS, item_key, list_keys

Path = tuple[str, ...]
_UNOWNED = {("kind",), ("apiVersion",), ("metadata", "name"), ("metadata", "namespace"), ("metadata", "managedFields")}
_UNOWNED |= {("metadata", name) for name in ("uid", "resourceVersion", "creationTimestamp", "generation")}


class Owners:
    """By object's uid: the leaves each manager has applied or changed. A leaf is a path of `f:field` and `k:{key of a list's item}`."""

    def __init__(self) -> None:
        self._owned: dict[str, dict[tuple[str, str], set[Path]]] = {}

    def forget(self, uid: str) -> None:
        self._owned.pop(uid, None)

    def apply(self, old: Object | None, body: Object, manager: str, *, force: bool) -> tuple[Object, set[Path]]:
        """The object to store, `old` with `body` merged into it, and the fields that this takes from other managers.
        409 where another manager owns a field that `body` sets differently, unless `force`."""
        wanted = leaves(body)
        if old is None:
            return copy.deepcopy(body), set()
        uid = old["metadata"]["uid"]
        owned = self._owned.get(uid, {})
        there = leaves(old)
        conflicts: dict[str, list[Path]] = {}
        for path, value in wanted.items():
            for (other, operation), paths in owned.items():
                if (other, operation) != (manager, "Apply") and path in paths and there.get(path) != value:
                    conflicts.setdefault(other, []).append(path)
        if conflicts and not force:
            raise _conflict(conflicts)
        new = copy.deepcopy(old)
        for path in owned.get((manager, "Apply"), set()) - set(wanted):
            others = (paths for key, paths in owned.items() if key != (manager, "Apply"))
            if not any(path in paths for paths in others):
                _drop(new, path)
        return merge_applied(new, body), {path for paths in conflicts.values() for path in paths}

    def note_applied(self, stored: Object, body: Object, manager: str, taken: set[Path]) -> None:
        """Record what was applied; others lose what was taken from them."""
        owned = self._owned.setdefault(stored["metadata"]["uid"], {})
        for paths in owned.values():
            paths -= taken
        owned[manager, "Apply"] = set(leaves(body))

    def note_update(self, old: Object, new: Object, manager: str) -> None:
        """Record what an ordinary write changed, for objects that somebody applies."""
        owned = self._owned.get(new["metadata"]["uid"])
        if owned is None:
            return
        before, after = leaves(old), leaves(new)
        changed = {path for path, value in after.items() if before.get(path, ...) != value and path[0] != "f:status"}
        for key, paths in owned.items():
            if key != (manager, "Update"):
                paths -= changed
        if changed:
            owned.setdefault((manager, "Update"), set()).update(changed)

    def managed_fields(self, stored: Object) -> list[dict[str, Any]]:
        """As `metadata.managedFields` shows it."""
        return [
            {
                "manager": manager,
                "operation": operation,
                "apiVersion": stored["apiVersion"],
                "time": now_text(),
                "fieldsType": "FieldsV1",
                "fieldsV1": _tree(paths),
            }
            for (manager, operation), paths in self._owned.get(stored["metadata"]["uid"], {}).items()
            if paths
        ]


def leaves(found: Any, path: Path = (), name: str = "") -> dict[Path, Any]:
    """Every owned value by its path; a list without keys is one value."""
    if tuple(part[2:] for part in path) in _UNOWNED:
        return {}
    if isinstance(found, dict) and found:
        result: dict[Path, Any] = {}
        for field, value in found.items():
            result |= leaves(value, (*path, f"f:{field}"), field)
        return result
    if isinstance(found, list) and found:
        keys = list_keys(name, found)
        if keys:
            result = {}
            for item in found:
                step = "k:" + json.dumps(dict(zip(keys, item_key(item, keys), strict=True)))
                result |= leaves(item, (*path, step))
            return result
        if name in SETS:
            return {(*path, "v:" + json.dumps(item)): item for item in found}
    return {path: found} if path else {}


def merge_applied(target: Any, body: Any, name: str = "") -> Any:
    """As a strategic merge, but a null is a value to drop and an empty list is one."""
    if isinstance(body, dict):
        result = dict(target) if isinstance(target, dict) else {}
        for field, value in body.items():
            if value is None:
                result.pop(field, None)
            else:
                result[field] = merge_applied(result.get(field), value, field)
        return result
    if isinstance(body, list) and isinstance(target, list):
        keys = list_keys(name, body) if body else ()
        if name in SETS:
            return [*target, *(item for item in body if item not in target)]
        if keys:
            result_items = [copy.deepcopy(item) for item in target]
            for item in body:
                at = next((i for i, old in enumerate(result_items) if item_key(old, keys) == item_key(item, keys)), None)
                if at is None:
                    result_items.append(copy.deepcopy(item))
                else:
                    result_items[at] = merge_applied(result_items[at], item)
            return result_items
    return copy.deepcopy(body)


def _drop(found: Any, path: Path) -> None:
    """Remove a leaf and the containers that it leaves empty."""
    trail: list[tuple[Any, Any]] = []
    for step in path:
        key: Any = None
        if step.startswith("f:") and isinstance(found, dict):
            key = step[2:] if step[2:] in found else None
        elif isinstance(found, list):
            wanted = json.loads(step[2:])
            for i, item in enumerate(found):
                if item == wanted or (isinstance(wanted, dict) and item_key(item, tuple(wanted)) == tuple(wanted.values())):
                    key = i
        if key is None:
            return
        trail.append((found, key))
        found = found[key]
    for parent, key in reversed(trail):
        value = parent[key]
        if value in ({}, []) or (parent, key) == trail[-1]:
            del parent[key]
        else:
            return


def _conflict(conflicts: dict[str, list[Path]]) -> ApiError:
    causes = [
        {"reason": "FieldManagerConflict", "message": f'conflict with "{manager}"', "field": _dotted(path)}
        for manager, paths in conflicts.items()
        for path in sorted(paths)
    ]
    listed = "\n".join(f"- {cause['field']}" for cause in causes)
    first = next(iter(conflicts))
    number = len(causes)
    many = f"conflicts with {', '.join(json.dumps(manager) for manager in conflicts)}:\n{listed}"
    message = f"Apply failed with {number} conflict{'s' if number > 1 else ''}: "
    message += many if number > 1 else f'conflict with "{first}": {causes[0]["field"]}'
    return ApiError(409, message, details={"causes": causes})


def _dotted(path: Path) -> str:
    text = ""
    for step in path:
        if step.startswith("f:"):
            text += f".{step[2:]}"
        elif step.startswith("k:"):
            text += "[" + ",".join(f"{key}={json.dumps(value)}" for key, value in json.loads(step[2:]).items()) + "]"
        else:
            text += f"[{step[2:]}]"
    return text


def _tree(paths: set[Path]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path in sorted(paths):
        at = tree
        for step in path:
            at = at.setdefault(step, {})
    return tree
