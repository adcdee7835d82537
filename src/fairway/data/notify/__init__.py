"""Alarms to where people see them: a webhook, Slack, e-mail, a command. Nothing is lost, nobody is flooded, nobody waits."""

from __future__ import annotations

from fairway.data.notify.notifier import Notifier
from fairway.data.notify.targets import Target, parse_target

__all__ = ["Notifier", "Target", "parse_target"]
