"""Estimators of scikit-learn and of libraries that follow it: anything fitted that has `predict`."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from fairway.errors import DefinitionError
from fairway.serve.package.predictor import order_methods
from fairway.serve.package.quiet import one_thread

if TYPE_CHECKING:
    from fairway.serve.package.package import Package

METHODS = ("predict", "predict_proba", "decision_function", "predict_log_proba", "transform", "score_samples")


def load_estimator(package: Package) -> EstimatorPredictor:
    """The estimator that the package's file holds."""
    modules = [name for name in ("xgboost", "lightgbm") if name in package.card.get("versions", {})]
    with one_thread("sklearn", *modules):  # any of them may be inside a pipeline
        return EstimatorPredictor(read_estimator(package), package)


def read_estimator(package: Package) -> Any:
    """By the card where there is one, else by the file's ending. Raises DefinitionError for a pickle without trust."""
    if package.card.get("format", "files") != "files":
        from fairway.step.types import Model

        return Model.load(package.folder, trust=package.trust).estimator
    from fairway.spec.artifact import ArtifactRef
    from fairway.step import artifacts, serializers

    suffix = package.path.suffix.lower()
    if suffix in (".pkl", ".pickle", ".joblib"):
        return _read_pickle(package)
    form = {".skops": "skops", ".ubj": "xgboost", ".xgb": "xgboost", ".json": "xgboost", ".txt": "lightgbm", ".lgb": "lightgbm"}.get(
        suffix, package.kind
    )
    reader = serializers.find_for_format(form)
    return artifacts.read_with(reader, str(package.path), ArtifactRef("", 0, form, package.kind), "", package.trust)


def _read_pickle(package: Package) -> Any:
    if not package.trust:
        raise DefinitionError(
            f"{package.path.name} is a pickle: reading it runs whatever code its writer put there",
            hint="if you trust who wrote it, add --trust; or save it with skops (fw.Model does)",
        )
    if package.path.suffix == ".joblib":
        import joblib

        return joblib.load(package.path)
    import pickle

    with package.path.open("rb") as file:
        return pickle.load(file)  # noqa: S301 - said to be trusted


class EstimatorPredictor:
    """Takes a matrix, or a frame where the estimator tells columns apart by name or type."""

    batches, bears_fork, is_async = True, True, False

    def __init__(self, estimator: Any, package: Package) -> None:
        self.estimator = estimator
        found = tuple(name for name in METHODS if callable(getattr(estimator, name, None)))
        if not found:
            raise DefinitionError(
                f"{package.name} holds a {type(estimator).__name__}, which has no predict",
                hint="serve a script that knows what to do with it",
            )
        self.methods = order_methods(found, str(package.options.get("method", "")), type(estimator).__name__)
        self.columns = package.columns
        self.names = _names_of(estimator) or tuple(self.columns)
        self.takes = "frame" if package.columns_need_types or any(map(_selects, _parts(estimator))) else "matrix"
        if self.takes == "matrix":
            _forget_names(estimator)

    def predict(self, inputs: Any, method: str, params: dict[str, Any]) -> Any:
        return getattr(self.estimator, method or self.methods[0])(inputs)

    def output_names(self, method: str) -> tuple[str, ...]:
        if (method or self.methods[0]) in ("predict_proba", "predict_log_proba"):
            classes = getattr(self.estimator, "classes_", None)
            if classes is not None and not isinstance(classes, list):
                return tuple(str(one) for one in classes)
        return ()

    def warm_up(self) -> None:
        """Nothing: the example request does it."""


def _names_of(estimator: Any) -> tuple[str, ...]:
    try:
        found = getattr(estimator, "feature_names_in_", None)
    except Exception:  # noqa: BLE001 - properties of estimators raise what they like
        return ()
    return tuple(str(name) for name in found) if found is not None else ()


def _selects(part: Any) -> bool:
    name = type(part).__name__
    if name in ("ColumnTransformer", "FunctionTransformer", "DataFrameMapper", "TableVectorizer"):
        return name != "FunctionTransformer" or bool(_names_of(part))
    if getattr(part, "categorical_features", None) is not None and hasattr(part, "is_categorical_"):
        # "from_dtype" told categories by the frame's types; where there were none, a matrix says as much
        return part.is_categorical_ is not None and bool(_names_of(part))
    module = type(part).__module__.partition(".")[0]
    return module not in ("sklearn", "xgboost", "lightgbm", "numpy", "builtins") and bool(_names_of(part))


def _parts(estimator: Any, depth: int = 0) -> list[Any]:
    """The estimator and those inside it: steps of a pipeline, what a search or an ensemble holds."""
    found = [estimator]
    if depth > 5:
        return found
    inner: list[Any] = []
    for step in getattr(estimator, "steps", None) or ():
        inner.append(step[1])
    for name in ("best_estimator_", "estimator_", "regressor_", "classifier_", "transformer_", "final_estimator_", "base_estimator_"):
        inner.append(vars(estimator).get(name) if hasattr(estimator, "__dict__") else None)
    kept = getattr(estimator, "__dict__", {}).get("estimators_")
    if isinstance(kept, list) and len(kept) <= 20:
        inner.extend(kept)
    for calibrated in getattr(estimator, "__dict__", {}).get("calibrated_classifiers_") or ():
        inner.append(getattr(calibrated, "estimator", None))
    for one in inner:
        if one is not None and hasattr(one, "__dict__"):
            found += _parts(one, depth + 1)
    return found


def _forget_names(estimator: Any) -> None:
    """A matrix in the order of training is as good as a frame; without this scikit-learn warns of it at every prediction."""
    for part in _parts(estimator):
        if "feature_names_in_" in getattr(part, "__dict__", {}):
            try:
                del part.feature_names_in_
            except AttributeError:
                continue
    warnings.filterwarnings("ignore", message="X does not have valid feature names")
