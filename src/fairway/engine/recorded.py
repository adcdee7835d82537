"""What a task was given, worked out again from the run's record."""

from __future__ import annotations

from typing import Any

from fairway.engine.resolve import Library, Missing, resolve
from fairway.engine.state import RunState
from fairway.errors import NotFoundError
from fairway.spec.attempt import Input
from fairway.spec.event import Index, address


def get_inputs(state: RunState, scope: str, node: str, index: Index, library: Library) -> dict[str, Input]:
    """The task's inputs by name. Raises NotFoundError while one of them has not been made."""
    found = state.scopes[scope]
    definition = found.nodes[node].node
    at = dict(zip(definition.axes, index, strict=True))
    inputs: dict[str, Input] = {}
    for name, expr in definition.inputs.items():
        value: Any = resolve(state, found, expr, at, library)
        if isinstance(value, Missing):
            raise NotFoundError(
                f"{address(scope, node, index)} never got its input {name!r} ({value.why})",
                hint=f"`fairway show {state.run}` shows what it waits for",
            )
        inputs[name] = value if isinstance(value, Input) else Input(ref=value)
    return inputs
