"""fw.Model as a folder: the estimator in its library's safe format, and `fairway-model.json`, the card that tells others how to use it.

fairway-model.json   framework, class, versions, signature, metrics, which file holds the estimator in which format
schema.json          JSON Schema (2020-12) of one request's inputs and outputs, where they are known
example.json         a request that works: {"inputs": [{column: value, …}, …]}
baseline.json        how the training data were distributed (fw.baseline), where it was given
transform/           features that are computed of a request before the estimator gets it (fw.transform), where there are any
model.skops | model.ubj | model.txt | model.safetensors | model.onnx | model.pkl, or the files of a folder that another library wrote

Which run made it is not in the card but with the run: the same model has the same digest, whoever trains it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairway.errors import DefinitionError, NotFoundError
from fairway.step import plainjson, serializers
from fairway.step.serializers import datafiles
from fairway.step.types import Metrics, Model

if TYPE_CHECKING:
    from collections.abc import Mapping

CARD = "fairway-model.json"
TRANSFORM = "transform"
_OWN = frozenset({CARD, "schema.json", "example.json", datafiles.BASELINE})
_FRAMEWORKS = {
    "MLmodel": "mlflow",
    "saved_model.pb": "tensorflow",
    ".keras": "keras",
    ".h5": "keras",
    ".onnx": "onnx",
    ".pt": "torch",
    ".pt2": "torch",
    ".R": "r",
}


class ModelFolder:
    """fw.Model <-> a folder with a card."""

    format, suffix, types = "model", "", ("fairway.Model",)

    def write(self, value: Model, path: Path) -> Mapping[str, Any]:
        return save(value, os.fspath(path), trust=value.trust)

    def write_trusted(self, value: Model, path: Path) -> Mapping[str, Any]:
        return save(value, os.fspath(path), trust=True)

    def read(self, path: Path, wanted: str, meta: Mapping[str, Any]) -> Model:
        return load(os.fspath(path), trust=False)

    def read_trusted(self, path: Path, wanted: str, meta: Mapping[str, Any]) -> Model:
        return load(os.fspath(path), trust=True)


def save(model: Model, folder: str, *, trust: bool) -> dict[str, Any]:
    """Write a model as a new folder; returns the meta of its artifact."""
    from fairway.step.serializers import signatures

    os.makedirs(folder)
    stored = model._estimator is None and model.folder
    about = _copy_files(model, folder) if stored else write_estimator(model._estimator, folder, trust)
    if model._transform is not None:
        model._transform.save(os.path.join(folder, TRANSFORM), trust=trust)
    signature = signatures.infer(model)
    card: dict[str, Any] = {
        "fairway": 1,
        "framework": about["framework"],
        "class": about["class"],
        "task": about.get("task", ""),
        "versions": about["versions"],
        "file": about["file"],
        "format": about["format"],
        "signature": signature,
        "metrics": dict(model.metrics),
    }
    if os.path.isdir(os.path.join(folder, TRANSFORM)):
        card["transform"] = TRANSFORM
    _write_data(model, folder, card, signatures.schema(signature))
    rows = signatures.example_rows(model.example)
    if rows is not None:
        card["example"] = "example.json"
        _write_json(folder, "example.json", {"inputs": rows})
    _write_json(folder, CARD, card)
    return {
        "framework": card["framework"],
        "class": card["class"],
        "versions": card["versions"],
        "metrics": dict(list(model.metrics.items())[:20]),
        "inputs": list(signature.get("inputs", {}))[:50],
    }


def _write_data(model: Model, folder: str, card: dict[str, Any], schema: dict[str, Any] | None) -> None:
    """The schema of requests and the baseline of the training data, where there are any; the card says so."""
    given = datafiles.given_of(model, "schema.json")
    card.pop("data_schema", None)
    if given is not None:
        schema = datafiles.request_schema(given, schema)
        card["data_schema"] = True
    if schema is not None:
        card["schema"] = "schema.json"
        datafiles.write(folder, "schema.json", schema)
    baseline = datafiles.given_of(model, datafiles.BASELINE)
    if baseline is not None:
        card["baseline"] = datafiles.BASELINE
        datafiles.write(folder, datafiles.BASELINE, baseline)


def load(folder: str, trust: bool) -> Model:
    """The model in `folder`; its estimator is read later. Raises NotFoundError."""
    try:
        with open(os.path.join(folder, CARD), encoding="utf-8") as file:
            card = json.load(file)
    except FileNotFoundError:
        raise NotFoundError(
            f"there is no {CARD} in {folder}", hint="a model's folder is what `fairway artifacts get RUN model` writes"
        ) from None
    made: Any = Model.__new__(Model)
    made.folder, made.card, made.trust = folder, card, trust
    made._estimator, made._transform, made._schema, made._baseline, made.example = None, None, None, None, None
    made.metrics, made.signature = Metrics(card.get("metrics", {})), card.get("signature", {})
    if "example" in card:
        made.example = plainjson.parse(Path(folder, card["example"]).read_bytes())["inputs"]
    return made


def load_estimator(model: Model) -> Any:
    """The trained object of a model that was read from a folder."""
    from fairway.step import refusals

    if not model.card:
        raise NotFoundError(f"{model.folder} is no model of Fairway's: it has no {CARD}", hint="load it with the library that wrote it")
    card = model.card
    refusals.warn_of_versions(card["class"] or card["framework"], card["versions"])
    if card["format"] == "files":
        raise NotFoundError("this model is a folder of files without an estimator", hint=f"open what you need in {model.folder}")
    return read_estimator(os.path.join(model.folder, card["file"]), card, model.trust)


def load_transform(model: Model) -> Any:
    """The features of a model that was read from a folder; None if it has none."""
    from fairway.step.transform import Transform

    name = model.card.get("transform", "")
    return Transform.load(os.path.join(model.folder, name), trust=model.trust) if name and model.folder else None


def read_estimator(path: str, about: Mapping[str, Any], trust: bool) -> Any:
    """What `write_estimator` wrote, told by what it returned. Raises DefinitionError for what must be trusted and is not."""
    from fairway.spec.artifact import ArtifactRef
    from fairway.step import artifacts, refusals

    if about["format"] == "pickle" and not trust:
        raise refusals.cannot_trust(ArtifactRef("", 0, "pickle", about["class"]))
    reader = serializers.find_for_format(about["format"])
    if reader is None:
        raise NotFoundError(f"there is no reader for {about['format']!r} here", hint="install the distribution that wrote it")
    return artifacts.read_with(reader, path, ArtifactRef("", 0, about["format"], about["class"]), "", trust)


def write_estimator(estimator: Any, folder: str, trust: bool, stem: str = "model") -> dict[str, Any]:
    """Write a fitted object into `folder` as its library's file; returns what its card says. Raises DefinitionError for what cannot be."""
    kind = type(estimator)
    writer: Any = serializers.find_for_class(kind)
    if writer is None and trust:
        writer = serializers.find_for_format("pickle")
    if writer is None or estimator is None or writer.format in ("text", "bytes", "arrow"):
        from fairway.step import refusals

        raise refusals.cannot_store(estimator, "model")
    path = Path(folder, f"{stem}{writer.suffix}")
    meta = dict(writer.write_trusted(estimator, path) if trust and hasattr(writer, "write_trusted") else writer.write(estimator, path))
    form = meta.get("format", writer.format)
    if form != writer.format:
        found = serializers.find_for_format(form)
        assert found is not None
        path = path.rename(path.with_suffix(found.suffix))
    return {
        "framework": kind.__module__.partition(".")[0] if not _is_torch(kind) else "torch",
        "class": f"{kind.__module__}.{kind.__qualname__}",
        "task": _task(estimator),
        "versions": _versions(meta.get("versions", {})),
        "file": path.name,
        "format": form,
    }


