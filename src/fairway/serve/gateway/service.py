"""One endpoint as the gateway runs it: replicas with their connections, who may call, what waits for a replica."""

from __future__ import annotations

import time
from collections import deque
from typing import Any, Protocol

from fairway.serve.feedback.privacy import Privacy
from fairway.serve.gateway.access import Bucket, Keyring
from fairway.serve.gateway.meter import Meter
from fairway.serve.gateway.shadow import Shadow
from fairway.serve.gateway.spread import Spread, choose_running
from fairway.serve.gateway.table import EndpointRow, ReplicaRow
from fairway.serve.httpclient import Upstream
from fairway.spec.endpoint import Key

_DOWN_S, _DOWN_MOST_S = 0.25, 4.0


def host_of(address: str) -> bytes:
    """What a replica is to see in its Host header: its name where it has one, for it may be behind what goes by names (Knative)."""
    name = "" if address.startswith("unix:") else address.rpartition(":")[0]
    return name.encode("latin-1", "replace") if any(letter.isalpha() for letter in name) and not name.startswith("[") else b"fairway"


class Replica:
    """A replica that the table names. `down_until`: it takes no connections; others are asked meanwhile."""

    __slots__ = (
        "_failures", "_is_closed", "address", "channel", "down_until", "grpc", "host", "id", "in_flight", "is_draining",
        "revision", "tag", "upstream",
    )  # fmt: skip

    def __init__(self, row: ReplicaRow, revision: int) -> None:
        self.id, self.address, self.revision, self.is_draining = row.id, row.address, revision, row.draining
        self.upstream = Upstream(row.address)
        self.host = host_of(row.address)
        self.grpc = row.grpc
        self.tag = ((b"fairway-revision", b"%d" % revision), (b"fairway-replica", row.id.encode("latin-1", "replace")))
        self.channel: Any = None  # of gRPC, made when it is first needed
        self.in_flight = 0
        self.down_until = 0.0
        self._failures = 0
        self._is_closed = False

    def let_go(self) -> None:
        """A request is over."""
        self.in_flight -= 1
        if self._is_closed and not self.in_flight:
            self._close_channel()

    def close(self) -> None:
        """It gets nothing more; what is on its way there goes on."""
        self._is_closed = True
        self.upstream.close()
        if not self.in_flight:
            self._close_channel()

    def _close_channel(self) -> None:
        if self.channel is not None:
            self.channel.close()

    def fail(self, now: float) -> bool:
        """It takes no connections: it is left alone for longer, the more often. False if that is known already."""
        if now < self.down_until:
            return False
        self._failures += 1
        self.down_until = now + min(_DOWN_S * 2 ** (self._failures - 1), _DOWN_MOST_S)
        return True

    def recover(self) -> None:
        if self._failures:
            self._failures, self.down_until = 0, 0.0


class Held(Protocol):
    """A request that waits for a replica."""

    wants: int
    hold_until: float


class Service:
    """An endpoint. Changes with the table; counts and buckets stay."""

    def __init__(self, row: EndpointRow) -> None:
        self.name = row.name
        self.row = row
        self.spread = Spread(())
        self.keyring = Keyring(())
        self.replicas: dict[int, list[Replica]] = {}  # those that take requests
        self.held: deque[Any] = deque()
        self.held_bytes = 0
        self.meters: dict[int, Meter] = {}
        self.key_use: dict[str, list[int]] = {}  # name: requests, those over the limit, since the last window
        self.used_at = 0.0
        self.shadow: Shadow | None = None
        self._all: dict[str, Replica] = {}
        self._buckets: dict[str, Bucket] = {}
        self._turn = 0
        self.change(row)

    def change(self, row: EndpointRow) -> None:
        """Take over what the table says now."""
        now = time.monotonic()
        self.row = row
        self.spread = self.spread.replaced(row.traffic)
        self.keyring = Keyring(row.keys)
        orders = {row.columns.get(number, ()) for number in (row.shadow, *dict(row.traffic))}
        columns = orders.pop() if len(orders) == 1 else ()  # else nobody knows which order a caller means
        privacy = Privacy(row.capture.drop, row.capture.hash, secret=bytes.fromhex(row.secret), columns=columns)
        if not row.shadow:
            self.shadow = None
        elif self.shadow is None or self.shadow.revision != row.shadow:
            self.shadow = Shadow(row.shadow, privacy)
        else:
            self.shadow.privacy = privacy
        self._buckets = {
            key.digest: self._buckets[key.digest].changed(key.rate, key.burst, now)
            if key.digest in self._buckets
            else Bucket(key.rate, key.burst, now)
            for key in row.keys
            if key.rate > 0
        }
        named = {f"{revision}/{item.id}/{item.address}": (item, revision) for revision, items in row.replicas.items() for item in items}
        for tag in self._all.keys() - named.keys():
            self._all.pop(tag).close()
        for tag, (item, revision) in named.items():
            if tag in self._all:
                self._all[tag].is_draining = item.draining
            else:
                self._all[tag] = Replica(item, revision)
        self.replicas = {}
        for tag in named:
            replica = self._all[tag]
            if not replica.is_draining:
                self.replicas.setdefault(replica.revision, []).append(replica)
        known = {0, row.shadow, *self.spread.revisions, *row.replicas}
        for number in [n for n, meter in self.meters.items() if n not in known and not meter.in_flight and not meter.waiting]:
            del self.meters[number]

    def meter(self, revision: int) -> Meter:
        found = self.meters.get(revision)
        if found is None:
            found = self.meters[revision] = Meter(time.monotonic())
        return found

    def all_replicas(self) -> tuple[Replica, ...]:
        """Those that drain too."""
        return tuple(self._all.values())

    def running(self, now: float) -> set[int]:
        """Revisions with a replica that takes connections."""
        return {number for number, replicas in self.replicas.items() if any(replica.down_until <= now for replica in replicas)}

    def choose_revision(self, wanted: int, now: float) -> int:
        """`wanted`, or another that takes more traffic, while that one does not run; 0: none does."""
        return choose_running(wanted, self.spread.weights, self.running(now))

    def choose_replica(self, revision: int, now: float) -> Replica | None:
        """The one with the least in flight of those that take connections."""
        replicas = self.replicas.get(revision)
        if not replicas:
            return None
        if len(replicas) == 1:
            only = replicas[0]
            return only if only.down_until <= now else None
        self._turn = (self._turn + 1) % len(replicas)  # equals take turns
        best: Replica | None = None
        for replica in (*replicas[self._turn :], *replicas[: self._turn]):
            if replica.down_until <= now and (best is None or replica.in_flight < best.in_flight):
                best = replica
        return best

    def take_turn(self, key: Key, now: float) -> float:
        """Count a request of the caller. 0.0: go on; else it is over its limit, and may come again in so many seconds."""
        use = self.key_use.get(key.name)
        if use is None:
            use = self.key_use[key.name] = [0, 0]
        use[0] += 1
        bucket = self._buckets.get(key.digest)
        if bucket is None:
            return 0.0
        wait_s = bucket.take(now)
        if wait_s:
            use[1] += 1
        return wait_s

    def close(self) -> None:
        for replica in self._all.values():
            replica.close()
