"""Commands that start ranks themselves (`torchrun`, `accelerate launch`, `deepspeed`): one of them for each replica, told what is missing.

People write the launcher that they know; where it listens, how many there are and which one it is they leave out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fairway.spec.gang import Place


def first_of_replica(place: Place, argv: Sequence[str]) -> Sequence[str]:
    """The launcher's command line for the first process of a replica; () for the others, which it starts."""
    return () if place.local_rank else argv


def runs_module(argv: Sequence[str], *modules: str) -> bool:
    """Whether it is `python -m MODULE …` of one of them."""
    return len(argv) > 2 and argv[1] == "-m" and argv[2] in modules


def with_arguments(argv: Sequence[str], at: int, wanted: Mapping[str, str]) -> list[str]:
    """`argv` with those options put in at `at` that its author has not written. An option without a value has ""."""
    written = {word.partition("=")[0].replace("-", "_") for word in argv[at:] if word.startswith("--")}
    added = [word for name, value in wanted.items() if name.replace("-", "_") not in written for word in (name, value) if word]
    return [*argv[:at], *added, *argv[at:]]
