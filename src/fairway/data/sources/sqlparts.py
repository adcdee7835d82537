"""Reading a table in parts at once: ranges of one column, and threads that read them into one bounded queue."""

from __future__ import annotations

import datetime as dt
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

from fairway.data.sources.rowbuilder import Chunk
from fairway.errors import ConfigError

_WAITING = 2  # chunks for each reader
_PATIENCE_S = 0.1


def ranges(column: str, low: Any, high: Any, count: int) -> list[tuple[str, dict[str, Any]]]:
    """`count` conditions, with their parameters, of which each row meets exactly one; rows without a value are in the first. Pure."""
    if low is None or low == high or count == 1:
        return [("1 = 1", {})]
    if not isinstance(low, int | float | Decimal | dt.date) or isinstance(low, bool):
        raise ConfigError(
            f"{column} holds {type(low).__name__}, which cannot be divided into ranges", hint="partition= by a number, a date or a time"
        )
    edges: list[Any] = []
    for place in range(1, count):
        edge = low + (high - low) * place // count if isinstance(low, int) else low + (high - low) / count * place
        if edge > (edges[-1] if edges else low) and edge <= high:
            edges.append(edge)
    if not edges:
        return [("1 = 1", {})]
    made: list[tuple[str, dict[str, Any]]] = [(f"{column} < :fairway_high OR {column} IS NULL", {"fairway_high": edges[0]})]
    for lower, upper in pairwise(edges):
        made.append((f"{column} >= :fairway_low AND {column} < :fairway_high", {"fairway_low": lower, "fairway_high": upper}))
    return [*made, (f"{column} >= :fairway_low", {"fairway_low": edges[-1]})]


def in_parallel(readers: Sequence[Callable[[], Iterator[Chunk]]]) -> Iterator[Chunk]:
    """The chunks of all readers as they come. What one raises ends the others; so does nobody asking for more."""
    waiting: queue.Queue[Chunk | BaseException | None] = queue.Queue(_WAITING * len(readers))
    ended = threading.Event()

    def put(one: Chunk | BaseException | None) -> bool:
        while not ended.is_set():
            try:
                waiting.put(one, timeout=_PATIENCE_S)
                return True
            except queue.Full:
                continue
        return False

    def run(reader: Callable[[], Iterator[Chunk]]) -> None:
        try:
            for chunk in reader():
                if not put(chunk):
                    return
            put(None)
        except BaseException as error:  # noqa: BLE001 - raised where the chunks are taken
            put(error)

    threads = [threading.Thread(target=run, args=(one,), name=f"fairway-part-{place}", daemon=True) for place, one in enumerate(readers)]
    for thread in threads:
        thread.start()
    try:
        left = len(threads)
        while left:
            one = waiting.get()
            if isinstance(one, BaseException):
                raise one
            if one is None:
                left -= 1
            else:
                yield one
    finally:
        ended.set()
        for thread in threads:
            thread.join()
