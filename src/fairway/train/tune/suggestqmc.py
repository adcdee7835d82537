"""`suggesting` for quasi-random search: SciPy, which takes half a second to import, is imported once, in the zygote."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module

from fairway.train.tune.suggesting import learn, suggest

with suppress(ImportError):  # the step says what to install, when it runs
    import_module("scipy.stats.qmc")

__all__ = ["learn", "suggest"]
