"""What leaves a machine while an attempt runs arrives once and in order, whatever is sent twice, lost or cut."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from fairway.errors import InfraError
from fairway.spec.layout import STREAMS
from fairway.step.folder import FolderStreamStore
from fairway.step.shipping import StreamShipper


class Ledger:
    """The server's side of the channel, with replies that may get lost. `lost`: for each call, whether its reply does."""

    def __init__(self, lost: list[bool] | None = None) -> None:
        self.streams: dict[str, bytes] = {}
        self._lost = lost or []

    def _reply(self) -> None:
        if self._lost and self._lost.pop():
            raise InfraError("no reply")

    def append(self, id: str, kind: str, offset: int, data: bytes) -> int:
        there = self.streams.get(kind, b"")
        if offset <= len(there):
            self.streams[kind] = there + data[len(there) - offset :]
        self._reply()
        return len(self.streams.get(kind, b""))


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=12), st.lists(st.booleans(), max_size=30), st.data())
def test_a_stream_arrives_once_and_in_order_whatever_is_lost(pieces: list[bytes], lost: list[bool], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as home:
        ledger, streams = Ledger(lost), FolderStreamStore(f"{home}/{STREAMS}")
        shipper = StreamShipper(ledger, home, "r", "a-1")  # type: ignore[arg-type]
        for piece in pieces:
            streams.append("r/a-1/log", piece)
            if data.draw(st.booleans(), label="killed"):
                shipper = StreamShipper(ledger, home, "r", "a-1")  # type: ignore[arg-type]
            try:
                shipper.ship(all=True)
            except InfraError:
                continue
        while True:
            try:
                shipper.ship(all=True)
                break
            except InfraError:
                continue
        assert ledger.streams.get("log", b"") == b"".join(pieces)


def test_a_server_that_has_lost_a_part_gets_it_again(tmp_path: Path) -> None:
    ledger, streams = Ledger(), FolderStreamStore(tmp_path / STREAMS)
    shipper = StreamShipper(ledger, str(tmp_path), "r", "a-1")  # type: ignore[arg-type]
    streams.append("r/a-1/log", b"one two ")
    shipper.ship(all=True)
    ledger.streams["log"] = b"one "
    streams.append("r/a-1/log", b"three")
    shipper.ship(all=True)
    assert ledger.streams["log"] == b"one two three"


def test_a_new_disk_goes_on_behind_what_an_earlier_one_has_left(tmp_path: Path) -> None:
    ledger, streams = Ledger(), FolderStreamStore(tmp_path / STREAMS)
    ledger.streams["log"] = b"before "
    shipper = StreamShipper(ledger, str(tmp_path), "r", "a-1", {"log": 7})  # type: ignore[arg-type]
    streams.append("r/a-1/log", b"after")
    shipper.ship(all=True)
    assert ledger.streams["log"] == b"before after"
