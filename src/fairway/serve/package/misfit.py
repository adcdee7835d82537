"""Requests that do not fit the model, where only the model's process can tell."""

from __future__ import annotations

from collections.abc import Iterable

from fairway.serve.refusal import Fault, Refused

MOST_FAULTS = 20


def misfit(message: str, *, faults: Iterable[Fault] = (), hint: str = "") -> Refused:
    """To be raised: 422, with the first of the faults."""
    return Refused(422, "FW-INPUT", message, faults=tuple(faults)[:MOST_FAULTS], hint=hint)


def lacking(names: list[str], expected: str = "a value in each row") -> Refused:
    """To be raised: columns that the model needs and the request lacks."""
    told = f"the column {names[0]!r}" if len(names) == 1 else f"{len(names)} more columns: {', '.join(names[:3])}, …"
    return misfit(f"the model needs {told}", faults=[Fault(-1, name, "nothing", expected) for name in names])
