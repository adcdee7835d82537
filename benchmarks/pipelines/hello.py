"""Two steps that pass an int."""

import fairway as fw


@fw.step
def one() -> int:
    return 1


@fw.step
def increment(x: int) -> int:
    return x + 1


@fw.pipeline
def hello():
    return increment(one())
