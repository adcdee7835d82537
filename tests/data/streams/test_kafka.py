"""Kafka, against librdkafka's mock cluster."""

from __future__ import annotations

import json
from typing import Any

import pytest
from confluent_kafka import Producer

from fairway.data.streams import Window, follow
from fairway.errors import ConfigError, InfraError

CONFIG = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 500}


def _fill(servers: str, topic: str, rows: range, partitions: int = 1) -> None:
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 0, "log_level": 0})
    for row in rows:
        producer.produce(topic, json.dumps({"n": row}).encode(), partition=row % partitions)
    assert producer.flush(30) == 0


def _numbers(window: Window) -> list[int]:
    return window.batch.columns["n"].data.tolist() if window.batch.rows else []


def _follow(servers: str, topic: str, **options: Any) -> Any:
    return follow(
        f"kafka://{servers}/{topic}", **{"window": "10 rows", "group": topic, "start": "oldest", "once": True, "config": CONFIG} | options
    )


def _all(servers: str, topic: str, **options: Any) -> list[int]:
    told: list[int] = []
    for window in _follow(servers, topic, **options):
        told += _numbers(window)
        window.commit()
    return told


def test_what_is_not_committed_comes_again_from_each_partition(kafka_servers: str) -> None:
    _fill(kafka_servers, "four", range(400), partitions=4)
    windows = iter(_follow(kafka_servers, "four", window="30 rows"))
    told = []
    for _ in range(3):
        window = next(windows)
        told += _numbers(window)
        window.commit()
    not_committed = _numbers(next(windows))
    windows.close()
    again = _all(kafka_servers, "four")
    assert set(not_committed) <= set(again)
    assert sorted(told + again) == list(range(400))


def test_without_a_group_nothing_is_kept(kafka_servers: str) -> None:
    _fill(kafka_servers, "alone", range(5))
    assert _all(kafka_servers, "alone", group="") == list(range(5))
    assert _all(kafka_servers, "alone", group="") == list(range(5))
    assert _all(kafka_servers, "alone", group="", start="new") == []


def test_tombstones_are_no_records(kafka_servers: str) -> None:
    producer = Producer({"bootstrap.servers": kafka_servers, "log_level": 0})
    producer.produce("tombs", b'{"n": 1}', key=b"a")
    producer.produce("tombs", None, key=b"a")
    producer.produce("tombs", b'{"n": 2}', key=b"b")
    assert producer.flush(30) == 0
    assert sorted(_all(kafka_servers, "tombs", group="")) == [1, 2]


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(ConfigError, match="does not name a topic"):
        follow("kafka://localhost:9092")
    with pytest.raises(InfraError, match=r"Kafka at 127\.0\.0\.1:1 does not answer"):
        next(iter(follow("kafka://127.0.0.1:1/t", retry_s=0.2)))
