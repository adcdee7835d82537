"""The page docs/reference/frameworks.md: the rendezvous table, one row a framework, from the code of its rows."""

from __future__ import annotations

import inspect
from typing import Any

from fairway.spec.gang import Gang, Place
from fairway.train.frameworks import BUILT_IN, get_framework

_STYLES = {
    "ranks": "every rank runs the step",
    "client": "rank 0 runs the step, the other replicas lend their machines",
    "launcher": "the framework's own launcher starts the ranks",
}


def render_rows() -> list[str]:
    """The parts of the page behind its title: a table of all, then a section for each row."""
    rows = [get_framework(name) for name in BUILT_IN]
    plain = set(_variables(get_framework("plain")))
    lines = ["| `framework=` | for | who runs the step | options |", "| --- | --- | --- | --- |"]
    for row in rows:
        options = ", ".join(f"`{name}`" for name in _options(row))
        lines.append(f"| [`{row.name}`](#{row.name}) | {row.title} | {_STYLES[_style(row)]} | {options} |")
    parts = ["\n".join(lines), "What `plain` tells a rank all others tell as well; below stands what comes to it."]
    for row in rows:
        own = [name for name in _variables(row) if row.name == "plain" or name not in plain]
        parts.append(f"## {row.name}")
        source = f" Its own documentation: <{row.source}>." if getattr(row, "source", "") else ""
        parts.append(f"{row.title}. {_about(row)}{source}")
        if own:
            parts.append("Variables: " + ", ".join(f"`{name}`" for name in own) + ".")
        if _options(row):
            table = [f"| `{name}` | {about} |" for name, about in _options(row).items()]
            parts.append("\n".join(["| option | does |", "| --- | --- |", *table]))
    return parts


def _variables(row: Any) -> list[str]:
    """What a rank of any gang is told, in whatever form the gang has, on one machine and on several."""
    found: dict[str, None] = {}
    for roles in ({}, {"chief": 1, "ps": 1}):
        for hosts in (("127.0.0.1", "127.0.0.1"), ("10.0.0.1", "10.0.0.2")):
            place = Place(0, 2, replicas=2, hosts=hosts, ports=((1, 2), (3, 4)), roles=tuple(roles) or ("", ""),
                          role=next(iter(roles), ""), key="k", folder="/folder", devices=1)  # fmt: skip
            found.update(dict.fromkeys(row.environment(place, Gang(2, row.name, roles=roles))))
    return list(found)


def _about(row: Any) -> str:
    return " ".join(inspect.cleandoc(type(row).__doc__ or "").split())


def _style(row: Any) -> str:
    return getattr(row, "style", "ranks")


def _options(row: Any) -> dict[str, str]:
    return dict(getattr(row, "options", {}))
