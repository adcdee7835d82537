"""XGBoost models as UBJSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fairway.errors import DefinitionError
from fairway.step import plainjson
from fairway.step.serializers.versions import of_class

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class XgboostUbj:
    """xgboost.Booster and the scikit-learn wrappers <-> UBJSON. A wrapper's own parameters travel inside the model's attributes."""

    format, suffix, types = "xgboost", ".ubj", ("xgboost.XGBModel", "xgboost.Booster")

    def write(self, value: Any, path: Path) -> Mapping[str, Any]:
        import xgboost

        kind = type(value).__name__
        if not type(value).__module__.startswith("xgboost."):
            raise DefinitionError(
                f"{kind} is a class of your own", hint=f"return the xgboost model itself, or model.get_booster() of the {kind}"
            )
        booster = value if isinstance(value, xgboost.Booster) else _booster_of(value)
        kept = {"fairway.class": kind}
        if booster is not value:
            kept["fairway.params"] = plainjson.render(_params(value)).decode()
            wrapper = {"n_classes_": getattr(value, "n_classes_", None), "_estimator_type": getattr(value, "_estimator_type", "")}
            kept["fairway.wrapper"] = plainjson.render(wrapper).decode()
        copy = booster.copy()
        copy.set_attr(**kept)
        with path.open("xb") as file:
            file.write(copy.save_raw("ubj"))
        return {"class": f"xgboost.{kind}", "versions": of_class(xgboost.Booster)}

    def read(self, path: Path, wanted: str, meta: Mapping[str, Any]) -> Any:
        import xgboost

        data = bytearray(path.read_bytes())
        booster = xgboost.Booster()
        booster.load_model(data)
        kept: dict[str, Any] = booster.attributes()
        kind = kept.get("fairway.class", "Booster")
        booster.set_attr(**{name: None for name in kept if name.startswith("fairway.")})
        if kind == "Booster" or wanted == "xgboost.Booster":
            return booster
        cls = getattr(xgboost, kind, None)
        if cls is None or not issubclass(cls, xgboost.XGBModel):
            raise DefinitionError(f"xgboost {xgboost.__version__} has no {kind}", hint="read it with the version that wrote it")
        made = cls(**plainjson.parse(kept.get("fairway.params", "{}")))
        made.load_model(bytearray(booster.save_raw("ubj")))
        return made


def _booster_of(value: Any) -> Any:
    from sklearn.exceptions import NotFittedError

    try:
        return value.get_booster()
    except NotFittedError:
        raise DefinitionError(f"the {type(value).__name__} is not fitted yet", hint="call .fit(…) before returning it") from None


def _params(value: Any) -> dict[str, Any]:
    """The parameters that JSON can say; callbacks and functions only matter while training."""
    kept: dict[str, Any] = {}
    for name, param in value.get_params().items():
        try:
            plainjson.render(param)
        except plainjson.NotJson:
            continue
        if param is not None:
            kept[name] = param
    return kept
