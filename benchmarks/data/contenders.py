"""Who else infers schemas and validates tables, each in an environment of its own.

It is called `data-NAME` and made by `python -m benchmarks peers install data-NAME`.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.data import validators
from benchmarks.peers import Peers
from benchmarks.process import CommandError
from benchmarks.serving import contenders as servers

_PROGRAM = Path(validators.__file__)
_VERSION = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"


@dataclass(frozen=True)
class Contender:
    """`name`: as `validators.py` knows it. `distribution`: what brings it, of which the version is said. `installs`: what its environment
    takes beside that. `whole`: a list of everything, for one whose requirements pip cannot bring together in an hour."""

    name: str
    distribution: str
    environment: str = ""
    installs: tuple[str, ...] = ("pyarrow",)
    whole: str = ""

    @property
    def folder(self) -> str:
        return f"data-{self.environment or self.name}"

    @property
    def words(self) -> tuple[str, ...]:
        """What pip is given."""
        return ("-r", str(_PROGRAM.with_name(self.whole))) if self.whole else (self.distribution, *self.installs)


EVIDENTLY = ("pandas<3", "pyarrow")
"""What it needs and does not say: 0.7.23 does not begin with pandas 3."""
CONTENDERS = (
    Contender("tfdv", "tensorflow-data-validation", whole="tfdv.txt"),
    Contender("gx", "great-expectations"),
    Contender("pandera", "pandera[pandas]"),
    Contender("evidently", "evidently", installs=EVIDENTLY),
    Contender("evidently, both presets", "evidently", "evidently", EVIDENTLY),
)
OURS_FOLDER = "data-fairway"
POLARS_FOLDER = "data-polars"


def install(names: Sequence[str], environments: Path) -> int:
    """Make the environments named `data-…`; returns how many could not be made."""
    known = {one.folder: one.words for one in CONTENDERS} | {OURS_FOLDER: ("{fairway}[data]",), POLARS_FOLDER: ("polars",)}
    return servers.install(names, environments, known)


@dataclass(frozen=True)
class Present:
    """A contender that takes part, its interpreter, and its name with its version."""

    contender: Contender
    python: Path
    label: str

    def run(self, what: str, reference: str, *files: str, timeout_s: float = 900) -> list[str]:
        """The lines that `validators.py` prints. Raises CommandError."""
        return run_lines([str(self.python), str(_PROGRAM), self.contender.name, what, reference, *files], timeout_s=timeout_s)


def present(peers: Peers, *, each_once: bool = False) -> Iterator[Present]:
    """Those that are wanted and installed. `each_once`: one of those who share an environment."""
    seen = set[str]()
    for one in CONTENDERS:
        python = peers.environments / one.folder / "bin/python"
        if is_wanted(peers, one) and python.exists() and not (each_once and one.folder in seen):
            seen.add(one.folder)
            yield Present(one, python, label(one.name, python, one.distribution))


def absent(peers: Peers) -> list[Contender]:
    """Those that are wanted and not installed."""
    return [one for one in CONTENDERS if is_wanted(peers, one) and not (peers.environments / one.folder / "bin/python").exists()]


def is_wanted(peers: Peers, one: Contender) -> bool:
    return peers.wanted is None or one.name in peers.wanted or one.folder in peers.wanted


def label(name: str, python: Path, distribution: str) -> str:
    """The name with the version: "evidently 0.7.23, both presets"."""
    version = run_lines([str(python), "-c", _VERSION, distribution.partition("[")[0]])[0]
    first, comma, rest = name.partition(",")
    return f"{first} {version}{comma}{rest}"


def run_lines(words: Sequence[str], *, core: bool = False, timeout_s: float = 1800, folder: Path | None = None) -> list[str]:
    """What a program prints, line by line; `core`: it has one core. Raises CommandError."""
    pinned = ["taskset", "-c", "0", *words] if core else list(words)
    named = " ".join(Path(word).name for word in words[1:4])
    try:
        done = subprocess.run(pinned, capture_output=True, text=True, timeout=timeout_s, check=False, cwd=folder or servers.ROOT)
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"{named}: did not end within {timeout_s:g} s") from error
    if done.returncode:
        last = ([line for line in done.stderr.splitlines() if line.strip()] or ["it failed"])[-1]
        raise CommandError(f"{named}: exit status {done.returncode}: {last[:200]}")
    return done.stdout.splitlines()


def run_json(words: Sequence[str], *, core: bool = False, timeout_s: float = 1800) -> dict[str, float]:
    """The last line that a program prints, which is JSON. Raises CommandError."""
    return json.loads(run_lines(words, core=core, timeout_s=timeout_s)[-1])
