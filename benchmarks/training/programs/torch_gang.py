"""The same loop as a step; every loss is logged."""

import os

from torch_loop import train

import fairway as fw


@fw.step(gang=fw.gang(replicas=2, framework="torch", stall_timeout="1m"), cache=False)
def fit() -> int:
    train(int(os.environ["STEPS"]), lambda step, loss: fw.log(loss=loss, step=step))
    return 1


@fw.pipeline
def torch_gang():
    return fit()
