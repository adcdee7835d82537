"""The servers of the tests of streams."""

from tests.data.streams.conftest import redis_server

__all__ = ["redis_server"]
