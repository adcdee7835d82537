"""Steps that do next to nothing: what is measured is all the rest."""

import fairway as fw

POOL = fw.pool(size=8, idle="60s")


@fw.step(cpu=0.05)
def one(x: int) -> int:
    return x + 1


@fw.step(cpu=0.05, pool=POOL)
def warm(x: int) -> int:
    return x + 1


@fw.step(cpu=0.05, pool=POOL)
def numbers(count: int) -> list[int]:
    return list(range(count))


@fw.step(cpu=0.05, pool=POOL)
def total(xs: list[int]) -> int:
    return sum(xs)


@fw.pipeline
def single(x: int = 1):
    return one(x)


@fw.pipeline
def chain():
    x = warm(0)
    for _ in range(19):
        x = warm(x)
    return x


@fw.pipeline
def many(count: int = 1000):
    return total(fw.collect(warm(fw.each(numbers(count), batch=25))))
