"""Streams: records that keep coming, as windows of a batch each. numpy only."""

from __future__ import annotations

from fairway.data.streams.follow import follow
from fairway.data.streams.stream import Stream, Window

__all__ = ["Stream", "Window", "follow"]
