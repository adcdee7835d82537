"""How big installed distributions are, with all that they require. Run as a script by an environment's own Python: NAME[EXTRA] …, then
`--less` and those that are there anyway. Prints JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import cache_from_source
from pathlib import Path


def measure_installed(*names: str, less: Sequence[str] = ()) -> dict[str, float]:
    """{"distributions": …, "mb": …} of the distributions and what they require, as installed here, without what `less` and what that
    requires. Compiled files count."""
    there = list_installed(*less)
    sizes = [size for name, size in list_installed(*names).items() if name not in there]
    return {"distributions": len(sizes), "mb": round(sum(sizes) / 1e6, 2)}


def list_installed(*names: str) -> dict[str, int]:
    """Bytes of each distribution that these need, themselves among them; "name[extra]" asks for an extra."""
    from pip._vendor.packaging.requirements import Requirement

    seen: dict[str, set[str]] = {}
    sizes: dict[str, int] = {}
    waiting = [(wanted.name, frozenset(wanted.extras)) for wanted in map(Requirement, names)]
    while waiting:
        name, extras = waiting.pop()
        key = name.lower().replace("_", "-").replace(".", "-")
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue  # not for this Python or system
        if key in seen and extras <= seen[key]:
            continue
        if key not in seen:
            sizes[key] = sum(map(size_of, {Path(str(file.locate())) for file in found.files or ()}))
        seen[key] = seen.get(key, set()) | extras
        for text in found.requires or ():
            needed = Requirement(text)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                waiting.append((needed.name, frozenset(needed.extras)))
    return sizes


def size_of(path: Path) -> int:
    """Bytes of a file and of what Python compiled it to; compiled files themselves are counted with their source."""
    if path.suffix == ".pyc" or not path.is_file():
        return 0
    size = path.stat().st_size
    if path.suffix == ".py":
        compiled = Path(cache_from_source(str(path)))
        size += compiled.stat().st_size if compiled.is_file() else 0
    return size


if __name__ == "__main__":
    words, _, anyway = " ".join(sys.argv[1:]).partition("--less")
    print(json.dumps(measure_installed(*words.split(), less=anyway.split())))
