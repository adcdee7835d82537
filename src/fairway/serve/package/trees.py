"""XGBoost and LightGBM: their scikit-learn wrappers as estimators, bare boosters by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fairway.errors import DefinitionError
from fairway.serve.package.estimator import EstimatorPredictor, read_estimator
from fairway.serve.package.predictor import order_methods
from fairway.serve.package.quiet import one_thread

if TYPE_CHECKING:
    from fairway.serve.package.package import Package


def load_trees(package: Package) -> EstimatorPredictor | BoosterPredictor:
    """The model of the package's file: a booster, or a wrapper where the file tells which one it was."""
    with one_thread(package.kind):
        model = read_estimator(package)
    if type(model).__name__ == "Booster":
        return BoosterPredictor(model, package)
    if package.kind == "xgboost" and not package.columns_need_types:
        booster = model.get_booster()
        names = tuple(booster.feature_names or ())
        booster.feature_names = None  # a matrix has none, and it would compare them at each prediction
        made = EstimatorPredictor(model, package)
        made.names = made.names or names
        return made
    return EstimatorPredictor(model, package)


class BoosterPredictor:
    """A booster without a wrapper: probabilities for classes, values for regression, as its objective has it."""

    batches, bears_fork, is_async = True, True, False

    def __init__(self, booster: Any, package: Package) -> None:
        self.booster = booster
        self.methods = order_methods(("predict",), str(package.options.get("method", "")), "booster")
        self.columns = package.columns
        is_xgboost = package.kind == "xgboost"
        found = booster.feature_names if is_xgboost else booster.feature_name()
        self.names = tuple(found or ()) or tuple(self.columns)
        self.takes = "frame" if package.columns_need_types else "matrix"
        if is_xgboost and booster.feature_types and "c" in booster.feature_types and self.takes == "matrix":
            raise DefinitionError(
                f"{package.name} was trained on categories, and nothing here tells which",
                hint="save it as fw.Model(booster, example=X): the card then has the categories of each column",
            )
        if is_xgboost and self.takes == "matrix":
            booster.feature_names = None
        self._is_xgboost = is_xgboost

    def predict(self, inputs: Any, method: str, params: dict[str, Any]) -> Any:
        if not self._is_xgboost:
            return self.booster.predict(inputs)
        best = self._best()
        return self.booster.inplace_predict(inputs, iteration_range=best)

    def _best(self) -> tuple[int, int]:
        """Trees up to the best round where training stopped early."""
        try:
            return (0, int(self.booster.best_iteration) + 1)
        except AttributeError:
            return (0, 0)

    def output_names(self, method: str) -> tuple[str, ...]:
        return ()

    def warm_up(self) -> None:
        """Nothing: the example request does it."""
