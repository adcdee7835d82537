"""XGBoost models as UBJSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fairway.errors import DefinitionError
from fairway.step import plainjson
from fairway.step.serializers.boosters import class_of, find_class, params_of
from fairway.step.serializers.versions import of_class

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class XgboostUbj:
    """xgboost.Booster and the scikit-learn wrappers <-> UBJSON. A wrapper's own parameters travel inside the model's attributes."""

    format, suffix, types = "xgboost", ".ubj", ("xgboost.XGBModel", "xgboost.Booster")

    def write(self, value: Any, path: Path) -> Mapping[str, Any]:
        import xgboost

        kind = class_of(value, "xgboost", "get_booster()")
        booster = value if isinstance(value, xgboost.Booster) else _booster_of(value)
        kept = {"fairway.class": kind}
        if booster is not value:
            given = {name: param for name, param in params_of(value).items() if param is not None}
            kept["fairway.params"] = plainjson.render(given).decode()
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
        made = find_class(xgboost, kind, xgboost.XGBModel)(**plainjson.parse(kept.get("fairway.params", "{}")))
        made.load_model(bytearray(booster.save_raw("ubj")))
        return made


def _booster_of(value: Any) -> Any:
    from sklearn.exceptions import NotFittedError

    try:
        return value.get_booster()
    except NotFittedError:
        raise DefinitionError(f"the {type(value).__name__} is not fitted yet", hint="call .fit(…) before returning it") from None
