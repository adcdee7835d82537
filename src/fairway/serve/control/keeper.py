"""The loop that keeps endpoints: what their documents want, what runs, what their gateways tell; and what follows from that.

Killed at any moment it has lost nothing that matters: documents are in the store, replicas and gateways go on, and the table says where
traffic went. Whatever it does may be done twice.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from fairway.errors import FairwayError, JournalConflict
from fairway.serve.control import autoscale, changes, driftnews, rollout
from fairway.serve.control.figures import Tally
from fairway.serve.control.fleet import Fleet, Replica
from fairway.serve.control.forms import Columns
from fairway.serve.control.gatewaylink import Gateways
from fairway.serve.control.keys import make_key
from fairway.serve.control.spreading import count_needed, render_row, share_scaling, spread
from fairway.serve.control.watched import Watched
from fairway.serve.feedback.gather import Gathered, Gatherer
from fairway.serve.feedback.privacy import secret_of
from fairway.spec.endpoint import Endpoint, Key, find_revision
from fairway.spec.ports import EndpointStore
from fairway.spec.record import replace

_EVERY_S = 1.0
_LOOK_S = 5.0
_AGAIN_S = 30.0  # what was applied is applied again after that long, in case somebody has changed it
_NEW_S, _FIRST_S = 60.0, 3.0
_OWN = "fairway"


class Keeper:
    """Keeps the endpoints of `store` by `fleet` and `gateways`. `tell` is called with an endpoint's name when what is seen of it has
    changed. `table`: a file with the table as it was last, "" for none. `key`: from which the secrets of digests follow; `columns`: finds
    names for what is captured. Of one event loop; to be started and closed."""

    def __init__(
        self,
        store: EndpointStore,
        fleet: Fleet,
        gateways: Gateways,
        *,
        tell: Callable[[str], None] = lambda name: None,
        table: str = "",
        gatherer: Gatherer | None = None,
        key: str = "",
        columns: Columns | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.gatherer = gatherer
        self._key, self._columns = key, columns
        self.store, self.fleet, self.gateways = store, fleet, gateways
        self.watched: dict[str, Watched] = {}
        self.stand = 0
        self.trouble = ""
        self._troubled = False
        self.own_key, self._own_kept = make_key(_OWN, now=clock())
        self._tell, self._table_path, self._clock = tell, table, clock
        self._wake, self._observed = asyncio.Event(), asyncio.Event()
        self._looked, self._looks = asyncio.Condition(), 0
        self._stale = True
        self._hurried: set[str] = set()
        self._applied: dict[tuple[str, int], tuple[Endpoint, int, float]] = {}
        self._decided_at = self._looked_at = 0.0
        self._table: dict[str, Any] = {}
        self._version = 0
        self._heard: set[str] = set()
        self._gateways_run = False
        self._tasks: list[asyncio.Task[None]] = []
        self._decided: dict[str, int] = {}  # name -> version of the document that was decided upon
        self._rung: dict[str, int] = {}

    async def start(self) -> None:
        """Take up what is there, and keep it from now on. Raises StoreUnavailable."""
        await self._read_store()
        before = _read_table(self._table_path)
        self._version = int(before.get("version", 0))
        for name, one in self.watched.items():
            row = before.get("endpoints", {}).get(name, {})
            one.traffic = tuple((int(number), float(weight)) for number, weight in row.get("traffic", ()))
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._keep(), name="keeper"), loop.create_task(self._follow_fleet(), name="keeper: replicas")]
        await self.settle(_FIRST_S)

    async def close(self) -> None:
        """Let go of everything; it goes on."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.gatherer is not None:
            await self.gatherer.close()
        if self._columns is not None:
            await self._columns.close()
        await self.gateways.close()
        await self.fleet.close()

    def look_again(self) -> None:
        """The store has changed."""
        self._stale = True
        self._wake.set()

    async def settle(self, timeout_s: float = 5.0) -> None:
        """Wait until what was written to the store by now has been looked at."""
        self.look_again()
        looks = self._looks
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                async with self._looked:
                    await self._looked.wait_for(lambda: self._looks > looks and not self._stale)

    def hear(self, gateway: str, item: Mapping[str, Any]) -> None:
        """News of a gateway; see `gateway.news`."""
        now = self._clock()
        if item.get("gone"):
            self._heard.discard(gateway)
            for one in self.watched.values():
                one.lose_gateway(gateway)
            self._wake.set()
            return
        self._heard.add(gateway)
        if "wanted" in item:
            one = self.watched.get(item["wanted"])
            if one is not None:
                one.hear_wanted(gateway, int(item["revision"]), int(item.get("waiting", 0)), now)
                self._hurried.add(one.endpoint.name)
                self._wake.set()
        for window in item.get("windows", ()):
            if (one := self.watched.get(window["endpoint"])) is not None:
                one.hear_window(gateway, float(item["at"]), window)
        for refusal in item.get("refusals", ()):
            if (one := self.watched.get(refusal["endpoint"])) is not None:
                one.hear_refusal(refusal)
        for compared in item.get("shadow", ()):
            if (one := self.watched.get(compared["endpoint"])) is not None:
                one.hear_shadow(compared, float(item["at"]))
        for name, used in item.get("keys", {}).items():
            if (one := self.watched.get(name)) is not None:
                one.hear_keys(used, float(item["at"]))

    async def _follow_fleet(self) -> None:
        while True:
            await self.fleet.wait(60.0)
            self._observed.clear()
            self._wake.set()
            await self._observed.wait()  # it was looked at: what follows is news again

    async def _keep(self) -> None:
        while True:
            self._wake.clear()
            try:
                self._troubled = False
                await self._look()
                self.trouble = self.trouble if self._troubled else ""
            except FairwayError as error:
                self._complain(error.message)
            except Exception as error:  # noqa: BLE001 - the keeper's boundary: whatever goes wrong with one look, the next is another try
                import traceback

                traceback.print_exc()
                self._complain(f"a defect of Fairway: {error!r}")
            async with self._looked:
                self._looks += 1
                self._looked.notify_all()
            with suppress(TimeoutError):
                async with asyncio.timeout(_EVERY_S):
                    await self._wake.wait()

    def _complain(self, message: str) -> None:
        self._troubled = True
        if message != self.trouble:
            print(f"endpoints: {message}", file=sys.stderr, flush=True)
            self.trouble = message

    async def _look(self) -> None:
        """One look at everything, and what follows from it."""
        now = self._clock()
        if self._stale:
            await self._read_store()
        replicas = await self.fleet.observe()
        self._observed.set()
        await self._look_at_gateways(now)
        by_name: dict[str, list[Replica]] = {name: [] for name in self.watched}
        for replica in replicas:
            by_name.setdefault(replica.endpoint, []).append(replica)
        is_time = now - self._decided_at >= 0.9 * _EVERY_S
        for name, those in by_name.items():
            one = self.watched.get(name)
            if one is None:
                await self.fleet.remove(name)
                continue
            one.see_replicas(those)
            if self.gatherer is not None and one.see_gathered(self.gatherer.found.get(name)):
                await self._note_alarms(one, now)
            self._spread(one, now)
            if is_time or name in self._hurried or one.endpoint.version != self._decided.get(name):
                self._decide(one, now)
                self._decided[name] = one.endpoint.version
            await self._apply(one, now)
            await self._note_starts(one, now)
            if is_time:
                one.series.note(now, sum(one.ready().values()), sum(one.wanted.values()))
                one.series.hold(now, one.waiting)
                await self._advance(one, now)
        self._hurried.clear()
        if is_time:
            self._decided_at = now
            if self.gatherer is not None:
                self.gatherer.look([one.endpoint for one in self.watched.values()])
        await self._publish()
        self._ring()

    async def _read_store(self) -> None:
        self._stale = False
        there = {endpoint.name: endpoint for endpoint in await self.store.endpoints()}
        for name, endpoint in there.items():
            one = self.watched.get(name)
            if one is None:
                one = self.watched[name] = Watched(endpoint)
            elif one.endpoint == endpoint:
                continue
            self._try_new(one, endpoint)
            one.endpoint = endpoint
            one.stand += 1
        for name in self.watched.keys() - there.keys():
            del self.watched[name]
            await self._forget(name)

    def _try_new(self, one: Watched, endpoint: Endpoint) -> None:
        """A revision that was made just now is started once, also where none need run: whoever deploys it sees whether it works."""
        now = self._clock()
        for revision in endpoint.revisions:
            if revision.number not in one.tried:
                one.tried.add(revision.number)
                if now - revision.created_at < _NEW_S:
                    one.pinned[revision.number] = now + endpoint.scaling.idle_s

    async def _forget(self, name: str) -> None:
        await self.fleet.remove(name)
        for key in [key for key in self._applied if key[0] == name]:
            del self._applied[key]
        self.stand += 1
        self._tell(name)

    async def _look_at_gateways(self, now: float) -> None:
        """Have them while there are endpoints."""
        if not self.watched:
            if self._gateways_run or not self._looks:  # the server before may not have come to it
                self._gateways_run = False
                self._heard.clear()
                await self.gateways.stop()
            return
        try:
            if not self._gateways_run:
                await self.gateways.start(self.hear)
                self._gateways_run, self._looked_at, self._table = True, now, {}
            elif not self._heard or now - self._looked_at >= _LOOK_S:
                self._looked_at = now
                await self.gateways.look()
        except FairwayError as error:  # replicas are kept all the same
            self._complain(error.message)

    def _spread(self, one: Watched, now: float) -> None:
        ready = one.ready()
        if one.traffic == one.endpoint.traffic:
            one.changed_at = 0.0
        elif not one.changed_at:
            one.changed_at = now
        after = spread(one.endpoint, one.traffic, ready, now - one.changed_at if one.changed_at else 0.0)
        if after != one.traffic:
            one.traffic = after
            one.stand += 1

    def _decide(self, one: Watched, now: float) -> None:
        """How many replicas of each revision there are to be."""
        endpoint, ready = one.endpoint, one.ready()
        moving = dict(endpoint.traffic) != dict(one.traffic)
        needed = count_needed(endpoint, one.traffic, ready) if moving and one.traffic else {}
        weights = {**dict(endpoint.traffic), **dict(one.traffic)} if moving else dict(endpoint.traffic)
        wanted: dict[int, int] = {}
        for number, weight in weights.items():
            count = self._decide_one(one, number, weight, ready.get(number, 0), now)
            wanted[number] = max(count, needed.get(number, 0))
            if wanted[number] > count:
                one.scaling[number] = replace(one.scaling[number], replicas=wanted[number], busy_at=now)
        if endpoint.shadow:
            count = self._decide_one(one, endpoint.shadow, 100.0, ready.get(endpoint.shadow, 0), now)
            main = sum(wanted.values())
            wanted[endpoint.shadow] = min(max(count, 1), endpoint.scaling.maximum) if main else 0
        for number, until in list(one.pinned.items()):
            if until <= now or number in wanted:
                del one.pinned[number]
            else:
                wanted[number] = 1
        if endpoint.paused:
            wanted = dict.fromkeys(wanted, 0)
        if wanted != one.wanted:
            one.wanted = wanted
            one.stand += 1

    def _decide_one(self, one: Watched, number: int, weight: float, ready: int, now: float) -> int:
        scaling = share_scaling(one.endpoint.scaling, weight)
        state = one.scaling.get(number)
        if state is None:  # after a start of the server: as many as there are; one of what is new
            there = sum(replica.revision == number and replica.state in ("ready", "starting") for replica in one.replicas)
            there = max(there, int(number in one.pinned))
            state = autoscale.ScaleState(replicas=there, busy_at=now if there else 0.0)
        traffic = one.revision(number)
        load = traffic.take_load(now, ready) if self._heard or traffic.waiting else None
        decision = autoscale.decide(scaling, state, load, now)
        one.scaling[number], one.why[number] = decision.state, decision.why
        return decision.replicas

    async def _apply(self, one: Watched, now: float) -> None:
        endpoint = one.endpoint
        running = {replica.revision for replica in one.replicas if replica.state != "draining"}
        takes = {**dict(endpoint.traffic), endpoint.shadow: 100.0}
        for revision in endpoint.revisions:
            count = one.wanted.get(revision.number, 0)
            key = (endpoint.name, revision.number)
            before = self._applied.get(key)
            if before is None and not count and revision.number not in running and not takes.get(revision.number):
                continue
            if before is not None and before[0] == endpoint and before[1] == count and now - before[2] < _AGAIN_S:
                continue
            try:
                await self.fleet.apply(endpoint, revision, count)
                one.trouble = ""
                self._applied[key] = (endpoint, count, now)
            except FairwayError as error:
                one.trouble = error.message
                one.stand += 1

    async def _note_starts(self, one: Watched, now: float) -> None:
        """What does not start is remembered when it is long gone: nobody is to go back to it."""
        ready, noted = one.ready(), one.endpoint
        for number in ready.keys() - one.started:
            noted = changes.note_start(noted, number, "", now)
        for replica in one.replicas:
            number = replica.revision
            if replica.state == "failed" and number not in ready and number not in one.started and find_revision(noted, number):
                noted = changes.note_start(noted, number, replica.reason or "it ended", now)
        if noted == one.endpoint or await self._write(one, noted):
            one.started |= ready.keys()

    async def _note_alarms(self, one: Watched, now: float) -> None:
        """Alarms about its traffic, in its history."""
        noted = driftnews.note_alarms(one.endpoint, one.gathered.drift, now)
        if noted != one.endpoint and not await self._write(one, noted):
            one.gathered = Gathered()  # it has changed meanwhile: seen again with the next look

    async def _advance(self, one: Watched, now: float) -> None:
        """The rollout, once the traffic is where its step wants it."""
        going = one.endpoint.rollout
        if going is None or going.state != "going" or one.traffic != one.endpoint.traffic:
            return
        if not going.step_began_at:
            begun = replace(one.endpoint, rollout=replace(going, step_began_at=now))
            _begin_step(one)
            await self._write(one, begun)
            return
        found = rollout.advance(one.endpoint, one.windows(), now)
        if found is None:
            return
        changed, why = found
        is_next = changed.rollout is not None and changed.rollout.step != going.step
        if await self._write(one, changes.follow_rollout(one.endpoint, changed, why, now)) and is_next:
            _begin_step(one)

    async def _write(self, one: Watched, endpoint: Endpoint) -> bool:
        try:
            version = await self.store.put_endpoint(endpoint)
        except JournalConflict:
            self.look_again()
            return False
        one.endpoint = replace(endpoint, version=version)
        one.stand += 1
        self._wake.set()
        return True

    async def _publish(self) -> None:
        """Give the gateways the table, if it is another one."""
        rows: dict[str, Any] = {}
        for name, one in sorted(self.watched.items()):
            rows[name] = render_row(
                self._with_own_key(one.endpoint),
                one.traffic,
                one.replicas,
                tuple(r.number for r in one.endpoint.revisions),
                secret=secret_of(self._key, name) if self._key else "",
                columns=self._columns.of(one.endpoint) if self._columns is not None else {},
            )
        if rows == self._table or (not rows and not self._gateways_run):
            return
        self._version = max(self._version + 1, int(self._clock() * 1000))
        table = msgspec.json.encode({"version": self._version, "endpoints": rows})
        await self.gateways.publish([one.endpoint for one in self.watched.values()], table)
        self._table = rows

    def _with_own_key(self, endpoint: Endpoint) -> Endpoint:
        """The server itself may call, for pages and `fairway test`."""
        if endpoint.is_open or (self.gateways.is_local and not endpoint.keys):
            return endpoint
        return replace(endpoint, keys=(*endpoint.keys, Key(_OWN, self._own_kept.digest)))

    def _ring(self) -> None:
        for name, one in self.watched.items():
            if self._rung.get(name) != one.stand:
                self.stand += 1
                self._rung[name] = one.stand
                self._tell(name)


def _begin_step(one: Watched) -> None:
    for traffic in one.revisions.values():
        traffic.step = Tally()


def _read_table(path: str) -> dict[str, Any]:
    if not path:
        return {}
    try:
        found = msgspec.json.decode(Path(path).read_bytes())
    except (OSError, msgspec.DecodeError):
        return {}
    return found if isinstance(found, dict) else {}
