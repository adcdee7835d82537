"""A map over many numbers; each task that really runs adds a line to the file that STEPLOG names."""

import os

import fairway as fw


@fw.step
def numbers(count: int) -> list[int]:
    return list(range(count))


@fw.step
def increment(x: int) -> int:
    with open(os.environ["STEPLOG"], "a") as file:
        file.write(f"{x}\n")
    return x + 1


@fw.step
def total(xs: list[int]) -> int:
    return sum(xs)


@fw.pipeline
def resumed(count: int = 10_000):
    return total(increment(fw.each(numbers(count))))
