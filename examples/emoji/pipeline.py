"""Text to the five most likely emojis.

Learns from words and parts of words with two linear models whose probabilities are averaged, and packages the result to be served.

    fairway run pipeline.py                       the 280 texts that the example carries
    fairway run pipeline.py --path emoji/         a folder of texts and labels
    fairway serve last/package                    then ask it
"""

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import score
from serving import EXAMPLE, SCHEMA
from sklearn.ensemble import VotingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import SGDClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import FeatureUnion, Pipeline
from texts import TOP, carried, given, judged

import fairway as fw


class Texts(NamedTuple):
    train: pd.DataFrame
    valid: pd.DataFrame


@fw.step
def load(path: fw.Directory | None = None) -> Texts:
    """Texts with the emoji each had: of a folder, or those that the example carries."""
    train, valid = given(path) if path else carried()
    fw.log(train=len(train), valid=len(valid), emojis=train["emoji"].nunique())
    return Texts(train, valid)


@fw.step
def fit(train: pd.DataFrame, valid: pd.DataFrame, evenness: float) -> fw.Model:
    """A bag of words and of letters, a linear classifier, and naive Bayes, which is linear too."""
    rare = 3 if len(train) > 5_000 else 1
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=rare, sublinear_tf=True, token_pattern=r"(?u)#?\w+|[^\w\s]")
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), min_df=2 * rare, sublinear_tf=True, max_features=60_000)
    shares = train["emoji"].value_counts(normalize=True).sort_index()
    weights = {n: float((1 / len(shares) / share) ** evenness) for n, share in enumerate(shares)}  # the voting numbers its classes
    priors = (shares ** (1 - evenness)).to_numpy()
    linear = SGDClassifier(loss="log_loss", alpha=1e-5, max_iter=5, tol=None, average=True, class_weight=weights, random_state=0)
    bayes = MultinomialNB(alpha=0.05, class_prior=priors / priors.sum())
    model = Pipeline([
        ("text", FeatureUnion([("words", words), ("letters", letters)])),
        ("emoji", VotingClassifier([("linear", linear), ("bayes", bayes)], voting="soft")),
    ])  # fmt: skip
    model.fit(train["text"], train["emoji"])
    found = judged(valid["emoji"].to_numpy(), model.predict_proba(valid["text"]), model.classes_)
    fw.log(**found)
    return fw.Model(model, metrics=found)


class Shown(NamedTuple):
    by_emoji: fw.Table
    examples: fw.Table


@fw.step
def show(model: fw.Model, valid: pd.DataFrame) -> Shown:
    """Which emojis it finds, and what it says of some texts."""
    emojis = model.estimator.classes_
    order = model.predict_proba(valid["text"]).argsort(axis=1)[:, ::-1][:, :TOP]
    hit = valid.assign(first=emojis[order[:, 0]] == valid["emoji"], five=(emojis[order] == valid["emoji"].to_numpy()[:, None]).any(axis=1))
    groups = hit.groupby("emoji").agg(texts=("text", "size"), first=("first", "mean"), five=("five", "mean")).round(3)
    some = valid.assign(likely=["".join(emojis[row]) for row in order])[["text", "emoji", "likely"]].iloc[:: max(1, len(valid) // 10)]
    return Shown(fw.Table(groups.reset_index(), title="How often it is first, and in five"), fw.Table(some, title="Some texts"))


@fw.step
def package(model: fw.Model) -> fw.Directory:
    """A folder to be served: the model, the script that asks it, the schema of what goes in and comes out."""
    folder = Path("package")
    folder.mkdir()
    shutil.copy(score.__file__, folder / "score.py")
    for name, document in (("schema.json", SCHEMA), ("example.json", EXAMPLE)):
        (folder / name).write_text(json.dumps(document, indent=1))
    model.save(folder / "model")
    return fw.Directory(folder)


@fw.pipeline
def emoji(path: fw.Directory | None = None, evenness: float = 0.35):
    """Learn which emojis go with a text; judge on texts held out; package for serving.

    Args:
        path: a folder with texts and labels; without it the few that the example carries
        evenness: 0 learns emojis as often as they come, 1 all alike
    """
    texts = load(path)
    model = fit(texts.train, texts.valid, evenness)
    shown = show(model, texts.valid)
    return {"model": model, "package": package(model), "by_emoji": shown.by_emoji, "examples": shown.examples}
