"""Four steps; the second and third call a helper. Each step that really runs writes its name into the file that STEPLOG names."""

import os

import fairway as fw


def note(name: str) -> None:
    with open(os.environ["STEPLOG"], "a") as file:
        file.write(f"{name}\n")


def scale(x: int) -> int:
    """Times a factor."""
    factor = 10
    return factor * x


@fw.step
def start() -> int:
    note("start")
    return 1


@fw.step
def scaled(x: int) -> int:
    """Scale it."""
    note("scaled")
    return scale(x)


@fw.step
def aside(x: int) -> int:
    note("aside")
    return x + 2


@fw.step
def finish(x: int, y: int) -> int:
    note("finish")
    return x + y


@fw.pipeline
def edited():
    x = start()
    return finish(scaled(x), aside(x))
