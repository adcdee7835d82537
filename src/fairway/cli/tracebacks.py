"""A traceback as `fairway show` prints it: frames of libraries that stand above already are not written out again. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fairway.cli.style import clip

MAX_NAMES = 4
MAX_WIDTH = 160
_FRAME = re.compile(r'( *(?:\[rank\d+\]: *)?)File "([^"]+)", line (\d+), in (.+)')
_LIBRARY = re.compile(r"[/\\](site-packages|dist-packages|python3[^/\\]*)[/\\]")


def fold_frames(text: str) -> list[str]:
    """Its lines. Modules within modules, as PyTorch calls them, repeat the same two frames for each."""
    out: list[str] = []
    seen: set[tuple[str, ...]] = set()
    head, again = "", list[str]()
    for line in text.rstrip().splitlines():
        frame = _FRAME.fullmatch(line)
        if frame is not None and _LIBRARY.search(frame[2]):
            place = (frame[2], frame[3], frame[4])
            if place in seen:
                head = frame[1]
                again.append(frame[4])
                continue
            seen.add(place)
        elif again and line.startswith(f"{head} "):  # the source line of a frame that is left out
            continue
        if again:
            out.append(_tell(head, again))
            again = []
        if "Traceback (most recent call last)" in line:
            seen.clear()
        out.append(clip(line, MAX_WIDTH) if line.startswith("Extension modules: ") else line)
    return [*out, _tell(head, again)] if again else out


def _tell(head: str, names: Sequence[str]) -> str:
    more = ", …" if len(names) > MAX_NAMES else ""
    return f"{head}… {', '.join(names[:MAX_NAMES])}{more} as above"
