"""Loads the model once, then says of each customer how likely a default is.

python train.py && fairway serve score.py
"""

import os

import pandas as pd

import fairway as fw

fairway_batch = True  # rows of several callers may come together: the answer has one entry for each row


def init():
    """Called once, before the first request."""
    global model
    model = fw.Model.load(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model"))


def run(customers: pd.DataFrame):
    """One entry for each customer: the risk, and what to do about it."""
    risk = model.predict_proba(customers)[:, 1]
    return [{"risk": round(float(r), 4), "decision": "ask for more" if r > 0.5 else "accept"} for r in risk]
