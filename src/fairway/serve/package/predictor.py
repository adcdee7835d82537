"""What every loaded model offers to the process that serves it, whatever library it is of."""

from __future__ import annotations

from typing import Any, Protocol

from fairway.errors import ConfigError


class Predictor(Protocol):
    """A loaded model.

    `takes`: "matrix" (numpy array, rows x columns), "frame" (pandas.DataFrame), "rows" (list of dicts), "tensors" ({name: array}),
    "value" (one decoded JSON value), "raw" (`package.inputs.Body`: bytes and their content type).
    `batches`: the rows of several calls may be joined into one prediction. `bears_fork`: it may be loaded in a process that is forked
    afterwards; where False it is loaded in each worker. `methods`: what callers may ask for, the usual one first. `is_async`: `predict`
    gives an awaitable. `names`: columns in the order of training, () where the model does not know.
    """

    takes: str
    batches: bool
    bears_fork: bool
    methods: tuple[str, ...]
    is_async: bool
    names: tuple[str, ...]

    def predict(self, inputs: Any, method: str, params: dict[str, Any]) -> Any:
        """What the model says of `inputs`. `method` "" is the first of `methods`. Raises whatever the library or script raises."""
        ...

    def output_names(self, method: str) -> tuple[str, ...]:
        """Names of the answer's columns, such as the classes for "predict_proba"; () where none are known."""
        ...

    def warm_up(self) -> None:
        """Do what the first prediction would have to do besides predicting; called in the worker, once."""
        ...


def order_methods(found: tuple[str, ...], wanted: str, called: str) -> tuple[str, ...]:
    """`found` with the wanted one first. Raises ConfigError if the model has no such method."""
    if not wanted:
        return found
    if wanted not in found:
        raise ConfigError(f"the {called} has no method {wanted!r}", hint=f"it has: {', '.join(found)}")
    return (wanted, *(name for name in found if name != wanted))
