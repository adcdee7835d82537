"""What of loading a model is importing libraries, and what is the model itself."""

from __future__ import annotations

import builtins
import threading
import time
from typing import TYPE_CHECKING, Any

from fairway.serve.package.loading import load

if TYPE_CHECKING:
    from fairway.serve.package.package import Package
    from fairway.serve.package.predictor import Predictor


class TimedImports:
    """While it is entered, `seconds` adds up the time that imports of this thread take. They behave as always."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._import: Any = None
        self._thread = 0
        self._is_inside = False

    def __enter__(self) -> TimedImports:
        self._import, self._thread = builtins.__import__, threading.get_ident()
        builtins.__import__ = self._timed
        return self

    def __exit__(self, *error: object) -> None:
        if builtins.__import__ == self._timed:  # else somebody has put another in its place, which knows of ours
            builtins.__import__ = self._import

    def _timed(self, *words: Any, **more: Any) -> Any:
        if self._is_inside or threading.get_ident() != self._thread:
            return self._import(*words, **more)
        began, self._is_inside = time.perf_counter(), True
        try:
            return self._import(*words, **more)
        finally:
            self.seconds += time.perf_counter() - began
            self._is_inside = False


def load_timed(package: Package) -> tuple[Predictor, dict[str, float]]:
    """As `load`, with the seconds that went into "libraries" and "model"."""
    began = time.perf_counter()
    with TimedImports() as imports:
        predictor = load(package)
    whole_s = time.perf_counter() - began
    return predictor, {"libraries": round(imports.seconds, 4), "model": round(whole_s - imports.seconds, 4)}
