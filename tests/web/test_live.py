"""News for pages: which topics have changed, as soon as they have."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from fairway.engine.bus import RUNS
from fairway.web.live import run_of, spell_topic
from tests.web.recorded import Journals
from tests.web.rig import TOKEN, Live, Server, started

RUN = "20261124-081503-x7kq3"
HEADERS = {"Fairway-Token": TOKEN, "accept": "text/event-stream"}


@pytest.mark.parametrize(
    ("topic", "name", "run"),
    [
        ("runs", RUNS, ""),
        (f"run:{RUN}", RUN, RUN),
        (f"log:{RUN}/a-1", f"{RUN}/a-1/log", RUN),
        (f"metrics:{RUN}/a", f"{RUN}/a/metrics", RUN),
        ("run:", None, ""),
        ("log:x", None, "x"),
        ("log:a/b/c", None, "a"),
        ("nonsense", None, ""),
    ],
)
def test_topics(topic: str, name: str | None, run: str) -> None:
    assert spell_topic(topic) == name
    assert run_of(topic) == run


async def _events(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, Any]]:
    kind = ""
    async for line in lines:
        if line.startswith("event: "):
            kind = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield kind, json.loads(line.removeprefix("data: "))


def test_news_names_what_has_changed_and_where_it_stands_now(live: Live, tmp_path: Path, journals: Journals) -> None:
    server = Server(tmp_path, journals(tmp_path))

    async def listen() -> None:
        async with httpx2.AsyncClient(base_url=live.url, headers=HEADERS, timeout=60) as client:
            topics = f"topic=runs&topic=run:{RUN}&topic=log:{RUN}/one&topic=nonsense"
            async with client.stream("GET", f"/live?{topics}") as answer:
                assert answer.headers["content-type"].startswith("text/event-stream")
                events = _events(answer.aiter_lines())
                kind, opened = await anext(events)
                assert (kind, opened) == ("open", {"runs": 0, f"run:{RUN}": 0, f"log:{RUN}/one": 0})
                begun = await client.post("/api/v1/runs", json=started(RUN), headers={"accept": "application/json"})
                assert begun.status_code == 201
                kind, news = await anext(events)
                assert kind == "news" and news["runs"] > opened["runs"]
                heads = [news.get(f"run:{RUN}", 0)]
                while not heads[-1]:
                    heads.append((await anext(events))[1].get(f"run:{RUN}", 0))
                server.services.streams.append(f"{RUN}/one/log", b"hello\n")
                live.call(_publish(server, f"{RUN}/one/log"))
                seen: dict[str, int] = {}
                while f"log:{RUN}/one" not in seen:
                    seen |= (await anext(events))[1]
                assert seen[f"log:{RUN}/one"] == 6

    with live.serving(server):
        asyncio.run(asyncio.wait_for(listen(), 60))


async def _publish(server: Server, topic: str) -> None:
    server.host.bus.publish(topic)
