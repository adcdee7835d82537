"""`python -m fairway.train.beside.tracker HOST PORT WORKERS`: XGBoost's tracker, until all its workers have left."""

from __future__ import annotations

import sys
from importlib import import_module


def main(host: str, port: int, workers: int) -> None:
    """Returns when the collective is over."""
    tracker = import_module("xgboost.tracker").RabitTracker(workers, host, port=port, sortby="task")
    tracker.start()
    tracker.wait_for()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
