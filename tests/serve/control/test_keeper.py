"""The keeper: traffic moves when what it moves to is ready, replicas follow the load, rollouts go on, and a new keeper goes on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from fairway.serve.control import changes
from fairway.serve.control.changes import Doing
from fairway.serve.control.desk import EndpointDesk
from fairway.serve.control.fleet import Replica, phases_of
from fairway.serve.control.view import EndpointView
from fairway.spec.endpoint import Endpoint, Rollout, Scaling, ServeSpec
from fairway.spec.record import replace
from fairway.testing.memory import MemoryArtifactStore
from tests.serve.control.rig import MemoryFleet, Rig

ANN = Doing("ann", 1.0)
HELD: dict[str, Any] = {
    "endpoint": "risk", "revision": 1, "requests": 0, "errors": 0, "refused": 0, "waiting": 1, "in_flight_seconds": 0.0, "latency_ms": [],
}  # fmt: skip


def endpoint(revisions: int = 1, *, minimum: int = 1, maximum: int = 8, **more: Any) -> Endpoint:
    made: Endpoint | None = None
    for n in range(1, revisions + 1):
        made, _ = changes.add_revision(made, "risk", ServeSpec(f"model-{n}", {"digest": f"{n}"}), ANN)
    assert made is not None
    return replace(made, scaling=Scaling(minimum, maximum, target=4.0, shrink_delay_s=5.0), **more)


def kept(work: Callable[[Rig], Awaitable[None]], **more: Any) -> None:
    async def main() -> None:
        async with Rig(**more) as rig:
            await work(rig)

    asyncio.run(main())


def test_what_is_to_run_runs_and_the_gateway_learns_where() -> None:
    async def work(rig: Rig) -> None:
        await rig.put(endpoint(minimum=2))
        await rig.until(lambda: len(rig.gateways.row("risk").get("replicas", {}).get("1", ())) == 2)
        row = rig.gateways.row("risk")
        assert row["traffic"] == [[1, 100.0]]
        assert {one["address"] for one in row["replicas"]["1"]} == {"unix:/risk-1-1.sock", "unix:/risk-1-2.sock"}
        versions = [table["version"] for table in rig.gateways.tables]
        assert versions == sorted(set(versions))

    kept(work)


def test_traffic_moves_when_the_new_revision_is_ready_and_then_the_old_one_drains() -> None:
    async def work(rig: Rig) -> None:
        first = await promoted(rig, minimum=2)
        assert rig.gateways.row("risk")["traffic"] == [[1, 100.0]]
        assert rig.fleet.wanted == {("risk", 1): 2, ("risk", 2): 2}
        rig.fleet.put(replace(first, state="ready"))
        await rig.tick()
        assert rig.gateways.row("risk")["traffic"] == [[1, 100.0]], "one of two does not bear what two bore"
        rig.fleet.make_ready()
        await rig.tick()
        assert rig.gateways.row("risk")["traffic"] == [[2, 100.0]]
        assert rig.fleet.wanted[("risk", 1)] == 0
        assert [one["draining"] for one in rig.gateways.row("risk")["replicas"]["1"]] == [True, True]
        rig.fleet.end_drained()
        await rig.tick()
        assert rig.gateways.row("risk")["replicas"]["1"] == []

    kept(work)


def test_a_revision_that_never_gets_ready_gets_no_traffic() -> None:
    async def work(rig: Rig) -> None:
        broken = await promoted(rig)
        rig.fleet.put(replace(broken, state="failed", reason="no weights"))
        await rig.tick(times=60)
        assert rig.gateways.row("risk")["traffic"] == [[1, 100.0]]
        view = await view_of(rig)
        assert (view.state, view.revisions[0].state, view.revisions[0].why) == ("ready", "failed", "no weights")
        assert "no weights" in view.why

    kept(work)


def test_a_broken_revision_leaves_an_endpoint_that_sleeps_to_the_one_that_works() -> None:
    async def work(rig: Rig) -> None:
        broken = await promoted(rig, minimum=0)
        assert rig.fleet.wanted == {("risk", 1): 0, ("risk", 2): 1}, "it is started before anybody is sent there"
        rig.fleet.put(replace(broken, state="failed", reason="no weights"))
        await rig.tick(times=60)
        assert rig.gateways.row("risk")["traffic"] == [[1, 100.0]]
        view = await view_of(rig)
        assert (view.state, [one.state for one in view.revisions]) == ("idle", ["failed", "idle"])
        assert view.why == "revision 2 does not start: no weights"
        rig.gateways.say(wanted="risk", revision=1, waiting=1)
        await rig.until(lambda: rig.fleet.wanted[("risk", 1)] == 1)

    kept(work)


def test_a_revision_that_did_not_start_says_so_when_it_is_long_gone_and_is_no_way_back() -> None:
    async def work(rig: Rig) -> None:
        await rig.put(endpoint(3))
        await rig.tick()
        rig.fleet.at_once = False
        await desk(rig).promote("risk", 2, by="ann")
        await rig.tick()
        broken = next(one for one in rig.fleet.replicas.values() if one.revision == 2)
        for reason in ("no weights", "no memory"):
            rig.fleet.put(replace(broken, state="failed", reason=reason))
            await rig.tick()
        await desk(rig).rollback("risk", 0, by="ann")
        del rig.fleet.replicas[broken.id]
        rig.fleet.at_once = True
        await rig.tick()
        view = await view_of(rig)
        assert [(one.state, one.why) for one in view.revisions][:2] == [("unused", ""), ("failed", "no weights")]
        assert sum("does not start" in entry["what"] for entry in view.endpoint.history) == 1, "said once"
        await desk(rig).promote("risk", 3, by="ann")
        await rig.tick()
        await desk(rig).rollback("risk", 0, by="ann")
        document = await rig.store.find_endpoint("risk")
        assert document is not None and document.traffic == ((1, 100.0),)
        await desk(rig).promote("risk", 2, by="ann")
        await rig.until(lambda: rig.gateways.row("risk")["traffic"] == [[2, 100.0]])
        await desk(rig).promote("risk", 1, by="ann")
        await rig.until(lambda: rig.gateways.row("risk")["traffic"] == [[1, 100.0]])
        rig.fleet.end_drained()
        await rig.tick()
        view = await view_of(rig)
        assert view.revisions[1].state == "unused", "it has started after all"

    kept(work)


def test_a_good_revision_gets_the_traffic_of_an_endpoint_that_sleeps_once_it_has_started() -> None:
    async def work(rig: Rig) -> None:
        await rig.put(endpoint(2, minimum=0))
        await rig.tick()
        await rig.put(changes.promote(endpoint(2, minimum=0), 2, ANN))
        await rig.until(lambda: rig.gateways.row("risk")["traffic"] == [[2, 100.0]])
        await rig.tick(times=63)
        assert rig.fleet.wanted == {("risk", 1): 0, ("risk", 2): 0}

    kept(work)


def test_a_rollout_at_an_endpoint_that_sleeps_starts_both_so_that_each_gets_its_share() -> None:
    async def work(rig: Rig) -> None:
        await rig.put(endpoint(2, minimum=0))
        await rig.tick(times=70)
        await rig.put(changes.start_rollout(endpoint(2, minimum=0), Rollout(2, (), (10.0, 100.0)), ANN))
        await rig.until(lambda: rig.gateways.row("risk")["traffic"] == [[1, 90.0], [2, 10.0]])
        await rig.tick(times=50)
        assert rig.fleet.wanted == {("risk", 1): 1, ("risk", 2): 1}

    kept(work)


def test_from_nothing_the_first_request_starts_one_at_once_and_quiet_ends_it() -> None:
    async def work(rig: Rig) -> None:
        await rig.put(endpoint(minimum=0))
        await rig.tick()
        assert rig.fleet.wanted == {("risk", 1): 0}, "libraries may be kept warm, nothing runs"
        rig.gateways.say(wanted="risk", revision=1, waiting=3)
        await rig.until(lambda: len(rig.gateways.row("risk")["replicas"]["1"]) == 1)  # no second passes
        view = await view_of(rig)
        assert [(one.revision, one.held, one.took_s) for one in view.cold_starts] == [(1, 3, 0.5)]
        await rig.tick(times=59)
        assert rig.fleet.wanted == {("risk", 1): 1}
        await rig.tick(times=4)
        assert rig.fleet.wanted == {("risk", 1): 0}
        assert (await desk(rig).views())[0].state == "idle"

    kept(work)


def test_a_request_that_is_held_is_seen_as_held_all_the_while() -> None:
    async def work(rig: Rig) -> None:
        rig.fleet.at_once = False
        await rig.put(endpoint(minimum=0))
        await rig.tick()
        rig.gateways.say(wanted="risk", revision=1, waiting=1)
        await rig.tick(0.2)
        for n in range(6):
            if n % 2:  # a gateway's seconds are not the keeper's
                rig.gateways.say(at=rig.now, windows=[HELD, {**HELD, "revision": 0, "waiting": 0}])
                rig.gateways.say(at=rig.now + 0.1, windows=[HELD])
            await rig.tick()
        (one,) = await desk(rig).views()
        assert [point.waiting for point in one.series][-6:] == [1] * 6

    kept(work)


def test_a_cold_start_says_what_it_was_made_of() -> None:
    async def work(rig: Rig) -> None:
        rig.fleet.at_once = False
        await rig.put(endpoint(minimum=0))
        await rig.tick()
        rig.gateways.say(wanted="risk", revision=1, waiting=3)
        await rig.until(lambda: bool(rig.fleet.replicas))
        (replica,) = rig.fleet.replicas.values()
        phases = phases_of(0.5, {"model": 0.1, "libraries": 0.3})
        rig.fleet.put(replace(replica, state="ready", phases=phases))
        await rig.tick()
        ((start,),) = [view.cold_starts for view in await desk(rig).views()]
        assert start.held == 3 and [name for name, _ in start.phases] == ["process", "libraries", "model"]
        assert abs(sum(took_s for _, took_s in start.phases) - start.took_s) < 1e-9
        rig.gateways.traffic(rig.now, "risk", 1, 3, ms=32.0)
        rig.gateways.traffic(rig.now + 1, "risk", 1, 3, ms=500.0)
        ((start,),) = [view.cold_starts for view in await desk(rig).views()]
        assert start.phases[-1] == ("first answer", 0.032) and len(start.phases) == 4

    kept(work)


def test_a_new_revision_is_started_once_even_where_none_need_run() -> None:
    async def work(rig: Rig) -> None:
        made = endpoint(minimum=0)
        rig.now = 10.0
        await rig.put(made)
        assert rig.fleet.wanted == {("risk", 1): 1}

    kept(work)


def test_replicas_follow_the_load() -> None:
    async def work(rig: Rig) -> None:
        await rig.put(endpoint())
        await rig.tick()
        for _ in range(3):
            rig.gateways.traffic(rig.now, "risk", 1, 100, busy_s=20.0)
            await rig.tick()
        assert rig.fleet.wanted == {("risk", 1): 5}
        await rig.tick(times=60)
        assert rig.fleet.wanted == {("risk", 1): 1}
        view = await view_of(rig)
        assert max(point.replicas for point in view.series) == 5
        assert sum(point.figures.requests for point in view.series) == 300

    kept(work)


def test_without_word_from_a_gateway_replicas_stay() -> None:
    async def work(rig: Rig) -> None:
        await rig.put(endpoint())
        await rig.tick()
        for _ in range(3):
            rig.gateways.traffic(rig.now, "risk", 1, 100, busy_s=20.0)
            await rig.tick()
        rig.gateways.say(gone=True)
        await rig.tick(times=60)
        assert rig.fleet.wanted == {("risk", 1): 5}

    kept(work)


def test_a_rollout_goes_by_its_steps_once_each_is_ready_and_back_by_itself() -> None:
    async def work(rig: Rig) -> None:
        await rig.put(endpoint(2))
        await rig.tick()
        rig.fleet.at_once = False
        rollout = Rollout(2, (), (10.0, 100.0), step_s=5.0, least=5, max_error_rate=0.1)
        await rig.put(changes.start_rollout(endpoint(2), rollout, ANN))
        await rig.tick(20.0)
        _, rollout = await rollout_of(rig)
        assert (rollout.step, rollout.step_began_at) == (0, 0.0), "its time runs when it is ready"
        rig.fleet.make_ready()
        await rig.tick()
        assert rig.gateways.row("risk")["traffic"] == [[1, 90.0], [2, 10.0]]
        rig.fleet.at_once = True
        for _ in range(7):
            rig.gateways.traffic(rig.now, "risk", 2, 5)
            rig.gateways.traffic(rig.now, "risk", 1, 45)
            await rig.tick()
        document, rollout = await rollout_of(rig)
        assert (rollout.step, document.traffic) == (1, ((2, 100.0),))
        await rig.tick()
        assert rig.gateways.row("risk")["traffic"] == [[2, 100.0]]
        rig.gateways.traffic(rig.now, "risk", 2, 10, errors=9)
        await rig.tick()
        document, rollout = await rollout_of(rig)
        assert (rollout.state, document.traffic) == ("back", ((1, 100.0),))
        assert "failed 9 of" in document.history[-1]["what"]
        rig.fleet.end_drained()
        await rig.tick()
        view = await view_of(rig)
        assert view.revisions[0].state == "went back" and "failed 9 of" in view.revisions[0].why
        await rig.put(changes.promote(document, 2, ANN))
        await rig.until(lambda: rig.gateways.row("risk")["traffic"] == [[2, 100.0]])
        view = await view_of(rig)
        assert view.revisions[0].state == "ready"

    kept(work)


def test_the_next_keeper_spreads_traffic_as_the_table_said(tmp_path: Path) -> None:
    fleet = MemoryFleet()
    for id, revision in (("risk-1-1", 1), ("risk-2-1", 2)):
        fleet.put(Replica(id, "risk", revision, f"unix:/{id}.sock", "ready" if revision == 1 else "starting"))
    table = tmp_path / "table.json"
    table.write_text(json.dumps({"version": 5_000_000_000_000, "endpoints": {"risk": {"traffic": [[1, 100.0]]}}}))

    async def main() -> None:
        rig = Rig(fleet=fleet, table=str(table))
        await rig.store.put_endpoint(changes.promote(endpoint(2), 2, ANN))
        async with rig:
            assert rig.gateways.row("risk")["traffic"] == [[1, 100.0]]
            assert rig.gateways.tables[-1]["version"] > 5_000_000_000_000
            fleet.make_ready()
            await rig.tick()
            assert rig.gateways.row("risk")["traffic"] == [[2, 100.0]]

    asyncio.run(main())


def test_what_is_deleted_ends_and_with_the_last_the_gateway() -> None:
    async def work(rig: Rig) -> None:
        await rig.put(endpoint())
        await rig.tick()
        await desk(rig).delete("risk", by="ann")
        await rig.tick()
        assert rig.fleet.replicas == {}
        assert rig.gateways.stopped
        assert rig.told[-1] == "risk"
        await rig.put(endpoint())
        await rig.tick()
        assert not rig.gateways.stopped
        assert rig.gateways.row("risk")["traffic"] == [[1, 100.0]]

    kept(work)


def test_replicas_of_what_nobody_knows_are_removed() -> None:
    fleet = MemoryFleet()
    fleet.put(Replica("gone-1-1", "gone", 1, state="ready"))

    async def work(rig: Rig) -> None:
        assert rig.fleet.replicas == {}

    kept(work, fleet=fleet)


def test_what_the_fleet_refuses_is_said_and_harms_no_other_endpoint() -> None:
    async def work(rig: Rig) -> None:
        rig.fleet.refuses = "no GPU here"
        await rig.put(endpoint())
        await rig.tick()
        view = await view_of(rig)
        assert view.why == "no GPU here"
        rig.fleet.refuses = ""
        await rig.tick()
        assert rig.fleet.wanted == {("risk", 1): 1}

    kept(work)


def test_paused_means_that_nothing_runs() -> None:
    async def work(rig: Rig) -> None:
        await rig.put(endpoint())
        await rig.tick()
        await desk(rig).pause("risk", True, by="ann")
        await rig.tick()
        assert (rig.fleet.wanted, rig.gateways.row("risk")["paused"]) == ({("risk", 1): 0}, True)
        await desk(rig).pause("risk", False, by="ann")
        await rig.tick()
        assert rig.fleet.wanted == {("risk", 1): 1}

    kept(work)


def test_the_server_itself_may_call_where_callers_need_a_key() -> None:
    async def work(rig: Rig) -> None:
        await rig.put(endpoint())
        await rig.tick()
        assert rig.gateways.row("risk")["keys"] == []
        await desk(rig).add_key("risk", "shop", 5.0, 0, by="ann")
        await rig.tick()
        assert [one["name"] for one in rig.gateways.row("risk")["keys"]] == ["shop", "fairway"]
        view = await view_of(rig)
        assert [one.name for one in view.endpoint.keys] == ["shop"]

    kept(work)


def test_deploying_at_once_from_many_sides_loses_nothing() -> None:
    async def work(rig: Rig) -> None:
        at = desk(rig)
        specs = [ServeSpec(f"model-{n}", {"digest": f"{n}"}) for n in range(4)]
        done = await asyncio.gather(*(at.deploy("risk", spec, lambda one, doing: one, by="ann") for spec in specs))
        assert sorted(one.number for one in done) == [1, 2, 3, 4]
        assert [one.is_new for one in done].count(True) == 1
        again = await at.deploy("risk", specs[2], lambda one, doing: one, by="bob")
        assert again.number == done[2].number

    kept(work)


async def promoted(rig: Rig, minimum: int = 1) -> Replica:
    """The first replica of a second revision that is to take the traffic, and does not get ready by itself."""
    await rig.put(endpoint(2, minimum=minimum))
    await rig.tick()
    rig.fleet.at_once = False
    await rig.put(changes.promote(endpoint(2, minimum=minimum), 2, ANN))
    await rig.tick()
    return next(one for one in rig.fleet.replicas.values() if one.revision == 2)


async def view_of(rig: Rig) -> EndpointView:
    view = await desk(rig).view("risk")
    assert view is not None
    return view


async def rollout_of(rig: Rig) -> tuple[Endpoint, Rollout]:
    document = await rig.store.find_endpoint("risk")
    assert document is not None and document.rollout is not None
    return document, document.rollout


def desk(rig: Rig) -> EndpointDesk:
    return EndpointDesk(rig.keeper, MemoryArtifactStore(), "/nowhere", clock=lambda: rig.now)
