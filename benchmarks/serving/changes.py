"""The changes and faults of an endpoint, one after the other, on a real local server, while callers ask it without a pause."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.serving.callers import Callers, Tally, ask_at_once, pester, render_post
from benchmarks.serving.labels import Labels
from benchmarks.serving.place import Place, await_true, kill
from benchmarks.serving.revisions import Revisions, make_revisions


@dataclass
class Result:
    """`kind`: "load" (of a phase), "burst", "first", "feedback". `may_lose`: requests that were under way on what was killed."""

    name: str
    kind: str = "load"
    tally: Tally = field(default_factory=Tally)
    may_lose: int = 0
    lost: int = 0
    first_s: float = 0.0
    note: str = ""


class Play:
    """One endpoint, its callers, and what has happened so far."""

    def __init__(self, place: Place, made: Revisions, callers: int, seconds: float, talk: Callable[[str], None]) -> None:
        self.place, self.made, self.count, self.seconds, self._talk = place, made, callers, seconds, talk
        self.request = render_post(f"/{place.name}/predict", made.body)
        self.results: list[Result] = []
        self.callers = Callers("127.0.0.1", place.port, self.request, made.is_right, callers)

    async def run(self, *words: str, status: int = 0) -> str:
        return await asyncio.to_thread(self.place.run, *words, status=status)

    async def phase(self, name: str, *, may_lose: int = 0) -> Result:
        """Callers go on for a while; then what they saw since the phase before is `name`'s."""
        await asyncio.sleep(self.seconds)
        self.callers.check()
        result = Result(name, "load", self.callers.phase(), may_lose)
        result.note = str(result.tally) + (f"; {result.tally.examples[0]}" if result.tally.examples else "")
        self.add(result)
        return result

    def add(self, result: Result) -> None:
        self.results.append(result)
        self._talk(f"{result.name}: {result.note}")

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        await asyncio.to_thread(await_true, condition, what)


async def play(folder: Path, callers: int, seconds: float, talk: Callable[[str], None]) -> list[Result]:
    """All of it. `seconds`: how long each change goes on after it was made."""
    place = Place(folder)
    made = await asyncio.to_thread(make_revisions, folder)
    try:
        words = ("--min", "1", "--max", "1", "--open", "--idle", "2s", "--scale", "window=2s", "--scale", "shrink-delay=2s")
        await asyncio.to_thread(place.run, "deploy", made.first, "--name", place.name, *words)
        game = Play(place, made, callers, seconds, talk)
        async with game.callers:
            await game.phase("steady")
            await _change(game)
            await _kill(game)
            await _misbehave(game)
        await _sleep(game)
        return game.results
    finally:
        await asyncio.to_thread(place.close)


async def _change(game: Play) -> None:
    place, name, made = game.place, game.place.name, game.made
    await game.run("deploy", made.second, "--name", name)
    await game.phase("a new revision")
    await game.run("rollback", name)
    await game.phase("rollback")
    await game.run("rollout", name, made.script, "--steps", "25,100", "--step", "2s", "--least", "5")
    await game.until(lambda: place.table().get("traffic") == [[3, 100.0]], "the end of the rollout")
    await game.phase("other code, by steps")
    await game.run("rollout", name, made.library, "--blue-green")
    await game.until(lambda: place.table().get("traffic") == [[4, 100.0]], "blue-green")
    await game.phase("another library, blue-green")
    await game.run("deploy", made.first, "--name", name, "--max", "3", "--target", "8")
    await game.until(lambda: len(place.serving()) == 3, "three replicas")
    await game.phase("scale up")
    await game.run("deploy", made.first, "--name", name, "--target", "1000")
    await game.until(lambda: len(place.serving()) == 1, "one replica")
    await game.phase("scale down")
    await game.run("traffic", name, "--shadow", "2")
    await game.until(lambda: bool(place.serving(2)), "a shadow")
    await game.phase("shadow")
    await game.run("traffic", name, "--shadow", "0")
    await game.run("rollout", name, made.broken, "--steps", "10,100", "--step", "30s", "--least", "10")
    await game.until(lambda: place.table().get("traffic") == [[1, 100.0]], "back by itself")
    result = await game.phase("a canary that fails")
    result.may_lose = result.tally.failed[500]  # its own answers; nothing else may fail
    await game.run("deploy", made.first, "--name", name, "--min", "2", "--max", "3")
    await game.until(lambda: len(place.serving()) >= 2, "two replicas")
    await game.phase("two replicas")


async def _kill(game: Play) -> None:
    place, count = game.place, game.count
    holder, child = place.gateway_pids()
    kill(child)
    await game.phase("gateway killed", may_lose=count)
    kill(holder)
    await game.until(lambda: place.gateway_pids()[0] not in (0, holder), "another holder")
    await game.phase("gateway's holder killed")
    kill(place.server_pid())
    await game.phase("server killed")
    await game.run("endpoints")
    await game.until(lambda: place.server_pid() != 0, "a server")
    await game.phase("server started again")
    gone = place.serving()[0]
    kill(gone["pid"])
    await game.until(lambda: gone["id"] not in {one["id"] for one in place.serving()} and len(place.serving()) >= 2, "another replica")
    await game.phase("replica killed", may_lose=count)
    kill(place.workers(place.serving()[0])[0])
    await game.phase("model process killed", may_lose=count)
    victim = place.serving()[0]
    os.kill(victim["pid"], signal.SIGSTOP)
    await game.until(lambda: victim["id"] not in {one["id"] for one in place.serving()}, "an end of the one that hangs")
    await game.phase("replica stopped until it was replaced", may_lose=count)


async def _misbehave(game: Play) -> None:
    place = game.place
    stop = asyncio.Event()
    others = [asyncio.create_task(pester("127.0.0.1", place.port, f"/{place.name}/predict", stop)) for _ in range(8)]
    result = await game.phase("garbage beside it")
    stop.set()
    result.note += f"; {sum(await asyncio.gather(*others))} such clients"
    labels = Labels(place)
    async with labels:
        await asyncio.sleep(game.seconds / 2)
        kill(place.gateway_pids()[1])
        await asyncio.sleep(game.seconds / 2)
        kill(place.server_pid())
        await asyncio.sleep(game.seconds / 2)
    await game.phase("feedback, gateway and server killed", may_lose=game.count)
    await game.run("endpoints")
    lost = await asyncio.to_thread(labels.count_lost)
    game.add(Result("feedback", "feedback", lost=lost, note=f"{len(labels.acknowledged)} acknowledged, {lost} lost"))


async def _sleep(game: Play) -> None:
    """Idle to zero, then one caller, then many at once."""
    place, made = game.place, game.made
    await game.run("deploy", made.first, "--name", place.name, "--min", "0", "--idle", "2s")
    for count, kind in ((1, "first"), (1, "first"), (1, "first"), (64, "burst"), (64, "burst")):
        await game.until(lambda: not place.replicas(), "idleness")
        await asyncio.sleep(1.0)
        began = time.monotonic()
        tally, first_s = await ask_at_once("127.0.0.1", place.port, game.request, count, made.is_right)
        warm = [kept.get("warm", False) for kept in place.replicas()]
        note = f"first after {first_s * 1000:.0f} ms, all after {(time.monotonic() - began) * 1000:.0f} ms; {tally}; warm: {warm}"
        game.add(Result(f"{count} after idling", kind, tally, lost=tally.lost, first_s=first_s, note=note))


__all__ = ["Play", "Result", "play"]
