"""A topic of Kafka as a stream. Kafka keeps what the group has committed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit
from uuid import uuid4

from fairway.data.streams.transport import EndOfStream, Records, without_secrets
from fairway.errors import ConfigError, InfraError, NotFoundError, UnsupportedError

_MOST_MESSAGES = 2_000
_SETTINGS = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    "queued.max.messages.kbytes": 8192,
    "fetch.message.max.bytes": 1 << 20,
    "fetch.max.bytes": 4 << 20,
    "topic.metadata.refresh.interval.ms": 30_000,
    "log_level": 0,
}


def open_kafka(
    uri: str,
    *,
    group: str,
    start: Literal["new", "oldest"],
    once: bool,
    config: Mapping[str, Any] | None = None,
    retry_s: float = 30.0,
) -> KafkaTransport:
    """`kafka://[user:password@]host:port[,host:port]/topic?setting=value`, settings as librdkafka names them. Raises ConfigError."""
    try:
        import confluent_kafka
    except ImportError:
        raise UnsupportedError("reading Kafka needs confluent-kafka", hint="pip install 'fairway[streams]'") from None
    parts = urlsplit(uri)
    credentials, _, servers = parts.netloc.rpartition("@")
    topic = unquote(parts.path.strip("/"))
    if not servers or not topic or "/" in topic:
        raise ConfigError(f"{without_secrets(uri)} does not name a topic", hint="write kafka://host:9092/topic")
    settings: dict[str, Any] = {**_SETTINGS, **dict(parse_qsl(parts.query)), **(config or {})}
    if credentials:
        user, _, password = credentials.partition(":")
        settings = {"sasl.mechanism": "PLAIN", "security.protocol": "SASL_SSL", **settings}
        settings |= {"sasl.username": unquote(user), "sasl.password": unquote(password)}
    settings |= {
        "bootstrap.servers": servers,
        "group.id": group or f"fairway-{uuid4().hex}",
        "auto.offset.reset": "earliest" if start == "oldest" else "latest",
    }
    return KafkaTransport(confluent_kafka, settings, topic, once=once, group=group, patience_s=retry_s)


class KafkaTransport:
    """A consumer of one topic. Its position: the next offset of each partition."""

    keeps_offsets = True

    def __init__(self, library: Any, settings: dict[str, Any], topic: str, *, once: bool, group: str, patience_s: float) -> None:
        self._library, self._settings, self._topic, self._once, self._group = library, settings, topic, once, group
        self._patience_s = patience_s
        self.resumable = bool(group)
        self.notes: list[str] = []
        self._consumer: Any = None
        self._next: dict[int, int] = {}
        self._ended: set[int] = set()
        self._partitions: set[int] = set()

    def open(self, position: Any) -> None:
        library = self._library
        try:
            self._consumer = library.Consumer(self._settings, error_cb=self._told)
            told = self._consumer.list_topics(self._topic, timeout=self._patience_s).topics[self._topic]
        except library.KafkaException as error:
            name = self._settings["bootstrap.servers"]
            raise InfraError(f"Kafka at {name} does not answer: {_say(error)}", hint="check the address, and that it is up") from None
        if told.error is not None or not told.partitions:
            raise NotFoundError(f"Kafka has no topic {self._topic!r}", hint="check the name; topics that nobody wrote to yet may not exist")
        self._partitions = set(told.partitions)
        if self._group:
            self._consumer.subscribe([self._topic], on_assign=self._assigned)
            return
        place = library.OFFSET_BEGINNING if self._settings["auto.offset.reset"] == "earliest" else library.OFFSET_END
        self._consumer.assign([library.TopicPartition(self._topic, one, place) for one in self._partitions])

    def receive(self, timeout_s: float) -> Records | None:
        payloads: list[bytes] = []
        places: list[tuple[int, int]] = []
        for message in self._consumer.consume(_MOST_MESSAGES, timeout_s):
            error = message.error()
            if error is not None:
                self._failed(error, message)
                continue
            self._ended.discard(message.partition())
            value = message.value()
            if value is not None:
                payloads.append(value)
                places.append((message.partition(), message.offset()))
        if not payloads:
            if self._once and self._ended >= self._partitions:
                raise EndOfStream
            return None
        before = dict(self._next)
        for partition, offset in places:
            self._next[partition] = offset + 1
        return Records(payloads, lambda count: before | {partition: offset + 1 for partition, offset in places[:count]})

    def commit(self, positions: list[Any]) -> None:
        if not self._group:
            return
        library = self._library
        offsets = [
            library.TopicPartition(self._topic, partition, offset)
            for partition, offset in positions[-1].items()
            if partition in self._partitions
        ]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except library.KafkaException as error:
            self._note(f"what was done could not be committed and will come again: {_say(error)}")

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()

    def _assigned(self, consumer: Any, partitions: list[Any]) -> None:
        """The group's members changed. What is not ours any more is not committed by us, and comes to whoever has it."""
        self._partitions = {one.partition for one in partitions}
        self._ended &= self._partitions
        self._next = {partition: offset for partition, offset in self._next.items() if partition in self._partitions}

    def _failed(self, error: Any, message: Any) -> None:
        if error.code() == self._library.KafkaError._PARTITION_EOF:
            self._ended.add(message.partition())
        elif error.fatal() or error.code() in (
            self._library.KafkaError.TOPIC_AUTHORIZATION_FAILED,
            self._library.KafkaError.GROUP_AUTHORIZATION_FAILED,
        ):
            raise InfraError(f"Kafka refuses to go on: {error.str()}")
        else:
            self._told(error)

    def _told(self, error: Any) -> None:
        self._note(f"Kafka: {error.str()}")

    def _note(self, text: str) -> None:
        if len(self.notes) < 100 and text not in self.notes[-3:]:
            self.notes.append(text)


def _say(error: Any) -> str:
    return error.args[0].str() if error.args else str(error)
