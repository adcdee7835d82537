"""A schema as it is in one environment."""

from __future__ import annotations

import dataclasses
import difflib

from fairway.data.schema.model import TableSchema
from fairway.errors import ConfigError


def in_environment(schema: TableSchema, name: str) -> TableSchema:
    """Without the columns that are not in `name`, the keys and cadences that use them, the slices by them; ConfigError if there is none
    such."""
    if name not in schema.environments:
        near = difflib.get_close_matches(name, schema.environments, 1)
        raise ConfigError(
            f"{schema.where} has no environment {name!r}",
            where=schema.where,
            hint=f"Did you mean {near[0]!r}?" if near else f"It has {', '.join(schema.environments)}.",
        )
    columns = {key: rule for key, rule in schema.columns.items() if not rule.environments or name in rule.environments}
    return dataclasses.replace(
        schema,
        columns=columns,
        label=schema.label if schema.label in columns else "",
        keys=tuple(key for key in schema.keys if all(column in columns for column in key)),
        cadences=tuple(one for one in schema.cadences if one.column in columns and all(column in columns for column in one.by)),
        slices=tuple(one for one in schema.slices if not one.by or one.by in columns),
        environment=name,
    )
