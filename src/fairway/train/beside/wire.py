"""How a task travels to a joblib worker and its result back: a pickle whose large arrays go once to each worker."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

LARGE_BYTES = 1 << 16


class Sent:
    """What of one call of `Parallel` the other side has already: arrays by number. They are kept here, so that no number is used twice."""

    def __init__(self) -> None:
        self.numbers: dict[int, int] = {}
        self.kept: list[Any] = []

    def number(self, value: Any) -> int:
        """The same for the same object."""
        if id(value) not in self.numbers:
            self.numbers[id(value)] = len(self.kept)
            self.kept.append(value)
        return self.numbers[id(value)]


def pickle_task(task: Any, sent: Sent) -> tuple[bytes, list[int]]:
    """Its bytes, and the numbers of the large arrays that it names. Functions that have no module to be imported from travel whole."""
    array: Any = import_module("numpy").ndarray
    used: list[int] = []

    def number_large(value: Any) -> int | None:
        if type(value) is not array or value.nbytes < LARGE_BYTES or value.dtype.hasobject:
            return None
        used.append(sent.number(value))
        return used[-1]

    file = io.BytesIO()
    _pickler()(file, number_large).dump(task)
    return file.getvalue(), sorted(set(used))


def unpickle_task(data: bytes, arrays: Mapping[int, Any]) -> Any:
    """The task, with the arrays that this side holds."""
    reader = pickle.Unpickler(io.BytesIO(data))  # noqa: S301 - from who has proved to know the gang's key
    reader.persistent_load = arrays.__getitem__
    return reader.load()


def _pickler() -> Callable[[Any, Callable[[Any], int | None]], Any]:
    name = "cloudpickle" if find_spec("cloudpickle") else "joblib.externals.cloudpickle"  # joblib brought its own before 1.6
    base: Any = import_module(name).Pickler

    class Pickler(base):
        def __init__(self, file: Any, number_large: Callable[[Any], int | None]) -> None:
            super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
            self._number_large = number_large

        def persistent_id(self, obj: Any) -> int | None:
            return self._number_large(obj)

    return Pickler
