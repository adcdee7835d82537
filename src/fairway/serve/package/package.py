"""A model package as plain data: which folder, which kind of model, which of its files is the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fairway.spec.record import Record, field, record

CARD = "fairway-model.json"
SCHEMA = "schema.json"
EXAMPLE = "example.json"

KINDS = (
    *("sklearn", "xgboost", "lightgbm", "torch", "torchscript", "torch-export", "tensorflow", "keras", "onnx"),
    *("mlflow", "r", "script", "class"),
)

_NUMBERS = ("int", "uint", "float", "double", "bool", "any")


@record
class Package(Record):
    """`entry`: the model's file (or folder) relative to `folder`, "file.py:Class" for a class. `schema`: the parsed schema.json, None
    where there is none. `example`: a request that works, as its JSON says it. `lock`: digest of the environment's lock, "" if none is
    known. `options`: `method`, `batch`, `trust`, `device`, `class`, `model`, … as the user gave them, over those of the card.
    """

    folder: str
    kind: str
    name: str
    entry: str
    card: dict[str, Any] = field(default_factory=dict)
    schema: dict[str, Any] | None = None
    example: Any = None
    options: dict[str, Any] = field(default_factory=dict)
    lock: str = ""

    @property
    def path(self) -> Path:
        """The model's file or folder."""
        return Path(self.folder, self.entry.partition(":")[0])

    @property
    def trust(self) -> bool:
        """The user said that files which run code when they are read may be read."""
        return bool(self.options.get("trust"))

    @property
    def columns(self) -> dict[str, dict[str, Any]]:
        """What training said of the inputs: {column: {"type", "categories", …}}; {} where the card says nothing."""
        found = self.card.get("signature", {}).get("inputs", {})
        return {name: about if isinstance(about, dict) else {"type": str(about)} for name, about in found.items()}

    @property
    def columns_need_types(self) -> bool:
        """Some column was no number when the model was trained: text, categories, dates."""
        return any(not str(about.get("type", "any")).startswith(_NUMBERS) for about in self.columns.values())
