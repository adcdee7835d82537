"""What a server tells of its cluster with the rights of its namespace."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fairway.kube.client import KubeClient
from fairway.kube.survey import ServerSurvey, survey_cluster
from tests.kube.emulator import Emulator, Node
from tests.kube.talk import talk


def test_a_server_says_what_it_cannot_see_and_asks_the_cluster_seldom(tmp_path: Path) -> None:
    with Emulator(tmp_path, nodes=[Node("n1", cpu=4)]) as cluster:

        async def work(client: KubeClient) -> None:
            seen = ServerSurvey(client)
            assert [node["name"] for node in (await seen.tell())["nodes"]] == ["n1"]
            cluster.faults.deny("list", "nodes")
            before = client.requests.total()
            told = await asyncio.gather(*(seen.tell() for _ in range(20)))
            assert [node["name"] for node in told[0]["nodes"]] == ["n1"]
            assert client.requests.total() == before

            told = await ServerSurvey(client, every_s=0).tell()
            assert told["nodes"] == []
            assert told["unseen"][0].startswith("The server may not list nodes: ")
            mine = await survey_cluster(client)
            assert mine.inventory.unseen[0].startswith("You may not list nodes: ")

        talk(cluster, work)
