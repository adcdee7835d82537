"""Endpoints that are changed, killed and pestered while callers ask them: each request is accounted for. All processes are real."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from benchmarks.serving.callers import Callers, Link, ask_at_once, pester, render_post
from benchmarks.serving.labels import Labels
from benchmarks.serving.place import Place, await_true, kill

SCRIPT = "import json\n\ndef init():\n    pass\n\ndef run(raw_data):\n    return [FACTOR * x for x in json.loads(raw_data)]\n"
BROKEN = "def init():\n    pass\n\ndef run(raw_data):\n    raise ValueError('it never works')\n"
CALLERS = 8
REQUEST = render_post("/risk/score", b"[1, 2]")


def is_right(headers: dict[bytes, bytes], body: bytes) -> bool:
    """Revision 1 multiplies by 1, revision 2 by 2, and so on."""
    factor = int(headers.get(b"fairway-revision", b"0"))
    return json.loads(body) == [factor, 2 * factor]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One project for all: each test leaves revision 1 served by one replica."""
    made = Place(tmp_path_factory.mktemp("serving"))
    for factor in (1, 2):
        (made.folder / f"times{factor}").mkdir()
        (made.folder / f"times{factor}/score.py").write_text(SCRIPT.replace("FACTOR", str(factor)))
    (made.folder / "broken").mkdir()
    (made.folder / "broken/score.py").write_text(BROKEN)
    try:
        made.run("deploy", "times1/score.py", "--name", "risk", "--open", "--idle", "1s", "--target", "1000")
        yield made
        left = made.left()
    finally:
        made.close()
    await_true(lambda: not any(Path(f"/proc/{pid}").exists() for pid in left), "an end of all processes")


@pytest.fixture(autouse=True)
def first(place: Place) -> None:
    """As it was in the beginning."""
    place.run("deploy", "times1/score.py", "--name", "risk", "--min", "1", "--max", "1")
    await_true(lambda: place.table().get("traffic") == [[1, 100.0]] and len(place.serving()) == len(place.replicas()) == 1, "revision 1")


@asynccontextmanager
async def called(place: Place, count: int = CALLERS) -> AsyncGenerator[Callers]:
    """Callers at work, once each of them has had an answer."""
    callers = Callers("127.0.0.1", place.port, REQUEST, is_right, count, pause_s=0.001)
    async with callers:
        await answered(callers)
        callers.phase()
        yield callers
        await answered(callers)


async def answered(callers: Callers, more: int = 2 * CALLERS) -> None:
    """So many more right answers have come."""
    goal = callers.tally.right + more
    await callers.until(lambda: callers.tally.right >= goal)


async def until(condition: Callable[[], bool], what: str) -> None:
    await asyncio.to_thread(await_true, condition, what)


def test_no_request_fails_while_revisions_traffic_and_replicas_change(place: Place) -> None:
    async def run(*words: str) -> None:
        await asyncio.to_thread(place.run, *words)

    async def main() -> None:
        async with called(place) as callers:
            await run("deploy", "times2/score.py", "--name", "risk")
            await callers.until(lambda: callers.revisions[b"2"] > 0)
            await run("rollback", "risk")
            await until(lambda: place.table()["traffic"] == [[1, 100.0]], "the rollback")
            await run("rollout", "risk", "2", "--blue-green")
            await until(lambda: place.table()["traffic"] == [[2, 100.0]], "blue-green")
            await run("deploy", "times2/score.py", "--name", "risk", "--min", "2", "--max", "2")
            await until(lambda: len(place.serving(2)) == 2, "the second replica")
            await run("traffic", "risk", "1=50", "2=50", "--shadow", "0")
            await until(lambda: bool(place.serving(1)), "both revisions")
            callers.revisions.clear()
            await callers.until(lambda: callers.revisions[b"1"] > 0 and callers.revisions[b"2"] > 0)
            await run("traffic", "risk", "1=100", "--shadow", "2")
            await answered(callers)
        assert callers.tally.lost == 0, callers.tally.examples
        place.run("traffic", "risk", "--shadow", "0")

    asyncio.run(main())


def test_a_canary_that_fails_goes_back_and_only_its_own_answers_fail(place: Place) -> None:
    async def main() -> None:
        async with called(place) as callers:
            words = ("rollout", "risk", "broken/score.py", "--steps", "20,100", "--step", "60s", "--least", "10")
            await asyncio.to_thread(place.run, *words)
            await until(lambda: place.view()["endpoint"]["rollout"]["state"] == "back", "the way back")
            await until(lambda: place.table()["traffic"] == [[1, 100.0]], "revision 1")
            await answered(callers)
        tally = callers.tally
        assert tally.failed[500] >= 5
        assert tally.lost == tally.failed[500], tally.examples

    asyncio.run(main())


def test_killing_the_gateway_costs_what_it_had_in_hand_and_its_holder_nothing(place: Place) -> None:
    async def main() -> None:
        async with called(place) as callers:
            holder, child = place.gateway_pids()
            kill(child)
            await until(lambda: place.gateway_pids()[1] not in (0, child), "another working process")
            await answered(callers)
            tally = callers.phase()
            assert tally.lost == tally.broken <= CALLERS, tally.examples
            kill(holder)
            await until(lambda: place.gateway_pids()[0] not in (0, holder), "another holder")
            await answered(callers)
            kill(place.gateway_pids()[1])  # the new one does its work
            await answered(callers)
        assert callers.tally.lost == callers.tally.broken <= CALLERS, callers.tally.examples

    asyncio.run(main())


