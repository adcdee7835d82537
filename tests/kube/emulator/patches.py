"""How the API server changes objects: merge patch, JSON patch, strategic merge patch."""

from __future__ import annotations

import copy
from typing import Any

from tests.kube.emulator.failure import ApiError

# The lists that are merged by a key of their items; all others are replaced as a whole.
LIST_KEYS = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "imagePullSecrets": ("name",),
    "ownerReferences": ("uid",),
    "conditions": ("type",),
    "hostAliases": ("ip",),
    "secrets": ("name",),
    "containerStatuses": ("name",),
    "initContainerStatuses": ("name",),
    "taints": ("key",),
    "addresses": ("type",),
}
SETS = {"finalizers"}


def list_keys(name: str, items: list[Any]) -> tuple[str, ...]:
    """The fields that name an item of the list `name`; () where the list is one value."""
    if name == "ports" and all(isinstance(item, dict) for item in items):
        return ("port", "protocol") if any("port" in item for item in items) else ("containerPort", "protocol")
    if name in LIST_KEYS and all(isinstance(item, dict) for item in items):
        return LIST_KEYS[name]
    return ()


def item_key(item: dict[str, Any], keys: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(item.get(key, "TCP" if key == "protocol" else None) for key in keys)


def merge(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge(result.get(name), value)
    return result


def strategic(target: Any, patch: Any, name: str = "") -> Any:
    """Strategic merge patch: as `merge`, and lists with a merge key by item; `$patch` directives."""
    if isinstance(patch, list):
        keys = list_keys(name, patch)
        if not keys or not isinstance(target, list):
            if name in SETS and isinstance(target, list):
                return [*target, *(item for item in patch if item not in target)]
            return [item for item in copy.deepcopy(patch) if not (isinstance(item, dict) and item.get("$patch") == "delete")]
        return _merge_items(target, patch, keys)
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    if patch.get("$patch") == "replace":
        return {key: value for key, value in copy.deepcopy(patch).items() if key != "$patch"}
    result = dict(target) if isinstance(target, dict) else {}
    for field, value in patch.items():
        if field.startswith("$deleteFromPrimitiveList/"):
            list_name = field.split("/", 1)[1]
            result[list_name] = [item for item in result.get(list_name) or [] if item not in value]
        elif field.startswith("$"):
            continue
        elif value is None:
            result.pop(field, None)
        else:
            result[field] = strategic(result.get(field), value, field)
    return result


def _merge_items(target: list[Any], patch: list[Any], keys: tuple[str, ...]) -> list[Any]:
    if any(item.get("$patch") == "replace" for item in patch):
        return [item for item in copy.deepcopy(patch) if "$patch" not in item]
    result = [copy.deepcopy(item) for item in target]
    for item in patch:
        at = next((i for i, old in enumerate(result) if item_key(old, keys) == item_key(item, keys)), None)
        if item.get("$patch") == "delete":
            if at is not None:
                del result[at]
        elif at is None:
            result.append(strategic({}, item))
        else:
            result[at] = strategic(result[at], item)
    return result


def json_patch(target: Any, operations: list[dict[str, Any]]) -> Any:
    """RFC 6902; 422 where a test fails or a path is not there."""
    result = copy.deepcopy(target)
    for operation in operations:
        result = _operate(result, operation)
    return result


def _operate(document: Any, operation: dict[str, Any]) -> Any:
    kind, path = operation["op"], _pointer(operation["path"])
    if kind in ("move", "copy"):
        value = copy.deepcopy(_look(document, _pointer(operation["from"])))
        if kind == "move":
            document = _operate(document, {"op": "remove", "path": operation["from"]})
        return _operate(document, {"op": "add", "path": operation["path"], "value": value})
    if kind == "test":
        if _look(document, path) != operation.get("value"):
            raise ApiError(422, f"the server rejected our request due to an error in our request: testing value {operation['path']} failed")
        return document
    if not path:
        return operation["value"]
    parent, last = _look(document, path[:-1]), path[-1]
    if isinstance(parent, list):
        at = len(parent) if last == "-" else int(last)
        if kind == "add":
            parent.insert(at, operation["value"])
        elif at >= len(parent):
            raise _missing(operation["path"])
        elif kind == "remove":
            del parent[at]
        else:
            parent[at] = operation["value"]
    elif kind == "add":
        parent[last] = operation["value"]
    elif last not in parent:
        raise _missing(operation["path"])
    elif kind == "remove":
        del parent[last]
    else:
        parent[last] = operation["value"]
    return document


def _look(document: Any, path: list[str]) -> Any:
    for name in path:
        try:
            document = document[int(name)] if isinstance(document, list) else document[name]
        except (KeyError, IndexError, ValueError, TypeError):
            raise _missing("/" + "/".join(path)) from None
    return document


def _pointer(path: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]


def _missing(path: str) -> ApiError:
    return ApiError(422, f"the server rejected our request due to an error in our request: doc is missing path: {path}: missing value")
