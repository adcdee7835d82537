"""A model whose package carries features: what a request holds goes through them before the model gets it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairway.errors import DefinitionError
from fairway.spec.record import replace
from fairway.step.transform import Transform

if TYPE_CHECKING:
    from collections.abc import Callable

    from fairway.serve.package.package import Package
    from fairway.serve.package.predictor import Predictor

_TAKES = {"pandas": "frame", "numpy": "matrix", "polars": "rows", "arrow": "rows", "rows": "rows"}
_SHOWN = 3


def load_featured(package: Package, load: Callable[[Package], Predictor]) -> FeaturedPredictor:
    """The package's features around its model. Raises DefinitionError if here they come out differently than in training."""
    features = Transform.load(str(Path(package.folder, package.card["transform"])), trust=package.trust)
    differences = features.replay()
    if differences:
        raise DefinitionError(
            f"the features of {package.name} come out differently here than in training: {'; '.join(differences[:_SHOWN])}",
            hint="libraries of other versions do that: serve it in the environment it was trained in, or train it again in this one",
        )
    inside = {name: value for name, value in package.card.items() if name not in ("transform", "signature")}
    return FeaturedPredictor(load(replace(package, card=inside, schema=None, example=None)), features, package)


class FeaturedPredictor:
    """Takes what the features take; `inner` gets the features."""

    def __init__(self, inner: Predictor, features: Transform, package: Package) -> None:
        self.inner, self.features = inner, features
        self.takes = _TAKES[features.takes]
        self.batches, self.bears_fork, self.is_async = inner.batches, inner.bears_fork and features.takes != "polars", inner.is_async
        self.methods = inner.methods
        self.columns = package.columns
        self.names = tuple(features.columns)

    def predict(self, inputs: Any, method: str, params: dict[str, Any]) -> Any:
        return self.inner.predict(self._given(self.features(self._table(inputs))), method, params)

    def _table(self, inputs: Any) -> Any:
        if self.features.takes == "polars":
            import polars as pl

            return pl.DataFrame(inputs, infer_schema_length=None)
        if self.features.takes == "arrow":
            import pyarrow as pa

            return pa.Table.from_pylist(inputs)
        return inputs

    def _given(self, features: Any) -> Any:
        """The features as the model inside takes them."""
        takes = self.inner.takes
        if takes == "matrix":
            return features.to_numpy() if hasattr(features, "to_numpy") else features
        if takes == "frame" and not hasattr(features, "columns"):
            import pandas as pd

            names: Any = list(self.inner.names)  # pandas 2 says that it takes no list
            return pd.DataFrame(features, columns=names or None)
        if takes == "tensors":
            dense = features.toarray() if hasattr(features, "toarray") else features
            return {(self.inner.names or ("x",))[0]: dense.to_numpy() if hasattr(dense, "to_numpy") else dense}
        return features

    def output_names(self, method: str) -> tuple[str, ...]:
        return self.inner.output_names(method)

    def warm_up(self) -> None:
        warnings.filterwarnings("ignore", message="X does not have valid feature names")
        self.inner.warm_up()
