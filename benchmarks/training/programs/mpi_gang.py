"""The same loop as a step; every error is logged."""

import os

from mpi_loop import train

import fairway as fw


@fw.step(gang=fw.gang(replicas=2, framework="mpi", stall_timeout="1m"), cache=False)
def fit() -> int:
    train(int(os.environ["STEPS"]), lambda step, error: fw.log(error=error, step=step))
    return 1


@fw.pipeline
def mpi_gang():
    return fit()
