"""Many small tasks: in batches, on warm workers; and a chain of them."""

import os

import fairway as fw

POOL = fw.pool(size=2, idle="20s")


@fw.step(pool=POOL, cpu=0.05)
def numbers(count: int) -> list[int]:
    return list(range(count))


@fw.step(pool=POOL, cpu=0.05)
def square(x: int) -> tuple[int, str]:
    return x * x, os.environ["HOSTNAME"]


@fw.step(pool=POOL, cpu=0.05)
def summary(pairs: list[tuple[int, str]]) -> dict[str, int]:
    return {"sum": sum(value for value, _ in pairs), "workers": len({host for _, host in pairs})}


@fw.step(pool=POOL, cpu=0.05)
def add(x: int) -> int:
    return x + 1


@fw.pipeline
def batches(count: int = 60):
    return summary(fw.collect(square(fw.each(numbers(count), batch=10))))


@fw.pipeline
def chain():
    x = add(0)
    for _ in range(19):
        x = add(x)
    return x
