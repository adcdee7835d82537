"""Of each text the five most likely emojis, with how likely each is."""

import os

import pandas as pd

import fairway as fw

fairway_batch = True  # texts of several callers may come together: the answer has one entry for each


def init():
    """Called once, before the first request."""
    global model
    model = fw.Model.load(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model"))


def run(texts: pd.DataFrame):
    """`texts`: a table with the column `text`."""
    emojis = model.estimator.classes_
    answers = []
    for scores in model.predict_proba(texts["text"]):
        best = scores.argsort()[::-1][:5]
        answers.append({"emojis": [{"emoji": str(emojis[n]), "score": round(float(scores[n]), 4)} for n in best]})
    return answers
