"""The second of two steps raises KeyError."""

import fairway as fw


@fw.step
def one() -> int:
    return 1


@fw.step
def boom(x: int) -> int:
    y = {"a": x}
    return y["missing"]


@fw.pipeline
def failing():
    return boom(one())
