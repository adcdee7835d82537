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
    """`argv` with those options put in at `at` that its author has not written before the script. An option without a value has ""."""
    script = next((number for number, word in enumerate(argv) if number >= at and word.endswith((".py", ".sh"))), len(argv))
    written = {_named(word) for word in argv[at:script] if word.startswith("--")}
    added = [word for name, value in wanted.items() if _named(name) not in written for word in (name, value) if word]
    return [*argv[:at], *added, *argv[at:]]


def _named(option: str) -> str:
    return option.partition("=")[0].replace("-", "_")
