"""A server that is killed while its pods run: the next one takes every run up where it was, and no task is run twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fairway.step.freeports import ports_of_connections
from tests.kube.restartrig import Waiting


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[Waiting]:
    made = Waiting(tmp_path)
    yield made
    made.close()


def test_a_killed_server_is_followed_by_one_that_goes_on_with_every_pod(waiting: Waiting) -> None:
    runs = waiting.start(3, 4)
    attempts = waiting.running()
    first, last = ports_of_connections()
    assert not first <= waiting.server.api.get("/target")["blobs_port"] <= last, "nobody's connection takes it before the blobs are served"
    for _ in range(2):  # and the next one may be killed as well
        waiting.server.kill()
        waiting.server.start()
        waiting.await_known(attempts)
    assert sorted(waiting.running()) == sorted(attempts), "what runs is not disturbed"
    waiting.finish(attempts)
    for run in runs:
        assert waiting.server.follow(run, "RunEnded")[-1]["event"]["status"] == "succeeded"
    planned = [id for run in runs for id in waiting.planned(run)]
    assert sorted(planned) == sorted(attempts), "nothing was tried twice"


def test_what_ended_while_nobody_was_there_is_counted_and_what_vanished_is_tried_again(waiting: Waiting) -> None:
    (run,) = waiting.start(1, 3)
    attempts = waiting.running()
    gone = attempts[0]
    waiting.server.kill()
    waiting.ask(lambda client: client.delete("Pod", gone, grace_s=0))
    waiting.server.start()
    waiting.await_known(attempts[1:])
    waiting.finish(attempts[1:])
    again = next(item for item in waiting.server.follow(run, "AttemptPlanned") if item["type"] == "AttemptPlanned")
    assert again
    with_retry = []
    while not with_retry:
        with_retry = [id for id in waiting.running() if id not in attempts[1:]]
    waiting.await_known(with_retry)
    waiting.finish(with_retry)
    assert waiting.server.follow(run, "RunEnded")[-1]["event"]["status"] == "succeeded"
