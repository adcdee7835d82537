"""Customers of a bank that does not exist, in the columns of a data set that does.

The columns, their order and their codes are those of "default of credit card clients" (UCI Machine Learning
Repository, 30,000 customers of a bank in Taiwan, April to September 2005), odd codes included. The rows are invented by
the process below, so that the example needs no download. Run it alone to get the file: `python generate.py customers.csv`.

The process, one customer at a time (the code does all at once):

1. **Who.** Sex, age, education, marriage are drawn with the shares of the real file. About one in a hundred has a code that
   the data's own description does not know: EDUCATION 0, 5, 6 and MARRIAGE 0.
2. **Two things nobody sees.** *Means* (what the customer can pay; grows with education and age) and *discipline* (how
   likely the customer pays on time; grows a little with means). They are what the models try to guess.
3. **Credit limit.** The bank sees part of the means and rounds to 10,000.
4. **Six months,** April to September, after six more that the file does not show. Each month the customer spends a share
   of the limit (the bill), pays it in full, in part, or not. Not paying adds a month of delay; paying sets it back. PAY_x
   is the delay in months: -2 no spending, -1 paid in full, 0 paid in part, 1 and more: so many months late. PAY_0 is
   September (the real file skips PAY_1, so do we).
5. **Default in October.** A coin with a probability that rises with September's delay, with how much of the limit is used,
   and with low discipline and means. Part of it is luck: no model can reach an AUC of 1.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

TARGET = "default.payment.next.month"
DELAYS = ["PAY_0", "PAY_2", "PAY_3", "PAY_4", "PAY_5", "PAY_6"]  # September back to April
BILLS = [f"BILL_AMT{i}" for i in range(1, 7)]
PAYMENTS = [f"PAY_AMT{i}" for i in range(1, 7)]
COLUMNS = ["ID", "LIMIT_BAL", "SEX", "EDUCATION", "MARRIAGE", "AGE", *DELAYS, *BILLS, *PAYMENTS, TARGET]
FEATURES = COLUMNS[1:-1]
RANGES = {"LIMIT_BAL": (1, 10**8), "SEX": (1, 2), "AGE": (18, 110), TARGET: (0, 1)} | dict.fromkeys(DELAYS, (-2, 9))
KNOWN_CODES = {"EDUCATION": {1, 2, 3, 4}, "MARRIAGE": {1, 2, 3}}

EDUCATION_SHARES = {1: 0.353, 2: 0.468, 3: 0.164, 4: 0.0041, 5: 0.0093, 6: 0.0017, 0: 0.0005}
MARRIAGE_SHARES = {1: 0.455, 2: 0.532, 3: 0.0108, 0: 0.0018}


def generate(rows: int = 30_000, seed: int = 2005) -> pd.DataFrame:
    """`rows` invented customers; the same `rows` and `seed` give the same table."""
    rng = np.random.default_rng(seed)
    sex = rng.choice([1, 2], rows, p=[0.4, 0.6])
    age = np.clip(21 + rng.gamma(2.0, 7.2, rows), 21, 79).astype(int)
    education = _draw(rng, EDUCATION_SHARES, rows)
    marriage = _draw(rng, MARRIAGE_SHARES, rows)

    means = rng.normal(0, 1, rows) + 0.5 * (education == 1) - 0.4 * (education == 3) + 0.012 * (age - 35)
    discipline = rng.normal(0, 1, rows) + 0.25 * means
    limit = np.clip(np.round(np.exp(11.75 + 0.55 * means + rng.normal(0, 0.45, rows)) / 10_000), 1, 80) * 10_000

    delays, bills, payments = _six_months(rng, limit, means, discipline)
    risk = (
        -2.05
        + 1.05 * np.minimum(np.maximum(delays[-1], 0), 3)
        + 0.25 * np.maximum(delays[-2], 0)
        + 0.55 * np.clip(bills[-1] / limit, 0, 1)
        - 0.50 * discipline
        - 0.25 * means
    )
    default = rng.random(rows) < 1 / (1 + np.exp(-risk))

    data = {"ID": np.arange(1, rows + 1), "LIMIT_BAL": limit, "SEX": sex, "EDUCATION": education, "MARRIAGE": marriage, "AGE": age}
    for names, months in ((DELAYS, delays), (BILLS, bills), (PAYMENTS, payments)):
        data |= dict(zip(names, reversed(months), strict=True))  # the file counts back from September
    return pd.DataFrame(data | {TARGET: default})[COLUMNS].astype("int64")


def _draw(rng: np.random.Generator, shares: dict[int, float], rows: int) -> np.ndarray:
    weights = np.array(list(shares.values()))
    return rng.choice(list(shares), rows, p=weights / weights.sum())


def _six_months(rng: np.random.Generator, limit: np.ndarray, means: np.ndarray, discipline: np.ndarray) -> tuple[list, list, list]:
    """Delay, bill and payment of the last six of twelve months, oldest first."""
    rows = len(limit)
    uses_card = rng.random(rows) < 0.92
    pays_in_full = rng.random(rows) < 1 / (1 + np.exp(1.2 - 0.9 * means))
    spends = np.clip(rng.beta(1.1, 2.6, rows) - 0.06 * means, 0.01, 1.1)  # share of the limit that a month's bill tends to
    late = np.zeros(rows)
    bill = limit * spends * uses_card
    delays, bills, payments = [], [], []
    for _ in range(12):
        on_time = rng.random(rows) < 1 / (1 + np.exp(-(2.3 + 1.1 * discipline - 0.9 * (late > 0))))
        late = np.where(on_time, np.maximum(late - 2, 0), np.minimum(late + 1, 8)) * uses_card
        paid = np.where(pays_in_full, bill, bill * rng.beta(1.0, 9.0, rows)) * (late == 0)
        status = np.where(~uses_card, -2, np.where(late > 0, late, np.where(pays_in_full, -1, 0)))
        delays.append(status)
        bills.append(np.round(bill))
        payments.append(np.round(paid))
        bill = uses_card * np.clip(0.6 * (bill - paid) + 0.4 * limit * spends * rng.gamma(4.0, 0.25, rows), 0, 1.2 * limit)
    return delays[-6:], bills[-6:], payments[-6:]


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "customers.csv")
    generate().to_csv(target, index=False)
    print(f"{target}: 30,000 customers, {target.stat().st_size / 1e6:.1f} MB")
