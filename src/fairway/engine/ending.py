"""What a server does at a run's end: the webhooks of the project that the run came from, whoever watches.

They travel with the run, in what its start records of its surroundings. What they hold of secrets they hold by name, as `${NAME}`: the
server finds them among the target's secrets. A hook with a secret in its own text, or that runs a command, is for the attached client.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from fairway.engine.hooks import run_hooks
from fairway.engine.project import Hook
from fairway.spec.record import from_plain, to_plain
from fairway.spec.summary import RunSummary

FACT = "hooks"
"""Where in `RunStarted.environment` the hooks are."""


def split_hooks(hooks: Sequence[Hook]) -> tuple[list[Hook], list[Hook]]:
    """(those that the server can do, those that only this machine can)."""
    travelling = [hook for hook in hooks if _may_travel(hook)]
    return travelling, [hook for hook in hooks if hook not in travelling]


def as_fact(hooks: Sequence[Hook]) -> dict[str, Any]:
    """What a run's start records of hooks that travel; {} if there are none."""
    return {FACT: [to_plain(hook) for hook in hooks]} if hooks else {}


def run_server_hooks(summary: RunSummary, environment: Mapping[str, Any], variables: Mapping[str, str]) -> list[str]:
    """Do what the run brought along; returns a line for each hook that failed. Blocks."""
    hooks: list[Hook] = []
    problems: list[str] = []
    for plain in environment.get(FACT, ()):
        try:
            hook = from_plain(Hook, plain)
        except (TypeError, KeyError) as error:
            problems.append(f"a hook cannot be read: {error}")
            continue
        if _may_travel(hook):
            hooks.append(hook)
    return problems + run_hooks(hooks, summary, root="", variables=variables)


def _may_travel(hook: Hook) -> bool:
    """No command, and nothing in it that could be a secret: events are not the place for one."""
    if hook.kind == "command" or any("${" not in value for value in hook.headers.values()):
        return False
    url = hook.target[0]
    if url.startswith("${"):
        return True
    parts = urlsplit(url)
    return hook.kind == "webhook" and "@" not in parts.netloc and not parts.query
