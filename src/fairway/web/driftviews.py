"""What the page of an endpoint tells of drift, out of the keeper's view: sentences, small histograms, alarms. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup, escape

from fairway.serve.control.driftnews import seconds_of, shown_target
from fairway.serve.control.view import DriftFacet, DriftOf, EndpointView
from fairway.spec.record import Record, record
from fairway.web.pages.words import spell_number

CARDS = 12
ALARMS = 50
_WIDTH, _HEIGHT = 240.0, 48.0
REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; connect-src 'none'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)
_POWER = re.compile(r"-?\d+(?:\.\d+)?e[+-]\d+")
_QUOTED = re.compile(r"`([^`]+)`")


@record
class Card(Record):
    """One column of the last rows. `before` and `now`: paths of its histogram; `first`, `last`: what stands at its ends; `how`: the measure
    and its threshold in words."""

    facet: DriftFacet
    before: str = ""
    now: str = ""
    first: str = ""
    last: str = ""
    how: str = ""


@record
class Told(Record):
    """One revision. `verdict`: a sentence; `state`: "good", "warn", "bad", "open" (too early to say); `cards`: what moved, then what is
    nearest to it; `left_out`: columns beyond those."""

    of: DriftOf
    verdict: str = ""
    state: str = "open"
    cards: tuple[Card, ...] = ()
    left_out: int = 0


def tell_drift(view: EndpointView) -> dict[str, Any]:
    """What the tab is drawn from."""
    weights = dict(view.endpoint.traffic)
    order = sorted(view.drift.revisions, key=lambda one: (-weights.get(one.revision, 0.0), -one.revision))
    shown = [one for one in order if one.rows or weights.get(one.revision) or one.revision == view.endpoint.shadow]
    watched = {one.revision for one in view.drift.revisions if one.has_baseline}
    return {
        "revisions": [_tell(one) for one in shown],
        "reports": [one.revision for one in shown if one.checked_at and one.has_baseline],
        "bare": [number for number, weight in view.endpoint.traffic if weight and number not in watched],
        "alarms": [(one, seconds_of(one), say(one.message)) for one in view.drift.alarms[:ALARMS]],
        "targets": [shown_target(one) for one in view.endpoint.notify],
        "say": say,
    }


def find_alarmed(view: EndpointView) -> list[Markup]:
    """What is wrong with the traffic now, in sentences, of the revisions that take some."""
    taking = {number for number, weight in view.endpoint.traffic if weight}
    return [say(alarm.message) for one in view.drift.revisions if one.revision in taking for alarm in one.active]


def say(message: str) -> Markup:
    """A sentence of a monitor: `names` between accents are code, the first letter is large."""
    text = str(escape(message[:1].upper() + message[1:]))
    return Markup(_QUOTED.sub(r"<code>\1</code>", text))


def draw(shares: Sequence[float], highest: float, *, is_area: bool) -> str:
    """Shares as the path of a histogram: bars, or the outline behind them."""
    if not shares or highest <= 0:
        return ""
    step = _WIDTH / len(shares)
    tall = [(_HEIGHT - 1) * share / highest for share in shares]
    if is_area:
        return f"M0 {_HEIGHT:g}" + "".join(f"V{_HEIGHT - one:.1f}h{step:.2f}" for one in tall) + f"V{_HEIGHT:g}z"
    bars = ((n, max(one, 1.0)) for n, one in enumerate(tall) if one > 0)
    return "".join(f"M{n * step + step * 0.15:.2f} {_HEIGHT:g}v-{one:.1f}h{step * 0.7:.2f}V{_HEIGHT:g}z" for n, one in bars)


def _tell(one: DriftOf) -> Told:
    cards = tuple(_card(facet) for facet in one.facets[:CARDS])
    verdict, state = _judge(one)
    return Told(one, verdict, state, cards, max(0, len(one.facets) - CARDS))


def _judge(one: DriftOf) -> tuple[str, str]:
    if one.active:
        return "", "bad" if any(alarm.severity == "error" for alarm in one.active) else "warn"
    if not one.rows:
        return "No request has been kept yet.", "open"
    if one.has_baseline and not one.windows:
        return f"The first window is filling: {one.filled:,} of {one.window_rows:,} rows.", "open"
    if not one.has_baseline:
        return "Requests are as the schema says.", "good"
    return f"Nothing moved: the last {one.window_rows:,} rows are like the data that the model was trained on.", "good"


def _label(text: str) -> str:
    """A bin's name with its numbers as people write them."""
    return _POWER.sub(lambda found: spell_number(float(found[0])), text)


def _card(facet: DriftFacet) -> Card:
    highest = max([*facet.before, *facet.now], default=0.0)
    names = {"psi": "PSI", "ks": "KS", "js": "JS", "linf": "largest change"}
    how = ""
    if facet.value is not None and facet.threshold is not None:
        how = f"{names.get(facet.measure, facet.measure)} {spell_number(facet.value)}, alarm from {spell_number(facet.threshold)}"
    # null comes first, and is left out where there is none
    skip = 1 if facet.labels and facet.labels[0] == "null" and not (facet.before[0] or facet.now[0]) else 0
    before, now, labels = facet.before[skip:], facet.now[skip:], facet.labels[skip:]
    first, last = (_label(labels[0]), _label(labels[-1])) if labels else ("", "")
    return Card(facet, draw(before, highest, is_area=True), draw(now, highest, is_area=False), first, last, how)
