"""LightGBM models in LightGBM's own text format."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fairway.errors import DefinitionError
from fairway.step import plainjson
from fairway.step.serializers.boosters import class_of, find_class, params_of
from fairway.step.serializers.versions import of_class

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_MARK = "\nfairway:"


class LightgbmText:
    """lightgbm.Booster and the scikit-learn wrappers <-> text. What the wrapper knows stands in one line of JSON at the end."""

    format, suffix, types = "lightgbm", ".txt", ("lightgbm.LGBMModel", "lightgbm.Booster")

    def write(self, value: Any, path: Path) -> Mapping[str, Any]:
        import lightgbm

        kind = class_of(value, "lightgbm", "booster_")
        wrapped = not isinstance(value, lightgbm.Booster)
        if wrapped and not value.__sklearn_is_fitted__():
            raise DefinitionError(f"the {kind} is not fitted yet", hint="call .fit(…) before returning it")
        booster = value.booster_ if wrapped else value
        about: dict[str, Any] = {"class": kind}
        if wrapped:
            about["params"] = plainjson.encode(params_of(value), lambda v: None)
            about["features"] = int(value.n_features_in_)
            if hasattr(value, "classes_"):
                classes = value.classes_
                about["classes"] = {"dtype": classes.dtype.str, "values": [v.item() if hasattr(v, "item") else v for v in classes]}
        text = booster.model_to_string(num_iteration=-1) + _MARK + json.dumps(about, separators=(",", ":"))
        path.write_bytes(text.encode())
        return {"class": f"lightgbm.{kind}", "versions": of_class(lightgbm.Booster)}

    def read(self, path: Path, wanted: str, meta: Mapping[str, Any]) -> Any:
        import lightgbm

        text, _, tail = path.read_text(encoding="utf-8").rpartition(_MARK)
        about = json.loads(tail) if text else {}
        booster = lightgbm.Booster(model_str=text or tail)
        kind = about.get("class", "Booster")
        if kind == "Booster" or wanted == "lightgbm.Booster":
            return booster
        return _wrap(find_class(lightgbm, kind, lightgbm.LGBMModel)(**plainjson.parse(json.dumps(about["params"]))), booster, about)


def _wrap(made: Any, booster: Any, about: dict[str, Any]) -> Any:
    """LightGBM has no call for this: give the wrapper what `fit` would have left in it."""
    import numpy as np

    made._Booster = booster
    made.fitted_ = True
    made._n_features = made._n_features_in = about["features"]
    made._best_iteration = booster.best_iteration
    made._objective = booster.params.get("objective") or booster.dump_model(num_iteration=1)["objective"].partition(" ")[0]
    if "classes" in about:
        from sklearn.preprocessing import LabelEncoder

        classes = np.array(about["classes"]["values"], dtype=about["classes"]["dtype"])
        encoder: Any = LabelEncoder().fit(classes)
        made._le = encoder
        made._classes, made._n_classes = encoder.classes_, len(classes)
        made._class_map = dict(zip(encoder.classes_, encoder.transform(encoder.classes_), strict=True))
    return made
