"""The rendezvous table: one row for each training framework. Built-ins stand here; others are found by entry point.

A row says what every process of a gang is told in variables, and how its command is started. Rows are pure: a `Place` in, text out.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from fairway.errors import DefinitionError, NotFoundError

if TYPE_CHECKING:
    from fairway.spec.gang import Gang
    from fairway.spec.ports import Framework

GROUP = "fairway.frameworks"
_HERE = "fairway.train.frameworks."
BUILT_IN = {
    "plain": "plain:Plain",
    "torch": "torch:Torch",
    "deepspeed": "deepspeed:DeepSpeed",
    "accelerate": "accelerate:Accelerate",
    "tensorflow": "tensorflow:TensorFlow",
    "keras": "keras:Keras",
    "jax": "jax:Jax",
    "xgboost": "xgboost:XGBoost",
    "lightgbm": "lightgbm:LightGBM",
    "sklearn": "sklearn:ScikitLearn",
    "dask": "dask:Dask",
    "ray": "ray:Ray",
    "mpi": "mpi:Mpi",
    "horovod": "mpi:Horovod",
    "r": "r:R",
    "julia": "others:Julia",
    "mxnet": "others:MXNet",
    "caffe": "others:Caffe",
    "cntk": "others:CNTK",
}
"""What is written under each name of the group in pyproject.toml, relative to this package (a test holds the two equal)."""

OTHER_NAMES = {
    "tf": "tensorflow",
    "pt": "torch",
    "ddp": "torch",
    "fsdp": "torch",
    "torchrun": "torch",
    "lightning": "torch",
    "xgb": "xgboost",
    "lgb": "lightgbm",
    "lgbm": "lightgbm",
    "scikit-learn": "sklearn",
    "joblib": "sklearn",
    "flax": "jax",
    "huggingface": "accelerate",
    "openmpi": "mpi",
    "mpi4py": "mpi",
    "rscript": "r",
}
"""What people call a row, where it is too far from its name to be taken for a slip."""


def get_framework(name: str) -> Framework:
    """The row `name`. Raises NotFoundError, which names the rows there are."""
    where = _HERE + BUILT_IN[name] if name in BUILT_IN else _find_elsewhere(name)
    if not where:
        raise NotFoundError(f"there is no framework {name!r} for a gang", hint=f"there are {', '.join(names())}{_meant(name)}")
    module, _, attribute = where.partition(":")
    return getattr(import_module(module), attribute)()


def check_gang(gang: Gang) -> None:
    """Refuse what the gang's framework cannot do: an option that it has not, roles that it does not know. Raises DefinitionError, or
    NotFoundError if there is no such framework."""
    row: Any = get_framework(gang.framework)
    known = getattr(row, "options", {})
    for name in gang.options:
        if name not in known:
            from fairway.dsl.ganging import KEYWORDS, suggest_keyword

            own = f"{row.title} takes {', '.join(known)}, and what" if known else "What"
            hint = f"{own} every gang takes: {', '.join(KEYWORDS)}.{suggest_keyword(name, list(known))}"
            raise DefinitionError(f"fw.gang has no option {name!r} for {gang.framework!r}", hint=hint)
    check = getattr(row, "check", None)
    if check is not None and (wrong := check(gang)):
        raise DefinitionError(f"not a gang of {row.title}: {wrong}", hint="`fairway train FILE --dry-run` shows what each rank is told")


def _meant(name: str) -> str:
    """What people call a row otherwise, or nearly so."""
    from fairway.dsl.source import suggest

    row = OTHER_NAMES.get(name.lower().replace("_", "-"), "")
    return f'. Write framework="{row}"' if row else f".{suggest(name, list(names()))}"


def names() -> Sequence[str]:
    """All rows, built-in and installed."""
    from importlib.metadata import entry_points

    return sorted({*BUILT_IN, *(each.name for each in entry_points(group=GROUP))})


def _find_elsewhere(name: str) -> str:
    from importlib.metadata import entry_points

    return next((each.value for each in entry_points(group=GROUP, name=name)), "")