def test_killing_the_server_costs_nothing_and_the_next_one_knows_what_runs(place: Place) -> None:
    async def main() -> None:
        async with called(place) as callers:
            running = [kept["id"] for kept in place.serving(1)]
            kill(place.server_pid())
            await answered(callers)
            view = await asyncio.to_thread(place.view)
            assert view["state"] == "ready"
            assert {kept["id"] for kept in place.serving(1)} == set(running), "none was started again"
            await answered(callers)
        assert callers.tally.lost == 0, callers.tally.examples

    asyncio.run(main())


def test_killing_a_replica_costs_what_it_had_in_hand(place: Place) -> None:
    place.run("deploy", "times1/score.py", "--name", "risk", "--min", "2", "--max", "2")
    await_true(lambda: len(place.serving()) == 2, "two replicas")

    async def main() -> None:
        async with called(place) as callers:
            gone = place.serving()[0]
            kill(gone["pid"])
            await until(lambda: gone["id"] not in {one["id"] for one in place.serving()} and len(place.serving()) == 2, "another one")
            await answered(callers)
            tally = callers.phase()
            assert tally.lost == tally.failed[502] <= CALLERS, tally.examples
            kill(place.workers(place.serving()[0])[0])
            await answered(callers)
            kill(place.workers(place.serving()[1])[0])
            await answered(callers)
        tally = callers.tally
        assert tally.lost == tally.failed[502] <= 2, tally.examples

    asyncio.run(main())


def test_a_lone_replica_that_is_killed_makes_callers_wait_for_the_next_one(place: Place) -> None:
    async def main() -> None:
        async with called(place) as callers:
            gone = place.serving()[0]
            kill(gone["pid"])
            await until(lambda: any(one["id"] != gone["id"] for one in place.serving()), "another one")
            await answered(callers)
        tally = callers.tally
        assert tally.lost == tally.failed[502] <= CALLERS, tally.examples

    asyncio.run(main())


def test_a_burst_to_no_replica_is_answered_whole(place: Place) -> None:
    place.run("deploy", "times1/score.py", "--name", "risk", "--min", "0")
    await_true(lambda: any(json.loads(path.read_text()).get("folders") for path in place.serve_folder.glob("zygotes/*.json")), "warmth")
    await_true(lambda: not place.replicas(), "idleness")
    tally, _ = asyncio.run(ask_at_once("127.0.0.1", place.port, REQUEST, 64, is_right))
    assert (tally.right, tally.lost) == (64, 0), tally.examples
    assert place.replicas()[0]["warm"], "its libraries were there"


def test_what_was_acknowledged_in_feedback_is_there_whoever_was_killed(place: Place) -> None:
    labels = Labels(place)

    async def more() -> None:
        goal = len(labels.acknowledged) + 20
        await until(lambda: len(labels.acknowledged) >= goal, "acknowledged feedback")

    async def main() -> None:
        async with labels:
            await more()
            _, child = place.gateway_pids()
            kill(child)
            await more()
            kill(place.server_pid())
            await more()
            kill(place.gateway_pids()[1])
            await more()

    asyncio.run(main())
    place.run("endpoints")
    assert labels.count_lost() == 0


def test_a_disk_that_takes_no_feedback_takes_no_answers_away(place: Place) -> None:
    async def main() -> None:
        async with called(place) as callers:
            _, child = place.gateway_pids()
            _, most = resource.prlimit(child, resource.RLIMIT_FSIZE)
            resource.prlimit(child, resource.RLIMIT_FSIZE, (1, most))
            link = Link("127.0.0.1", place.port)
            request = render_post("/risk/feedback", b'{"id": "full-1", "label": 1}')
            status, _, body = await link.ask(request)
            assert status == 503 and json.loads(body)["error"]["code"] == "FW-FEEDBACK-UNWRITTEN", body
            await answered(callers)
            resource.prlimit(child, resource.RLIMIT_FSIZE, (most, most))
            assert (await link.ask(request))[0] == 200
            link.close()
        assert callers.tally.lost == 0, callers.tally.examples

    asyncio.run(main())


def test_clients_that_send_garbage_disturb_nobody(place: Place) -> None:
    async def main() -> None:
        async with called(place) as callers:
            stop = asyncio.Event()
            others = [asyncio.create_task(pester("127.0.0.1", place.port, "/risk/score", stop)) for _ in range(4)]
            await answered(callers, 200)
            stop.set()
            assert sum(await asyncio.gather(*others)) > 0
        assert callers.tally.lost == 0, callers.tally.examples

    asyncio.run(main())


def test_a_replica_that_stops_still_costs_nobody_who_asks_the_other(place: Place) -> None:
    place.run("deploy", "times1/score.py", "--name", "risk", "--min", "2", "--max", "2")
    await_true(lambda: len(place.serving()) == 2, "two replicas")

    async def main() -> None:
        async with called(place) as callers:
            stopped = place.serving()[0]
            os.kill(stopped["pid"], signal.SIGSTOP)
            try:
                await answered(callers, 200)
            finally:
                os.kill(stopped["pid"], signal.SIGCONT)
        assert callers.tally.lost == 0, callers.tally.examples

    asyncio.run(main())
