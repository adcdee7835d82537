"""A chain and a map in a module that imports pandas and scikit-learn, fits a model while it is imported, and uses both in every step."""

import numpy as np
import pandas as pd
from sklearn.linear_model import LinearRegression

import fairway as fw

MODEL = LinearRegression().fit(np.arange(100.0).reshape(-1, 1), np.arange(1.0, 101.0))


def predict(x: int) -> int:
    """x + 1: the model says so."""
    table = pd.Series([x])
    return round(float(MODEL.predict(table.to_numpy().reshape(-1, 1))[0]))


def fit(x: int) -> int:
    """x + 1: the constant of a line that is fitted to a table here, in the step's own process (BLAS runs after the fork)."""
    table = pd.Series(range(50)).astype(float)
    line = LinearRegression().fit(table.to_numpy().reshape(-1, 1), table + x + 1)
    return round(float(line.intercept_))


@fw.step
def one() -> int:
    return predict(0)


@fw.step
def increment(x: int) -> int:
    return predict(x)


@fw.step
def numbers(count: int) -> list[int]:
    return list(range(count))


@fw.step
def fitted(x: int) -> int:
    return fit(x)


@fw.step
def total(xs: list[int]) -> int:
    return sum(xs)


def chain(length: int):
    x = one()
    for _ in range(length - 1):
        x = increment(x)
    return x


@fw.pipeline
def chain2():
    return chain(2)


@fw.pipeline
def chain100():
    return chain(100)


@fw.pipeline
def fan(count: int = 200):
    return total(increment(fw.each(numbers(count))))


@fw.pipeline
def fits(count: int = 200):
    return total(fitted(fw.each(numbers(count))))
