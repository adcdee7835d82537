"""Networks that stored modules name."""

from __future__ import annotations

from typing import Any

from torch import nn


class Net(nn.Module):
    def __init__(self, hidden: int = 4, *, dropout: float = 0.1) -> None:
        super().__init__()
        self.hidden, self.dropout = hidden, dropout
        self.body = nn.Sequential(nn.Linear(3, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, 1))

    def forward(self, x: Any) -> Any:
        return self.body(x)


class Forgetful(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, 1)