def _versions(found: Mapping[str, str]) -> dict[str, str]:
    from fairway.step.refusals import find_version

    return {"python": find_version("python") or "", **found}


def _is_torch(kind: type) -> bool:
    return any(parent.__module__.startswith("torch.") for parent in kind.__mro__)


def _task(estimator: Any) -> str:
    """ "classifier", "regressor", … where the estimator says so."""
    if not hasattr(estimator, "predict") or not hasattr(estimator, "get_params"):
        return ""  # a network, a booster: asking scikit-learn would cost the seconds of importing it
    try:
        from sklearn.base import is_classifier, is_regressor
    except ImportError:
        return ""
    return "classifier" if is_classifier(estimator) else "regressor" if is_regressor(estimator) else ""


def _copy_files(model: Model, folder: str) -> dict[str, Any]:
    """The files of a model that lies in a folder already, or its one file."""
    import shutil

    if os.path.isfile(model.folder):
        name = os.path.basename(model.folder)
        shutil.copy2(model.folder, os.path.join(folder, name))
        return _about_files([name])
    if not os.path.isdir(model.folder):
        raise NotFoundError(
            f"there is no folder {model.folder} to make a model of", hint="pass an estimator, or the folder it was saved to"
        )
    for entry in os.scandir(model.folder):
        if entry.name in _OWN and model.card:
            continue
        if entry.is_dir():
            shutil.copytree(entry.path, os.path.join(folder, entry.name))
        else:
            shutil.copy2(entry.path, os.path.join(folder, entry.name))
    if model.card:
        return model.card
    files = sorted(os.listdir(folder))
    if not files:
        raise DefinitionError(f"the folder {model.folder} is empty", hint="save the model into it first")
    return _about_files(files)


def _about_files(files: list[str]) -> dict[str, Any]:
    """What the names of files say of a model whose library is not asked."""
    framework = next((_FRAMEWORKS[mark] for name in files for mark in (name, os.path.splitext(name)[1]) if mark in _FRAMEWORKS), "")
    file = files[0] if len(files) == 1 else ""
    return {"framework": framework, "class": "", "versions": _versions({}), "file": file, "format": "files"}


def _write_json(folder: str, name: str, data: Any) -> None:
    text = json.dumps(data, indent=1, ensure_ascii=False)
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        file.write(text + "\n")
