"""A trial that does nothing but say its number, if it is asked to."""

import os
from pathlib import Path

import fairway as fw


@fw.step
def trial(x: float, y: float) -> float:
    if "STEPLOG" in os.environ:
        with Path(os.environ["STEPLOG"]).open("a") as log:
            log.write(f"{x!r} {y!r}\n")
    return (x - 2) ** 2 + (y + 1) ** 2
