"""Chains of 2, 20 and 100 steps, each adding one to what the step before it gave."""

import fairway as fw


@fw.step
def one() -> int:
    return 1


@fw.step
def increment(x: int) -> int:
    return x + 1


def chain(length: int):
    x = one()
    for _ in range(length - 1):
        x = increment(x)
    return x


@fw.pipeline
def chain2():
    return chain(2)


@fw.pipeline
def chain20():
    return chain(20)


@fw.pipeline
def chain100():
    return chain(100)
