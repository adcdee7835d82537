"""What docstrings say: a summary, and a line of help for each parameter."""

from __future__ import annotations

import re

_LINE = re.compile(r"^\s*(?::param\s+(?:[\w\[\], .|]+\s)?)?(\w+)(?:\s*\([^)]*\))?\s*:\s+(.+)$")
_SECTIONS = ("args:", "arguments:", "parameters:", "params:")


def summary(doc: str) -> str:
    """The docstring without the section about its arguments."""
    lines: list[str] = []
    for line in doc.strip().splitlines():
        if line.strip().lower() in _SECTIONS or line.strip().startswith(":param"):
            break
        lines.append(line.strip())
    return "\n".join(lines).strip()


def parameter_help(doc: str) -> dict[str, str]:
    """Help by parameter, from an "Args:" section or from ":param name:" lines."""
    found: dict[str, str] = {}
    inside, last = False, ""
    for line in doc.splitlines():
        text = line.strip()
        if text.lower() in _SECTIONS:
            inside, last = True, ""
            continue
        match = _LINE.match(line)
        if match and (inside or text.startswith(":param")):
            last = match[1]
            found[last] = match[2].strip()
        elif inside and text and last and not match:
            found[last] += " " + text
        elif not text:
            inside = inside and not found
    return found
