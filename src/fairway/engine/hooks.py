"""What is done when a run ends: a command, a webhook, a message to Slack, as the project's settings say.

A hook never changes how the run ended: what goes wrong with one is returned as a line of text, for whoever started the run to show.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fairway.engine.project import Hook
from fairway.spec.record import to_plain
from fairway.spec.summary import RunSummary

_VARIABLE = re.compile(r"\$\{(\w+)\}")
_EMOJI = {"succeeded": ":white_check_mark:", "failed": ":x:", "timeout": ":hourglass:", "cancelled": ":no_entry_sign:"}


def run_hooks(hooks: Sequence[Hook], summary: RunSummary, *, root: str, variables: Mapping[str, str] = os.environ) -> list[str]:
    """Run the hooks that want this run's end, in order; returns one line for each that failed."""
    problems: list[str] = []
    for hook in hooks:
        if not wants(hook, summary):
            continue
        try:
            _HANDLERS[hook.kind](hook, summary, root, variables)
        except Exception as error:  # noqa: BLE001 - a port's boundary: whatever a hook does wrong, the run has ended as it has
            where = f"{hook.where}: " if hook.where else ""
            problems.append(f"{where}the {hook.kind} hook failed: {_say(error)}")
    return problems


def wants(hook: Hook, summary: RunSummary) -> bool:
    """Does this hook ask for this pipeline and this state?"""
    if summary.status not in hook.on:
        return False
    if not hook.pipelines:
        return True
    from fnmatch import fnmatchcase

    return any(fnmatchcase(summary.pipeline, pattern) for pattern in hook.pipelines)


def render_payload(summary: RunSummary) -> dict[str, Any]:
    """What a command reads on its standard input and a webhook gets as its body."""
    return {
        "event": "run.ended",
        "run": summary.run,
        "name": summary.name,
        "project": summary.project,
        "pipeline": summary.pipeline,
        "status": summary.status,
        "error": summary.error,
        "started_at": summary.started_at,
        "ended_at": summary.ended_at,
        "duration_s": round(max(0.0, summary.ended_at - summary.started_at), 3),
        "created_by": summary.created_by,
        "params": to_plain(summary.params),
        "metrics": summary.metrics,
        "counts": summary.counts,
        "tags": list(summary.tags),
    }


def render_slack(summary: RunSummary) -> dict[str, Any]:
    """A message in Slack's format: one line of text for notifications, the same with metrics and the error as blocks."""
    headline = f"{summary.pipeline} {summary.status} after {max(0.0, summary.ended_at - summary.started_at):.0f} s ({summary.run})"
    lines = [f"{_EMOJI.get(summary.status, '')} *{_escape(headline)}*"]
    if summary.metrics:
        lines.append("  ".join(f"{_escape(name)} `{value:.6g}`" for name, value in list(summary.metrics.items())[:10]))
    if summary.error:
        lines.append(f"```{_escape(summary.error[:2000])}```")
    return {
        "text": f"{summary.project + ': ' if summary.project else ''}{headline}",
        "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "\n".join(lines)[:2900]}}],
    }


def _run_command(hook: Hook, summary: RunSummary, root: str, variables: Mapping[str, str]) -> None:
    import subprocess

    payload = render_payload(summary)
    facts = {f"FAIRWAY_RUN_{name.upper()}": str(payload[name]) for name in ("pipeline", "status", "error", "name", "duration_s")}
    done = subprocess.run(
        hook.target,
        input=json.dumps(payload),
        cwd=root,
        env={**variables, "FAIRWAY_RUN_ID": summary.run, **facts},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=hook.timeout_s,
        check=False,
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise RuntimeError(f"{hook.target[0]} ended with exit code {done.returncode}" + (f": {said[-1]}" if said else ""))


def _post_webhook(hook: Hook, summary: RunSummary, root: str, variables: Mapping[str, str]) -> None:
    _post(hook, render_payload(summary), variables)


def _post_slack(hook: Hook, summary: RunSummary, root: str, variables: Mapping[str, str]) -> None:
    _post(hook, render_slack(summary), variables)


def _post(hook: Hook, body: Mapping[str, Any], variables: Mapping[str, str]) -> None:
    import urllib.request

    headers = {name: _fill(text, variables) for name, text in hook.headers.items()}
    request = urllib.request.Request(
        _fill(hook.target[0], variables), json.dumps(body).encode(), {"Content-Type": "application/json", **headers}, method="POST"
    )
    if request.type not in ("http", "https"):
        raise RuntimeError("its URL is not http(s)")
    with urllib.request.urlopen(request, timeout=hook.timeout_s) as answer:
        answer.read(1)


_HANDLERS = {"command": _run_command, "webhook": _post_webhook, "slack": _post_slack}


def missing_variables(hook: Hook, variables: Mapping[str, str]) -> list[str]:
    """Names that the hook's URL and headers need and that are not set."""
    texts = [*(hook.target if hook.kind != "command" else ()), *hook.headers.values()]
    return [name for text in texts for name in _VARIABLE.findall(text) if name not in variables]


def _fill(text: str, variables: Mapping[str, str]) -> str:
    """`${NAME}` replaced from the environment, so that no secret stands in the settings file."""
    missing = [name for name in _VARIABLE.findall(text) if name not in variables]
    if missing:
        raise RuntimeError(f"the environment variable {missing[0]} is not set")
    return _VARIABLE.sub(lambda match: variables[match[1]], text)


def _say(error: Exception) -> str:
    """The error in words, without URLs: they may hold a secret."""
    import subprocess

    if isinstance(error, subprocess.TimeoutExpired):
        return f"it took longer than {error.timeout:g} s"
    if isinstance(error, FileNotFoundError):
        return f"there is no program {error.filename!r}"
    return str(error)


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
