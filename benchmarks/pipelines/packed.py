"""A step with packages of its own, for an image to hold."""

import fairway as fw

ADDED = 1


@fw.step(env=fw.env(packages=["numpy==2.*"]))
def add(x: int) -> int:
    return x + ADDED


@fw.pipeline
def packed(x: int = 1):
    return add(x)
