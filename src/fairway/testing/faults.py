"""Kill a caller before or after any of its port calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

P = TypeVar("P")


class Killed(BaseException):
    """Stands for SIGKILL: no handler of the caller may catch it and do anything more."""


class KillSwitch:
    """Counts the moments at which a caller could die; raises `Killed` at number `at` (from 0) and ever after: the dead do nothing more.

    `at` None only counts: run once to learn `count`, then once for each moment. With `others_live` the switch is shared by many callers,
    of whom only the one that passes at that moment dies.
    """

    def __init__(self, at: int | None = None, *, others_live: bool = False) -> None:
        self.at = at
        self.others_live = others_live
        self.count = 0
        self.moments: list[str] = []

    def pass_moment(self, name: str) -> None:
        self.moments.append(name)
        self.count += 1
        if self.at is not None and (self.count == self.at + 1 or (self.count > self.at and not self.others_live)):
            raise Killed(name)


class _Watched:
    def __init__(self, port: Any, switch: KillSwitch, calls: frozenset[str] | None) -> None:
        self._port = port
        self._switch = switch
        self._calls = calls

    @property
    def __class__(self) -> type[Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return type(self._port)  # so that `isinstance` sees the port

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._port, name)
        if name.startswith("_") or not callable(value) or (self._calls is not None and name not in self._calls):
            return value
        wrapped = _watch_async(value, self._switch, name) if _is_async(value) else _watch_sync(value, self._switch, name)
        setattr(self, name, wrapped)
        return wrapped


def watched(port: P, switch: KillSwitch, calls: frozenset[str] | None = None) -> P:
    """The same port, with a moment to die before and after each call (of those named in `calls`, if given)."""
    out: Any = _Watched(port, switch, calls)
    return out


def _is_async(value: Any) -> bool:
    import inspect

    return inspect.iscoroutinefunction(value)


def _watch_sync(call: Callable[..., Any], switch: KillSwitch, name: str) -> Callable[..., Any]:
    def watch(*args: Any, **kwargs: Any) -> Any:
        switch.pass_moment(f"before {name}")
        out = call(*args, **kwargs)
        switch.pass_moment(f"after {name}")
        return out

    return watch


def _watch_async(call: Callable[..., Any], switch: KillSwitch, name: str) -> Callable[..., Any]:
    async def watch(*args: Any, **kwargs: Any) -> Any:
        switch.pass_moment(f"before {name}")
        out = await call(*args, **kwargs)
        switch.pass_moment(f"after {name}")
        return out

    return watch
