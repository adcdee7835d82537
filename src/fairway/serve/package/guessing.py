"""The schema of a model that came without one: from the hints and decorators of its code, from what it remembers, or from an example."""

from __future__ import annotations

import sys
from typing import Any

from fairway.serve.package.package import Package
from fairway.serve.package.predictor import Predictor
from fairway.serve.schema import infer


def guess_schema(package: Package, predictor: Predictor) -> dict[str, Any] | None:
    """None if the package has a schema, or if nothing is known. Called in the process that has loaded the model."""
    if package.schema is not None:
        return None
    function = getattr(predictor, "function", None)
    if function is not None:
        module = sys.modules.get(getattr(function, "__module__", ""))
        found = infer.from_azure(module) if module is not None else None
        found = found or infer.from_hints(function)
    else:
        found = infer.from_signature(package.card) or _of_estimator(getattr(predictor, "estimator", None)) or _of_file(predictor)
    if found is None and package.example is not None:
        example = package.example
        found = infer.from_example(example["inputs"] if isinstance(example, dict) and set(example) == {"inputs"} else example)
    return found


def _of_file(predictor: Predictor) -> dict[str, Any] | None:
    """What the model's own file says of its arrays, where the predictor can tell (`described`)."""
    described = getattr(predictor, "described", None)
    return infer.from_arrays(*described()) if described is not None else None


def _of_estimator(estimator: Any) -> dict[str, Any] | None:
    """What a fitted estimator remembers of its columns."""
    if estimator is None:
        return None
    from fairway.step.serializers import signatures
    from fairway.step.types import Model

    return signatures.schema(signatures.infer(Model(estimator)))
