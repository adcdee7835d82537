"""What is sent: alarms as JSON, in Slack's format, as an e-mail. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

_SHOWN = 10
_LONGEST = 500
_EMOJI = {"error": ":red_circle:", "warning": ":large_yellow_circle:", "cleared": ":large_green_circle:"}

AlarmRecord = dict[str, Any]
"""An alarm's `to_json()`: at least `id`, `at`, `kind`, `column`, `severity`, `message` and `state` ("raised" or "cleared")."""


@dataclass(frozen=True)
class Message:
    """Alarms that are sent together. `id` is the same whenever the same alarms are sent again, so that who gets it twice can tell."""

    source: str
    alarms: tuple[AlarmRecord, ...]

    @property
    def id(self) -> str:
        told = "\n".join(f"{one['id']} {one['state']} {one['at']}" for one in self.alarms)
        return sha256(f"{self.source}\n{told}".encode()).hexdigest()[:24]

    @property
    def headline(self) -> str:
        """One line: what is wrong, or that it is over."""
        raised = [one for one in self.alarms if one["state"] == "raised"]
        if len(self.alarms) == 1:
            one = self.alarms[0]
            return cut(f"{self.source}: {one['message']}" if raised else f"{self.source}: over: {one['message']}")
        parts = [f"{len(raised)} alarm{'s' if len(raised) > 1 else ''}"] if raised else []
        over = len(self.alarms) - len(raised)
        parts += [f"{over} over"] if over else []
        return cut(f"{self.source}: {', '.join(parts)}")


def cut(text: str, limit: int = _LONGEST) -> str:
    """Not longer than that."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def render_json(message: Message) -> dict[str, Any]:
    """What a webhook gets as its body and a command on its standard input: everything, however many alarms there are."""
    return {
        "event": "data.alarms",
        "id": message.id,
        "source": message.source,
        "headline": message.headline,
        "count": len(message.alarms),
        "alarms": list(message.alarms),
    }


def render_slack(message: Message) -> dict[str, Any]:
    """Slack's format: a line for the notification, the alarms as a list."""
    lines = [f"*{_escape(message.headline)}*"] if len(message.alarms) > 1 else [f"*{_escape(cut(message.source))}*"]
    lines += [f"{_emoji(one)} {_escape(_line(one))}" for one in message.alarms[:_SHOWN]]
    lines += _more(message.alarms)
    return {
        "text": _escape(message.headline),
        "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "\n".join(lines)[:2900]}}],
    }


def render_mail(message: Message) -> tuple[str, str]:
    """Subject (one line) and text of an e-mail."""
    lines: list[str] = [message.source, ""]
    for one in message.alarms[: 5 * _SHOWN]:
        lines += [f"* {_line(one)}", f"  {one['at']}  {one['kind']}" + (f"  column {one['column']}" if one.get("column") else ""), ""]
    lines += _more(message.alarms, 5 * _SHOWN)
    subject = " ".join(message.headline.split())
    return cut(subject, 150), "\n".join(lines)


def _line(alarm: AlarmRecord) -> str:
    return cut(alarm["message"] if alarm["state"] == "raised" else f"over: {alarm['message']}")


def _more(alarms: Sequence[AlarmRecord], shown: int = _SHOWN) -> list[str]:
    return [f"… and {len(alarms) - shown} more"] if len(alarms) > shown else []


def _emoji(alarm: AlarmRecord) -> str:
    return _EMOJI.get("cleared" if alarm["state"] == "cleared" else alarm.get("severity", ""), _EMOJI["warning"])


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
