"""`python -m fairway.web.previews`: looks into artifacts as it is asked to, a line of JSON each, until nobody asks any more."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from typing import Any

from fairway.web.previews.sights import CannotSee, see
from fairway.web.previews.source import Source

NO_MEMORY = 71
_LIBRARIES = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "ARROW_NUM_THREADS": "2", "ARROW_DEFAULT_MEMORY_POOL": "system"}


def main() -> int:
    """Answer until stdin ends."""
    os.environ.update({name: value for name, value in _LIBRARIES.items() if name not in os.environ})
    asks, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    os.nice(5)  # the server goes first
    limit_memory(int(os.environ.get("FAIRWAY_PREVIEW_MEMORY_BYTES", "0")))
    while line := asks.readline():
        try:
            answer = answer_to(json.loads(line), asks, answers)
        except MemoryError:
            os._exit(NO_MEMORY)
        answer["rss_bytes"] = rss_bytes()
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()
    return 0


def answer_to(request: dict[str, Any], asks: Any, answers: Any) -> dict[str, Any]:
    """What is seen, or why nothing is."""
    source = Source(request["source"], asks, answers, name=str(request["name"]))
    try:
        return see(request["what"], source, {**request["args"], "home": request["home"]})
    except CannotSee as error:
        return {"problem": error.problem, "hint": error.hint}
    except MemoryError:
        raise
    except ImportError as error:
        return _missing(error)
    except Exception as error:  # whatever a library says of bytes that it cannot make sense of
        if type(error).__name__ in ("ArrowMemoryError", "_ArrayMemoryError"):
            raise MemoryError from error
        said = str(error).partition("\n")[0][:300] or type(error).__name__
        return {"problem": f"this cannot be read: {said}", "hint": "is the file whole? download it, and open it with its own library"}


def _missing(error: ImportError) -> dict[str, Any]:
    name = (error.name or "").partition(".")[0] or str(error)
    return {"problem": f"{name} is not installed where the dashboard runs", "hint": f"pip install {name}", "missing": name}


def limit_memory(size_bytes: int) -> None:
    """Fail to allocate rather than take more. Mapped files do not count. macOS knows no such limit."""
    if not size_bytes:
        return
    import resource

    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (size_bytes, size_bytes))
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def rss_bytes() -> int:
    """What this process takes of the machine's memory now, 0 where that is not known."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


if __name__ == "__main__":
    sys.exit(main())
