"""Short texts and the emoji that each had: a folder of them, or the few that the example carries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from carried import TEXTS

TOP = 5


def carried() -> tuple[pd.DataFrame, pd.DataFrame]:
    """(train, valid) of the 280 texts in carried.py: of each emoji 10 to train, 4 to judge."""
    rows = [(text, emoji) for emoji, texts in TEXTS.items() for text in texts.strip().splitlines()]
    table = pd.DataFrame(rows, columns=["text", "emoji"])
    held_out = table.groupby("emoji").cumcount() % 7 >= 5
    return table[~held_out].reset_index(drop=True), table[held_out].reset_index(drop=True)


def given(folder: str | Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(train, valid) of a folder with train_text.txt, train_labels.txt, val_text.txt, val_labels.txt and mapping.txt, a text a line."""
    folder = Path(folder)
    emojis = {line.split("\t")[0]: line.split("\t")[1] for line in _lines(folder / "mapping.txt")}
    return _part(folder, "train", emojis), _part(folder, "val", emojis)


def _part(folder: Path, name: str, emojis: dict[str, str]) -> pd.DataFrame:
    texts, labels = _lines(folder / f"{name}_text.txt"), _lines(folder / f"{name}_labels.txt")
    if len(texts) != len(labels):
        raise ValueError(f"{folder / name}: {len(texts):,} texts, but {len(labels):,} labels")
    unknown = set(labels) - set(emojis)
    if unknown:
        raise ValueError(f"{folder / name}_labels.txt has a label that mapping.txt does not: {sorted(unknown)[0]!r}")
    return pd.DataFrame({"text": texts, "emoji": [emojis[label] for label in labels]})


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")  # not splitlines: texts hold other line ends


def judged(true: np.ndarray, scores: np.ndarray, emojis: np.ndarray) -> dict[str, float]:
    """Macro F1 of the likeliest emoji, and how often the true one is among the five likeliest."""
    from sklearn.metrics import f1_score

    likeliest = np.argsort(-scores, axis=1)[:, :TOP]
    f1 = f1_score(true, emojis[likeliest[:, 0]], average="macro")
    return {"macro_f1": float(f1), "top5": float((emojis[likeliest] == np.asarray(true)[:, None]).any(axis=1).mean())}
