"""`fw.run`, `fw.runs` and `fw.traffic` where there is no engine: in a worker pod, which has what attempts need and no more."""

from __future__ import annotations

from typing import Any, NoReturn

from fairway.errors import UnsupportedError
from fairway.step.context import context
from fairway.step.importing import check_may_run


def run(*_: Any, **__: Any) -> NoReturn:
    """What the engine's does in a step or in a module that is being imported: raises UnsupportedError, or ends the import."""
    check_may_run(context().task)
    _refuse()


def traffic(*_: Any, **__: Any) -> NoReturn:
    """What the real one does in a step: raises UnsupportedError."""
    raise UnsupportedError(
        "fw.traffic is asked outside of steps: what a step reads must be among its inputs",
        hint="write `data: fw.Traffic` in the step, and pass fw.traffic(…) to it in the pipeline or with fw.run",
    )


class Runs:
    """The runs of a project; none can be seen from here."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        _refuse()

    def __getitem__(self, key: object) -> NoReturn:
        _refuse()

    def __iter__(self) -> NoReturn:
        _refuse()


runs = Runs()


def _refuse() -> NoReturn:
    raise UnsupportedError(
        "runs are not seen from inside a step of a cluster",
        hint="pass what the step needs to it: parameters, outputs of other steps, fw.context()",
    )
