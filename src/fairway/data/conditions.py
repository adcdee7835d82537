"""What a condition may be: an SQL expression over a table's columns. It reads nothing else, whoever wrote it."""

from __future__ import annotations

import json
from typing import Any

from fairway.errors import ConfigError


def check_condition(connection: Any, sql: str) -> None:
    """Raises ConfigError for a query in the condition (it could read any file), for one that closes the condition's own bracket, and
    for what is no SQL."""
    said = json.loads(connection.execute("SELECT json_serialize_sql(?)", [f"SELECT 1 WHERE ({sql}\n)"]).fetchall()[0][0])
    if said["error"]:
        raise ConfigError(
            f"where({sql!r}): {said['error_message']}", hint="write an expression over the columns: where('\"my column\" > 3')"
        )
    statements = said["statements"]
    node = statements[0]["node"]
    alone = len(statements) == 1 and node["type"] == "SELECT_NODE" and node["from_table"]["type"] == "EMPTY"
    plain = alone and not any(node.get(part) for part in ("modifiers", "group_expressions", "having", "qualify", "sample"))
    if not plain or _holds_query(node["where_clause"]):
        raise ConfigError(f"where({sql!r}) holds a query of its own", hint="a condition sees the columns of its table, and nothing else")


def _holds_query(part: Any) -> bool:
    if isinstance(part, dict):
        return part.get("class") == "SUBQUERY" or any(map(_holds_query, part.values()))
    return isinstance(part, list) and any(map(_holds_query, part))
