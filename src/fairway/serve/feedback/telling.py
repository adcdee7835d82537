"""Alarms of an endpoint's traffic to where people see them: a webhook, Slack, e-mail, a command. Each is sent at least once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairway.errors import ConfigError, ConflictError
from fairway.serve.feedback.compact import locked
from fairway.serve.feedback.watching import read_state, write_state

if TYPE_CHECKING:
    from fairway.data.notify import Target
    from fairway.spec.ports import ArtifactStore

PREFIX = "FAIRWAY_NOTIFY_"
"""What the names of variables begin with that an address of an endpoint of others may use: all else of the server is not theirs."""
_JOURNAL = "alarms.ndjson"
_LAST_WORDS_S = 10.0


class _Kept:
    """An alarm of the state."""

    def __init__(self, plain: dict[str, Any]) -> None:
        self._plain = plain

    def to_json(self) -> dict[str, Any]:
        return self._plain


def parse(texts: Sequence[str], *, is_local: bool, variables: Mapping[str, str] = os.environ) -> list[Target]:
    """The targets. On a server (`is_local` False) programs cannot be started, and `${NAME}` only stands for variables whose name begins
    with FAIRWAY_NOTIFY_: whoever deploys is not who runs the server. Raises ConfigError."""
    from fairway.data.notify.targets import parse_targets

    if not is_local:
        if any(text.startswith(("command:", "cmd:")) for text in texts):
            raise ConfigError("a server starts no programs for an endpoint's alarms", hint="name a webhook, Slack or an e-mail address")
        variables = {name: value for name, value in variables.items() if name.startswith(PREFIX)}
    try:
        return parse_targets(texts, variables)
    except ConfigError as error:
        if is_local or "environment variable" not in error.message:
            raise
        hint = f"its name must begin with {PREFIX}, and it must be set where the server runs"
        raise ConfigError(error.message, hint=hint) from None


def tell(spool: Path, store: ArtifactStore, endpoint: str, texts: Sequence[str], *, is_local: bool) -> dict[str, Any]:
    """Send what was not sent yet; {"waiting": how many were not taken, "problem": why}."""
    state = read_state(store, endpoint)
    waiting = int(state.get("undelivered", 0))
    if not state["untold"] and not waiting:
        return {"waiting": 0, "problem": ""}
    from fairway.data.notify import Notifier

    problem = ""
    try:
        targets = parse(texts, is_local=is_local)
    except ConfigError as error:
        return {"waiting": len(state["untold"]) + waiting, "problem": error.message}
    notifier = Notifier(targets, source=endpoint, journal=spool / endpoint / _JOURNAL)
    try:
        notifier.open()
    except ConflictError:  # the process before this one is still at it
        return {"waiting": len(state["untold"]) + waiting, "problem": ""}
    try:
        with locked(spool / endpoint):
            state = read_state(store, endpoint)
            if targets:
                notifier.send(_Kept(one) for one in state["untold"])
            write_state(store, endpoint, {**state, "untold": []})  # they are in the notifier's journal by now
    finally:
        left = notifier.close(_LAST_WORDS_S)
    problem = next((f"{one['target']}: {one['problem']}" for one in notifier.status() if one["problem"]), "")
    if left != waiting:
        with locked(spool / endpoint):
            write_state(store, endpoint, {**read_state(store, endpoint), "undelivered": left})
    return {"waiting": left, "problem": problem}
