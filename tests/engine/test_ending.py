"""Which hooks a server may do, and what it does with them at a run's end."""

from __future__ import annotations

import pytest

from fairway.engine.ending import FACT, as_fact, run_server_hooks, split_hooks
from fairway.engine.project import Hook
from fairway.spec.summary import RunSummary

SUMMARY = RunSummary("r1", "churn", "failed", started_at=1.0, ended_at=2.0)


@pytest.mark.parametrize(
    "hook",
    [
        Hook("webhook", ("https://example.org/notify",)),
        Hook("webhook", ("${WHERE}",)),
        Hook("webhook", ("https://example.org/notify",), headers={"Authorization": "Bearer ${KEY}"}),
        Hook("slack", ("${SLACK}",)),
    ],
    ids=range(4),
)
def test_what_holds_no_secret_travels(hook: Hook) -> None:
    assert split_hooks([hook]) == ([hook], [])


@pytest.mark.parametrize(
    "hook",
    [
        Hook("command", ("sh", "-c", "true")),
        Hook("slack", ("https://hooks.slack.com/services/T0/B0/secret",)),
        Hook("webhook", ("https://user:secret@example.org/",)),
        Hook("webhook", ("https://example.org/?key=secret",)),
        Hook("webhook", ("https://example.org/",), headers={"Authorization": "Bearer secret"}),
    ],
    ids=range(5),
)
def test_what_could_hold_a_secret_or_runs_a_command_stays_here(hook: Hook) -> None:
    assert split_hooks([hook]) == ([], [hook])
    assert run_server_hooks(SUMMARY, as_fact([hook]), {}) == [], "a server does not do it, whoever sends it"


def test_nothing_is_recorded_where_there_are_no_hooks() -> None:
    assert as_fact([]) == {}


def test_what_goes_wrong_is_said_in_a_line_each() -> None:
    facts = as_fact([Hook("webhook", ("${NOWHERE}",), on=("failed",))])
    facts[FACT].append({"kind": "webhook"})
    assert run_server_hooks(SUMMARY, facts, {}) == [
        "a hook cannot be read: Hook.__init__() missing 1 required positional argument: 'target'",
        "the webhook hook failed: the environment variable NOWHERE is not set",
    ]
