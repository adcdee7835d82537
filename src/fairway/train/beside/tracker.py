"""`python -m fairway.train.beside.tracker HOST PORT WORKERS DOOR`: XGBoost's tracker, until all its workers have left.

DOOR is a port that is open while it runs: the tracker takes whoever connects to its own for a worker.
"""

from __future__ import annotations

import sys
from importlib import import_module

from fairway.train.beside.doors import open_door


def main(host: str, port: int, workers: int, door: int) -> None:
    """Returns when the collective is over."""
    tracker = import_module("xgboost.tracker").RabitTracker(workers, host, port=port, sortby="task")
    tracker.start()
    with open_door(host, door):
        tracker.wait_for()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))
