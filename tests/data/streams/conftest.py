"""A real Redis server, and a Kafka cluster of librdkafka's own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairway.step.freeports import free_ports
from tests.waiting import await_true

_TOOLS = Path(__file__).parents[3] / "tools"


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`redis://…` of a server that this session started."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        subprocess.run([_TOOLS / "apt_install.sh", "redis-server"], check=True)
        program = shutil.which("redis-server")
    assert program is not None
    folder = tmp_path_factory.mktemp("redis")
    (port,) = free_ports(1)
    server = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)],
        stdout=subprocess.DEVNULL,
    )
    import redis

    client = redis.Redis(port=port)

    def answers() -> bool:
        try:
            return client.ping()
        except redis.ConnectionError:
            return False

    await_true(answers, "the Redis server does not answer", process=server)
    yield f"redis://127.0.0.1:{port}"
    client.close()
    server.terminate()
    assert server.wait(60) == 0


@pytest.fixture
def redis_url(redis_server: str, request: pytest.FixtureRequest) -> str:
    """A stream of this test alone."""
    return f"{redis_server}/0?stream={request.node.name.replace('[', '-').replace(']', '')}"


@pytest.fixture(scope="session")
def kafka_servers() -> Iterator[str]:
    """`host:port,…` of a cluster inside this process (librdkafka's mock: real sockets, real protocol)."""
    from confluent_kafka import Producer

    cluster = Producer({"bootstrap.servers": "127.0.0.1:1", "test.mock.num.brokers": 3, "log_level": 0})
    brokers = cluster.list_topics(timeout=60).brokers.values()
    yield ",".join(f"{one.host}:{one.port}" for one in brokers)
    del cluster
