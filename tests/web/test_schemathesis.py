"""Whatever a client sends, the server keeps to its OpenAPI document and never breaks: generated requests over recorded runs.

Streams that never end are left out here: `test_api_events` reads those.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from fairway.engine.bus import Bus
from fairway.store.serverapi import ServerApi
from fairway.testing.memory import MemoryArtifactStore, MemoryEndpointStore
from fairway.web.keeping import LateEndpoints
from fairway.web.openapi import make_document
from fairway.web.ports import KeySigner
from tests.serve.control.rig import make_memory_fleet
from tests.web.rig import TOKEN, Live, Server

anything = schemathesis.openapi.from_dict(make_document())
anything.config.phases.coverage.enabled = False
real = schemathesis.openapi.from_dict(make_document())
real.config.phases.coverage.enabled = False
real.config.generation.modes = [schemathesis.GenerationMode.POSITIVE]

linked = schemathesis.openapi.from_dict(make_document())
linked.config.phases.coverage.enabled = False
linked.config.generation.modes = [schemathesis.GenerationMode.POSITIVE]

NAMES: dict[str, list[str]] = {}
"""Values of parameters that name something. Filled in when the runs have been recorded."""


@real.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    return _with_names(path_parameters)


@real.hook
def map_query(context: Any, query: dict[str, Any] | None) -> dict[str, Any] | None:
    found = _with_names(query)
    if found and isinstance(found.get("run"), list):
        found["run"] = NAMES["two runs"]
    return _at_once(found)


@linked.hook("map_query")
def do_not_wait(context: Any, query: dict[str, Any] | None) -> dict[str, Any] | None:
    return _at_once(query)


@linked.hook("map_body")
def do_not_wait_either(context: Any, body: Any) -> Any:
    return _at_once(body) if isinstance(body, dict) else body


def _at_once(given: dict[str, Any] | None) -> dict[str, Any] | None:
    return {**given, "wait": 0} if given and "wait" in given else given


def _with_names(given: dict[str, Any] | None) -> dict[str, Any] | None:
    """Names of things that are there in place of what was made up; which of them is drawn by what was made up."""
    if not given:
        return given
    return {
        name: NAMES[name][len(str(value)) % len(NAMES[name])] if name in NAMES and value is not None else value
        for name, value in given.items()
    }


@pytest.fixture(scope="module")
def url(live: Live, recorded: tuple[Path, dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("fuzzed") / "home"
    shutil.copytree(recorded[0], home)
    endpoints = LateEndpoints(MemoryEndpointStore(), MemoryArtifactStore(), str(home), Bus(), make_memory_fleet).port
    with live.serving(Server(home, signer=KeySigner("5a" * 32), heartbeat_s=0.05, endpoints=endpoints)) as server:
        server.executor.free = True
        _find_names(server, sorted(recorded[1].values()))
        root = live.url + "/api/v1"
        body = {"name": "risk", "spec": {"source": "model", "package": {"digest": "0" * 64}}}
        ServerApi(live.url, TOKEN).send("POST", "/endpoints", body)
        NAMES["endpoint"] = ["risk"]
        yield root


def _find_names(server: Server, runs: list[str]) -> None:
    from fairway.engine.apply import fold
    from fairway.spec.event import address
    from fairway.spec.ports import run_now

    state = fold(event for _, event in run_now(server.services.journal.read(runs[0])))
    tasks = [(address(scope, node, index), task) for scope, node, index, task in state.tasks()]
    NAMES["run"], NAMES["two runs"] = runs[:1], runs[:2]
    NAMES["pipeline"] = ["churn", "fragile"]
    NAMES["task"] = [name for name, _ in tasks]
    NAMES["attempt"] = [id for _, task in tasks for id in task.attempts]
    NAMES["name"] = [f"{id}/log" for id in NAMES["attempt"]]
    NAMES["digest"] = [ref.digest for _, task in tasks for ref in (task.outputs or {}).values()]
    NAMES["key"] = [stat.key for stat in server.services.artifacts.list("sha256/")]


quick = settings(
    max_examples=6, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None, derandomize=True
)


@anything.exclude(path="/events").parametrize()
@quick
def test_no_request_breaks_the_server(case: Any, url: str) -> None:
    # A graph may be well-formed and still make no sense: whether it is accepted is not for the document to say.
    case.call_and_validate(base_url=url, headers={"Fairway-Token": TOKEN}, timeout=60, excluded_checks=[positive_data_acceptance])


@real.include(method="GET").exclude(path="/events").parametrize()
@quick
def test_what_is_there_is_answered_as_described(case: Any, url: str) -> None:
    response = case.call_and_validate(
        base_url=url, headers={"Fairway-Token": TOKEN}, timeout=60, excluded_checks=[positive_data_acceptance]
    )
    assert response.status_code != 404 or case.operation.path.startswith("/artifacts/"), response.text


def test_what_one_request_answers_the_next_one_can_ask_about(url: str) -> None:
    seen: set[str] = set()
    rounds = 10

    class Story(linked.include(path_regex="^/runs", method="GET").as_state_machine()):  # type: ignore[misc]
        """Requests that follow the document's links. They only ask: what one deletes the next would miss."""

        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"base_url": url, "headers": {"Fairway-Token": TOKEN}, "timeout": 60}

        def validate_response(self, response: Any, case: Any, **more: Any) -> None:
            case.validate_response(response, headers={"Fairway-Token": TOKEN}, excluded_checks=[positive_data_acceptance])
            if response.status_code < 300 and "{run}" in case.operation.path:
                seen.add(case.operation.label)

    stories = settings(quick, max_examples=20, stateful_step_count=6, derandomize=False)
    while len(seen) <= 3 and (rounds := rounds - 1):  # what is asked is drawn: now and then little of it is about a run that there is
        Story.run(settings=stories)
    assert len(seen) > 3, seen
