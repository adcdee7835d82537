"""JSON's values as R's own spelling of them: R's parser is in C and always there, while packages that read JSON are not."""

from __future__ import annotations

import json
import math
from typing import Any

_quote = json.JSONEncoder(ensure_ascii=False).encode


def to_literal(value: Any) -> str:
    """An R expression of literals alone. Lists of one kind of scalars are vectors; objects are named lists."""
    if isinstance(value, list):
        return _of_list(value)
    if isinstance(value, dict):
        if not value:
            return "structure(list(),names=character(0))"
        parts = ",".join(map(to_literal, value.values()))
        return f"structure(list({parts}),names={_names(value)})"
    return "NULL" if value is None else _scalar(value)


def to_data_frame(rows: list[dict[str, Any]]) -> str:
    """A data.frame of rows; a column is a vector where its values are of one kind, else a list. What a row lacks is NA."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = ",".join(_of_list([row.get(name) for row in rows], "NA") for name in names)
    return f'structure(list({columns}),names={_names(names)},row.names=c(NA,-{len(rows)}L),class="data.frame")'


def _names(names: Any) -> str:
    return f"c({','.join(quote(str(name)) for name in names)})"


def _of_list(values: list[Any], nothing: str = "NULL") -> str:
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} and kinds:
        as_float = float in kinds or any(isinstance(value, int) and abs(value) >= 1 << 31 for value in values)
        return f"c({','.join('NA' if v is None else _number(v, as_float) for v in values)})"
    if len(kinds) == 1 and kinds <= {str, bool}:
        return f"c({','.join('NA' if v is None else _scalar(v) for v in values)})"
    if not kinds and values and nothing == "NA":
        return f"rep(NA,{len(values)})"
    return f"list({','.join('NULL' if v is None else to_literal(v) for v in values)})"


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        return _number(value, isinstance(value, float) or abs(value) >= 1 << 31)
    return quote(str(value))


def _number(value: float, as_float: bool) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Inf" if value > 0 else "-Inf"
    return repr(float(value)) if as_float else f"{value}L"


def quote(text: str) -> str:
    """A string as R writes it; R has no NUL in strings, so those are left out, and halves of surrogate pairs become question marks."""
    return _quote(text.replace("\0", "")).encode("utf-8", "replace").decode()
