"""Asks for more than any node has."""

import fairway as fw


@fw.step(memory="900TiB")
def huge() -> int:
    return 1


@fw.pipeline
def refused():
    return huge()
