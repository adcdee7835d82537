"""One step gives a list, a map adds one to each number, a step sums them: one process for each item, or batches."""

import fairway as fw


@fw.step
def numbers(count: int) -> list[int]:
    return list(range(count))


@fw.step
def increment(x: int) -> int:
    return x + 1


@fw.step
def total(xs: list[int]) -> int:
    return sum(xs)


@fw.pipeline
def fan(count: int = 200):
    return total(increment(fw.each(numbers(count))))


@fw.pipeline
def hundreds(count: int = 10_000):
    return total(increment(fw.each(numbers(count), batch=100)))


@fw.pipeline
def thousands(count: int = 100_000):
    return total(increment(fw.each(numbers(count), batch=1000)))
