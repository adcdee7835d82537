"""What must not be kept of a request or an answer is taken out, or becomes a keyed digest, before anything is written. Pure.

A rule is the name of a field ("age"), wherever it stands, or the end of a path ("customer.email"). What cannot be searched for such a field
(a binary body, rows without names whose columns are not known) is not kept at all.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from typing import Any

import msgspec

from fairway.spec.tokens import derive_key

_ENVELOPE = frozenset(
    {"", "inputs", "data", "instances", "rows", "input_data", "dataframe_records", "dataframe_split", "dataframe_instances"}
)
_Rule = tuple[tuple[str, ...], bool]  # the end of the path before the name; True: drop, False: digest


def secret_of(key: str, endpoint: str) -> str:
    """The key of an endpoint's digests, hexadecimal: whoever has the server's `key` for gateways comes to the same one."""
    return derive_key(key, f"digests of {endpoint}")


class Withheld(Exception):
    """Nothing of this body may be kept: its message says why."""


class Privacy:
    """The rules of one endpoint. `columns`: of the schema, in order, for rows that come without names. `secret`: the key of the digests."""

    __slots__ = ("_rules", "columns", "secret")

    def __init__(self, drop: Sequence[str] = (), hash: Sequence[str] = (), *, secret: bytes = b"", columns: Sequence[str] = ()) -> None:
        self.secret, self.columns = secret, tuple(columns)
        self._rules: dict[str, list[_Rule]] = {}
        for names, is_dropped in ((drop, True), (hash, False)):
            for name in names:
                *before, last = name.split(".")
                self._rules.setdefault(last, []).append((tuple(before), is_dropped))

    def __bool__(self) -> bool:
        return bool(self._rules)

    def cover_body(self, body: bytes, content_type: str, *, is_request: bool) -> str:
        """The text that may be kept. Raises Withheld."""
        kind = content_type.partition(";")[0].strip().lower()
        try:
            if kind in ("", "application/json") or kind.endswith("+json"):
                if not self._rules:
                    return str(body, "utf-8")
                return msgspec.json.encode(self._cover(msgspec.json.decode(body), (), is_request)).decode()
            if kind.startswith("text/"):
                if not self._rules:
                    return str(body, "utf-8")
                if kind == "text/csv":
                    return self._cover_csv(str(body, "utf-8"))
        except (ValueError, RecursionError) as error:  # not UTF-8, not JSON
            raise Withheld("it cannot be read") from error
        raise Withheld(f"it is {kind}" + (", and fields are to be dropped or hashed" if self._rules else ", not text"))

    def cover_fields(self, record: dict[str, Any]) -> dict[str, Any]:
        """The record without what its own fields (`user`, `caller`, …) must not show."""
        return self._cover_object(record, (), False) if self._rules else record

    def digest(self, value: Any) -> str:
        """Equal values give equal digests, for this endpoint alone."""
        return hashlib.blake2b(msgspec.json.encode(value), key=self.secret[:64], digest_size=16).hexdigest()

    def _find(self, trail: tuple[str, ...], name: str) -> bool | None:
        """True: drop it, False: digest it, None: keep it."""
        rules = self._rules.get(name)
        if rules is None:
            return None
        found = [gone for before, gone in rules if not before or trail[-len(before) :] == before]
        return None if not found else any(found)

    def _cover(self, value: Any, trail: tuple[str, ...], is_request: bool) -> Any:
        if isinstance(value, dict):
            return self._cover_object(value, trail, is_request)
        if not isinstance(value, list):
            return value
        is_bare = is_request and (not trail or trail[-1] in _ENVELOPE) and bool(value)
        if is_bare and isinstance(value[0], list):
            return [self._cover_row(row) for row in value]
        if is_bare and not isinstance(value[0], dict):
            return self._cover_row(value)
        return [self._cover(item, trail, is_request) for item in value]

    def _cover_object(self, value: dict[str, Any], trail: tuple[str, ...], is_request: bool) -> dict[str, Any]:
        columns, data = value.get("columns"), value.get("data")
        if isinstance(columns, list) and isinstance(data, list):
            names = [name if isinstance(name, str) else "" for name in columns]
            kept = [name for name in columns if not isinstance(name, str) or self._find(trail, name) is not True]
            rows = [self._cover_values(names, row, trail) for row in data]
            return {**self._cover_fields(value, trail, is_request, ("columns", "data")), "columns": kept, "data": rows}
        if isinstance(value.get("name"), str) and "data" in value and "shape" in value:
            return self._cover_tensor(value, trail, is_request)
        return self._cover_fields(value, trail, is_request)

    def _cover_fields(self, value: dict[str, Any], trail: tuple[str, ...], is_request: bool, but: tuple[str, ...] = ()) -> dict[str, Any]:
        """Each field by its name, `but` for those that are dealt with."""
        out: dict[str, Any] = {}
        for name, item in value.items():
            gone = self._find(trail, name)
            if gone is None and name not in but:
                if isinstance(item, list) and name in ("inputs", "outputs"):
                    item = [tensor for tensor in item if not self._is_gone(tensor, trail)]
                out[name] = self._cover(item, (*trail, name), is_request) if isinstance(item, list | dict) else item
            elif gone is False:
                out[name] = self._digest_all(item)
        return out

    def _is_gone(self, tensor: Any, trail: tuple[str, ...]) -> bool:
        return isinstance(tensor, dict) and "shape" in tensor and self._find(trail, str(tensor.get("name"))) is True

    def _cover_tensor(self, value: dict[str, Any], trail: tuple[str, ...], is_request: bool) -> dict[str, Any]:
        """One of the Open Inference Protocol: its name is a field's."""
        out = self._cover_fields(value, trail, is_request, ("data", "shape", "datatype"))
        gone = self._find(trail, value["name"])
        if gone is not None:
            return {} if gone else {**out, "shape": value["shape"], "datatype": "BYTES", "data": self._digest_all(value["data"])}
        shape, data = value["shape"], value["data"]
        out |= {name: value[name] for name in ("datatype", "shape") if isinstance(value.get(name), list | str)}
        if not (is_request and isinstance(shape, list) and len(shape) > 1 and self._covers_columns()):
            data = [self._cover(item, (*trail, "data"), False) for item in data] if isinstance(data, list) else None
            return {**out, "data": data}
        width = shape[-1]
        if width != len(self.columns) or len(shape) != 2 or not isinstance(data, list):
            raise Withheld("its columns have no names")
        rows = data if data and isinstance(data[0], list) else [data[n : n + width] for n in range(0, len(data), width)]
        covered = [self._cover_row(row) for row in rows]
        return {**out, "shape": [len(covered), len(covered[0]) if covered else 0], "data": covered}

    def _cover_row(self, row: Any) -> list[Any]:
        if not self._covers_columns() and isinstance(row, list):
            return [self._cover(item, ("",), False) for item in row]
        if not isinstance(row, list) or len(row) != len(self.columns):
            raise Withheld("its rows have no names")
        return self._cover_values(list(self.columns), row, ())

    def _covers_columns(self) -> bool:
        return not self.columns or any(self._find((), name) is not None for name in self.columns)

    def _cover_values(self, names: list[str], row: Any, trail: tuple[str, ...]) -> list[Any]:
        if not isinstance(row, list) or len(row) != len(names):
            raise Withheld("its rows have no names")
        found = [self._find(trail, name) for name in names]
        pairs = zip(row, found, strict=True)
        return [self._cover(item, ("",), False) if gone is None else self._digest_all(item) for item, gone in pairs if gone is not True]

    def _digest_all(self, value: Any) -> Any:
        return [self._digest_all(item) for item in value] if isinstance(value, list) else self.digest(value)

    def _cover_csv(self, text: str) -> str:
        rows = list(csv.reader(io.StringIO(text)))
        names = rows[0] if rows else []
        if not set(self.columns or [name for name in self._rules if not self._rules[name][0][0]]) <= set(names):
            raise Withheld("its columns have no names")
        kept = [name for name in names if self._find((), name) is not True]
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([kept, *(self._cover_values(names, list[Any](row), ()) for row in rows[1:])])
        return out.getvalue()
