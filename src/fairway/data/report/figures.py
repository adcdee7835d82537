"""Small pictures as SVG, drawn from numbers; the page's style colours them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fairway.data.report.elements import Markup, el, text

_HEIGHT = 40


def overlay(reference: Sequence[float] | None, current: Sequence[float], label: str) -> Markup:
    """Two histograms over the same bins, as shares: the reference as an area behind, the current one as bars before it."""
    count = len(current)
    if not count:
        return Markup("")
    now, before = _shares(current), _shares(reference) if reference is not None else []
    highest = max(*now, *before, 1e-12)
    width = count * 6
    bars = "".join(f"M{n * 6 + 1} {_HEIGHT}v-{_number(_tall(share, highest))}h4V{_HEIGHT}z" for n, share in enumerate(now) if share)
    shapes = [el("path", class_="now", d=bars)]
    if before:
        steps = "".join(f"V{_number(_HEIGHT - _tall(share, highest))}h6" for share in before)
        shapes.insert(0, el("path", class_="was", d=f"M0 {_HEIGHT}{steps}V{_HEIGHT}z"))
    return _picture(text(shapes), "bars", f"0 0 {width} {_HEIGHT}", label)


def line(values: Sequence[float], label: str, width: int = 120, height: int = 28) -> Markup:
    """A course of numbers, the last one marked; numbers that are none leave a hole."""
    known = [value for value in values if math.isfinite(value)]
    if len(known) < 2:
        return Markup("")
    low, high = min(known), max(known)
    span = (high - low) or 1.0
    step = width / max(1, len(values) - 1)
    path, pen = "", "M"
    for n, value in enumerate(values):
        if math.isfinite(value):
            path += f"{pen}{_number(n * step)} {_number(height - 3 - (value - low) / span * (height - 6))}"
            pen = "L"
        else:
            pen = "M"
    last = next(n for n in range(len(values) - 1, -1, -1) if math.isfinite(values[n]))
    dot = el("circle", class_="dot", cx=_number(last * step), cy=_number(height - 3 - (values[last] - low) / span * (height - 6)), r=3)
    return el(
        "svg", el("path", class_="course", d=path), dot, class_="line", viewBox=f"-4 0 {width + 8} {height}", role="img", aria_label=label
    )


def marks(places: Sequence[tuple[float, float]], label: str, width: int = 1000) -> Markup:
    """Stretches of a bar, each (begin, end) as shares of the whole; the narrowest are still seen."""
    path = "".join(f"M{_number(a * width)} 0H{_number(max(b * width, a * width + 2))}V24H{_number(a * width)}z" for a, b in places)
    back = el("rect", class_="whole", width=width, height=24)
    drawn = el("path", class_="gap", d=path)
    return _picture(text(back, drawn), "strip", f"0 0 {width} 24", label)


def share_bar(share: float, label: str) -> Markup:
    """A share as a bar; nothing for zero."""
    if share <= 0:
        return Markup("")
    width = max(2.0, share * 100)
    return _picture(el("rect", class_="part", width=_number(width), height=8), "share", "0 0 100 8", label)


def _picture(shapes: Markup, kind: str, box: str, label: str) -> Markup:
    return el("svg", shapes, class_=kind, viewBox=box, preserveAspectRatio="none", role="img", aria_label=label)


def _shares(counts: Sequence[float]) -> list[float]:
    every = float(sum(counts))
    return [float(one) / every if every else 0.0 for one in counts]


def _tall(share: float, highest: float) -> float:
    return max(1.0, share / highest * (_HEIGHT - 1)) if share else 0.0


def _number(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")
