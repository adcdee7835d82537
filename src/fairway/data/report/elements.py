"""HTML from Python: text is escaped, markup is not."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

_VOID = frozenset({"meta", "path", "rect", "br", "line", "circle", "input"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def text(*children: Any) -> Markup:
    """Children one after another: None and False are left out, lists are opened, everything but Markup is escaped."""
    return Markup("".join(_pieces(children)))


def _pieces(children: Iterable[Any]) -> Iterable[str]:
    for child in children:
        if isinstance(child, Markup):
            yield child
        elif isinstance(child, list | tuple):
            yield from _pieces(child)
        elif child is not None and child is not False:
            yield escape(str(child))


def el(name: str, /, *children: Any, **attributes: Any) -> Markup:
    """An element. `class_` is "class", other underscores are hyphens; None and False leave an attribute out, True writes its name alone."""
    said = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escape(str(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return Markup(f"<{name}{said}/>" if name in _VOID else f"<{name}{said}>{text(*children)}</{name}>")


def coded(said: str) -> Markup:
    """A sentence whose `names` stand between backticks, with them set as code."""
    parts = said.split("`")
    if len(parts) % 2 == 0:
        return text(said)
    return text([el("code", part) if n % 2 else part for n, part in enumerate(parts)])
