"""How big an installed distribution is, with all that it requires. Run as a script by an environment's own Python; prints JSON."""

from __future__ import annotations

import json
import sys
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import cache_from_source
from pathlib import Path


def measure_installed(name: str) -> dict[str, float]:
    """{"distributions": …, "mb": …} of the distribution and what it requires, as installed here. Compiled files count."""
    from pip._vendor.packaging.requirements import Requirement

    seen: dict[str, set[str]] = {}
    waiting = [(name, frozenset[str]())]
    size = 0
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
            size += sum(map(size_of, {Path(str(file.locate())) for file in found.files or ()}))
        seen[key] = seen.get(key, set()) | extras
        for text in found.requires or ():
            needed = Requirement(text)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                waiting.append((needed.name, frozenset(needed.extras)))
    return {"distributions": len(seen), "mb": round(size / 1e6, 2)}


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
    print(json.dumps(measure_installed(sys.argv[1])))
