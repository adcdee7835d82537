"""Watches: what they tell, that they do not end, and that callers share them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fairway.errors import ForbiddenError
from fairway.kube.client import KubeClient
from fairway.kube.watch import _Inbox
from tests.kube.emulator import Emulator
from tests.kube.emulator.kinds import get_kind
from tests.kube.talk import config_map, talk

MAP = get_kind("ConfigMap")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with Emulator(Path(tmp_path_factory.mktemp("watch"))) as made:
        yield made


@pytest.fixture
def cluster(shared: Emulator) -> Iterator[Emulator]:
    for one in shared.list("ConfigMap"):
        delete(shared, one["metadata"]["name"])
    yield shared
    shared.faults.clear()
    shared.authority.denied.clear()


def create(cluster: Emulator, name: str, **data: str) -> None:
    cluster.call(lambda: cluster.memory.create(MAP, cluster.namespace, config_map(name, **data)))


def change(cluster: Emulator, name: str, **data: str) -> None:
    cluster.call(lambda: cluster.memory.change(MAP, cluster.namespace, name, lambda it: it.update(data=data)))


def delete(cluster: Emulator, name: str) -> None:
    cluster.call(lambda: cluster.memory.delete(MAP, cluster.namespace, name))


class Listener:
    """Takes the changes of one watch one by one."""

    def __init__(self, client: KubeClient, **selectors: str) -> None:
        self.changes = client.watch("ConfigMap", **selectors)

    async def next(self, count: int = 1) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        for _ in range(count):
            one = await anext(self.changes)
            found.append((one.kind, one.name))
        return found

    async def open(self, cluster: Emulator) -> None:
        """Synced, and seen to be following: from now on what is done to open watches is done to this one."""
        await self.until_synced()
        create(cluster, "probe")
        assert await self.next() == [("added", "probe")]

    async def until_synced(self) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        while not found or found[-1][0] != "synced":
            found += await self.next()
        return found


def test_a_watch_tells_what_is_there_then_that_it_has_then_what_happens(cluster: Emulator) -> None:
    create(cluster, "old")

    async def work(client: KubeClient) -> None:
        listener = Listener(client)
        assert await listener.until_synced() == [("added", "old"), ("synced", "")]
        create(cluster, "new", x="1")
        assert await listener.next() == [("added", "new")]
        change(cluster, "new", x="2")
        one = await anext(listener.changes)
        assert (one.kind, one.obj["data"]) == ("modified", {"x": "2"})
        assert (one.obj["kind"], "managedFields" in one.obj["metadata"]) == ("ConfigMap", False)
        delete(cluster, "new")
        one = await anext(listener.changes)
        assert (one.kind, one.obj["data"]) == ("deleted", {"x": "2"})

    talk(cluster, work)


def test_selectors_are_the_servers(cluster: Emulator) -> None:
    async def work(client: KubeClient) -> None:
        listener = Listener(client, labels="team=a")
        assert await listener.until_synced() == [("synced", "")]
        for name, team in (("x", "b"), ("y", "a")):
            body = config_map(name, labels={"team": team})
            cluster.call(lambda body=body: cluster.memory.create(MAP, cluster.namespace, body))
        assert await listener.next() == [("added", "y")]

    talk(cluster, work)


def test_callers_share_one_watch_and_the_later_one_is_told_what_is_known(cluster: Emulator) -> None:
    create(cluster, "a", x="1")

    async def work(client: KubeClient) -> None:
        first = Listener(client)
        await first.until_synced()
        change(cluster, "a", x="2")
        await first.next()
        second = Listener(client)
        one = await anext(second.changes)
        assert (one.kind, one.obj["data"]) == ("added", {"x": "2"})
        assert await second.next() == [("synced", "")]
        create(cluster, "b")
        assert await first.next() == await second.next() == [("added", "b")]
        assert (client.requests["list ConfigMap"], client.requests["watch ConfigMap"]) == (1, 1)

    talk(cluster, work)


def test_what_one_caller_does_to_an_object_the_other_does_not_see(cluster: Emulator) -> None:
    create(cluster, "a", x="1")

    async def work(client: KubeClient) -> None:
        one, other = client.watch("ConfigMap"), client.watch("ConfigMap")
        (await anext(one)).obj["data"].clear()
        assert (await anext(other)).obj["data"] == {"x": "1"}

    talk(cluster, work)


def test_a_watch_that_breaks_goes_on_where_it_was_without_a_new_list(cluster: Emulator) -> None:
    create(cluster, "a")

    async def work(client: KubeClient) -> None:
        listener = Listener(client)
        await listener.open(cluster)
        rule = cluster.faults.answer(500, "watch", "ConfigMap")  # what happens meanwhile is told when it is back
        cluster.faults.lose_watches("ConfigMap")
        create(cluster, "b")
        delete(cluster, "a")
        assert await listener.next(2) == [("added", "b"), ("deleted", "a")]
        assert rule.met == 1
        assert client.requests["list ConfigMap"] == 1

    talk(cluster, work)


def test_a_watch_that_breaks_again_and_again_does_not_wait_longer_each_time_as_long_as_it_hears_something(cluster: Emulator) -> None:
    async def work(client: KubeClient) -> None:
        listener = Listener(client)
        await listener.open(cluster)
        for number in range(8):
            cluster.faults.lose_watches("ConfigMap")
            create(cluster, f"m{number}")
            assert await listener.next() == [("added", f"m{number}")]
        assert client.requests["list ConfigMap"] == 1

    talk(cluster, work)


def test_a_watch_that_ends_at_once_each_time_is_opened_less_and_less_often(cluster: Emulator) -> None:
    async def work(client: KubeClient) -> None:
        rule = cluster.faults.answer(403, "watch", "ConfigMap", times=3)
        listener = Listener(client)
        await listener.until_synced()
        began = asyncio.get_running_loop().time()
        create(cluster, "a")
        assert await listener.next() == [("added", "a")]
        assert rule.met == 3
        assert asyncio.get_running_loop().time() - began > 0.5 * (0.2 + 0.4)  # the waits after the second and the third, at their shortest

    talk(cluster, work)


def test_a_watch_whose_past_is_forgotten_lists_again_and_tells_what_vanished(cluster: Emulator) -> None:
    for name in ("stays", "changes", "goes"):
        create(cluster, name, x="1")

    async def work(client: KubeClient) -> None:
        listener = Listener(client)
        await listener.open(cluster)
        cluster.faults.freeze_watches("ConfigMap")
        delete(cluster, "goes")
        change(cluster, "changes", x="2")
        create(cluster, "comes")
        cluster.faults.expire()
        cluster.faults.lose_watches("ConfigMap")
        told = await listener.until_synced()
        assert sorted(told[:-1]) == [("added", "comes"), ("deleted", "goes"), ("modified", "changes")]
        assert client.requests["list ConfigMap"] == 2
        delete(cluster, "comes")
        assert await listener.next() == [("deleted", "comes")]

    talk(cluster, work)


def test_one_that_was_replaced_meanwhile_is_told_as_gone_and_come(cluster: Emulator) -> None:
    create(cluster, "a", x="1")

    async def work(client: KubeClient) -> None:
        listener = Listener(client)
        await listener.open(cluster)
        cluster.faults.freeze_watches("ConfigMap")
        delete(cluster, "a")
        create(cluster, "a", x="2")
        cluster.faults.expire()
        cluster.faults.lose_watches("ConfigMap")
        assert sorted((await listener.until_synced())[:-1]) == [("added", "a"), ("deleted", "a")]

    talk(cluster, work)


def test_a_bookmark_keeps_a_quiet_watch_from_listing_again(cluster: Emulator) -> None:
    create(cluster, "a")

    async def work(client: KubeClient) -> None:
        listener = Listener(client)
        await listener.open(cluster)
        cluster.faults.expire()  # only what comes after this can be resumed from
        cluster.call(lambda: cluster.memory.create(get_kind("Secret"), cluster.namespace, {"metadata": {"name": "other"}}))
        cluster.faults.bookmark()
        create(cluster, "b")
        await listener.next()  # the bookmark came before this
        cluster.faults.lose_watches("ConfigMap")
        create(cluster, "c")
        assert await listener.next() == [("added", "c")]
        assert client.requests["list ConfigMap"] == 1

    talk(cluster, work)
    cluster.call(lambda: cluster.memory.delete(get_kind("Secret"), cluster.namespace, "other"))


def test_a_bookmark_alone_moves_the_place_from_which_a_watch_resumes(cluster: Emulator) -> None:
    async def work(client: KubeClient) -> None:
        listener = Listener(client)
        await listener.open(cluster)
        cluster.faults.expire()
        cluster.faults.bookmark()
        cluster.call(lambda: None)
        waiting = asyncio.create_task(listener.next())
        while client.requests["watch ConfigMap"] < 2:  # each turn lets the client read what has come
            cluster.faults.lose_watches("ConfigMap")
            await asyncio.sleep(0)
        create(cluster, "a")
        assert await waiting == [("added", "a")]
        assert client.requests["list ConfigMap"] == 1

    talk(cluster, work)


def test_a_connection_that_has_died_without_a_word_is_noticed(cluster: Emulator) -> None:
    async def work(client: KubeClient) -> None:
        listener = Listener(client)
        await listener.open(cluster)
        cluster.faults.freeze_watches("ConfigMap")
        create(cluster, "a")
        assert await listener.next() == [("added", "a")]

    talk(cluster, work, silence_s=0.2)


def test_missing_rights_are_told_at_once_and_borne_later(cluster: Emulator) -> None:
    cluster.faults.deny("list", "configmaps")

    async def refused(client: KubeClient) -> None:
        with pytest.raises(ForbiddenError):
            await anext(client.watch("ConfigMap"))

    talk(cluster, refused)
    cluster.authority.denied.clear()

    async def later(client: KubeClient) -> None:
        listener = Listener(client)
        await listener.open(cluster)
        cluster.faults.refuse("no", 403, "watch", "ConfigMap")
        cluster.faults.lose_watches("ConfigMap")
        create(cluster, "a")
        assert await listener.next() == [("added", "a")]

    talk(cluster, later)


def test_a_watch_ends_with_its_last_caller(cluster: Emulator) -> None:
    async def work(client: KubeClient) -> None:
        one, other = Listener(client), Listener(client)
        await one.until_synced()
        await other.until_synced()
        await one.changes.aclose()
        create(cluster, "a")
        assert await other.next() == [("added", "a")]
        await other.changes.aclose()
        assert [task for task in asyncio.all_tasks() if task.get_name().startswith("watch")] == []

    talk(cluster, work)


def take(inbox: _Inbox) -> list[tuple[str, Any]]:
    return [(one.kind, one.obj) for one in asyncio.run(inbox.take())]


def test_of_an_object_a_slow_caller_gets_only_the_newest() -> None:
    inbox = _Inbox()
    for number in range(1000):
        inbox.put("a", "added" if number == 0 else "modified", b'{"n": %d}' % number)
    inbox.put("", "synced", b"")
    inbox.put("b", "modified", b'{"n": 1}')
    inbox.put("b", "deleted", b'{"n": 2}')
    assert take(inbox) == [("added", {"n": 999}), ("synced", {}), ("deleted", {"n": 2})]
