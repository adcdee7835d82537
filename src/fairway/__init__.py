"""Fairway: portable, distributed machine learning from one Python file.

The public names are loaded when they are first used, so that `import fairway` costs next to nothing.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
ModuleType = type(sys)

__version__ = "0.1.0"

if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from fairway.data.anomalies.validating import validate
    from fairway.data.drift.comparing import drift
    from fairway.data.drift.making import baseline
    from fairway.data.statistics.measuring import measure
    from fairway.data.streams.follow import follow
    from fairway.data.table import read
    from fairway.dsl.command import In, Out, command, container
    from fairway.dsl.control import after, artifact, collect, contains, each, either, length, otherwise, secret, when
    from fairway.dsl.ganging import gang
    from fairway.dsl.load import load_pipeline
    from fairway.dsl.pipeline import Pipeline, pipeline
    from fairway.dsl.placing import place, pool, volume
    from fairway.dsl.settings import env, retry
    from fairway.dsl.step import Step, dynamic, step
    from fairway.dsl.tuning import tune
    from fairway.engine.client import run, runs
    from fairway.errors import FairwayError
    from fairway.serve.feedback.dataset import traffic
    from fairway.step.context import context, log, progress, skip
    from fairway.step.traffic import Traffic
    from fairway.step.transform import Transform, transform
    from fairway.step.types import HTML, Directory, Figure, File, Markdown, Metrics, Model, Table
    from fairway.train.checkpoints import checkpoint
    from fairway.train.shard import shard

_HOME = {
    name: module
    for module, names in (
        ("dsl.step", ("step", "dynamic", "Step")),
        ("dsl.pipeline", ("pipeline", "Pipeline")),
        ("dsl.control", ("each", "collect", "when", "otherwise", "either", "after", "length", "contains", "secret", "artifact")),
        ("dsl.settings", ("env", "retry")),
        ("dsl.ganging", ("gang",)),
        ("dsl.tuning", ("tune",)),
        ("dsl.placing", ("place", "pool", "volume")),
        ("dsl.command", ("command", "container", "In", "Out")),
        ("dsl.load", ("load_pipeline",)),
        ("step.context", ("log", "progress", "context", "skip")),
        ("step.types", ("File", "Directory", "Model", "Figure", "Metrics", "Table", "HTML", "Markdown")),
        ("step.traffic", ("Traffic",)),
        ("step.transform", ("transform", "Transform")),
        ("train.checkpoints", ("checkpoint",)),
        ("train.shard", ("shard",)),
        ("engine.client", ("run", "runs")),
        ("serve.feedback.dataset", ("traffic",)),
        ("data.table", ("read",)),
        ("data.anomalies.validating", ("validate",)),
        ("data.streams.follow", ("follow",)),
        ("data.statistics.measuring", ("measure",)),
        ("data.drift.comparing", ("drift",)),
        ("data.drift.making", ("baseline",)),
        ("errors", ("FairwayError",)),
    )
    for name in names
}

__all__ = [  # noqa: RUF022 - in the order in which one meets them; `__getattr__` finds them
    "step", "pipeline", "dynamic", "each", "collect", "when", "otherwise", "either", "after", "length", "contains", "secret", "artifact",
    "env", "retry", "gang", "pool", "place", "volume", "command", "container", "In", "Out", "load_pipeline",
    "log", "progress", "checkpoint", "shard", "context", "skip", "tune",
    "File", "Directory", "Model", "Figure", "Metrics", "Table", "HTML", "Markdown",
    "run", "runs", "read", "follow", "measure", "validate", "drift", "baseline", "traffic", "Traffic", "transform", "Transform",
    "Step", "Pipeline", "FairwayError",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module 'fairway' has no attribute {name!r}")
    from importlib import import_module

    try:
        home = import_module(f"fairway.{module}")
    except ModuleNotFoundError as error:
        if error.name not in ("fairway.engine", "fairway.serve"):  # a worker pod has none
            raise
        home = import_module("fairway.step.absent")
    value = getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})


class _Public(ModuleType):
    """This module. Importing the room `fairway.step` would set the attribute `step`, which is the decorator's."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _HOME and isinstance(value, ModuleType):
            return
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Public
