"""Which revisions really get traffic, and how many replicas each is to have: pure, from the document and from what runs.

What the document says is where traffic is to go. It moves there when enough replicas are ready; until then those that serve go on serving.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from fairway.serve.control.fleet import Replica
from fairway.spec.endpoint import Endpoint, Floor, Scaling
from fairway.spec.record import replace, to_plain

Weights = tuple[tuple[int, float], ...]
_PATIENCE_S = 30.0  # that some of the replicas are ready and not all of them does not hold the traffic up for ever


def spread(endpoint: Endpoint, before: Weights, ready: Mapping[int, int], waited_s: float) -> Weights:
    """The weights that the gateway is to have. `before`: those it has; `ready`: ready replicas by revision; `waited_s`: how long the
    document has said something else than the gateway has."""
    wanted = endpoint.traffic
    serving = tuple((number, weight) for number, weight in before if ready.get(number))
    if wanted == before or not before or endpoint.paused:
        return wanted
    needed = count_needed(endpoint, before, ready)
    for number, count in needed.items():
        if ready.get(number, 0) < (1 if waited_s >= _PATIENCE_S else count):
            return before if len(serving) in (0, len(before)) else scale_up(serving)
    return wanted


def count_needed(endpoint: Endpoint, before: Weights, ready: Mapping[int, int]) -> dict[int, int]:
    """Replicas that each revision has to have before it bears the share of the traffic that the document gives it: as many for each
    percent as those have that are to give some away."""
    wanted = dict(endpoint.traffic)
    giving = [(number, weight) for number, weight in before if wanted.get(number, 0.0) < weight]
    each = sum(ready.get(number, 0) for number, _ in giving) / sum(weight for _, weight in giving) if giving else 0.0
    most, had = endpoint.scaling.maximum, dict(before)
    return {
        number: min(most, max(1, round(each * weight))) if weight > had.get(number, 0.0) else 1
        for number, weight in wanted.items()
        if weight
    }


def scale_up(weights: Sequence[tuple[int, float]]) -> Weights:
    """The same proportions, adding up to 100."""
    total = sum(weight for _, weight in weights)
    return tuple((number, round(weight * 100.0 / total, 4)) for number, weight in weights)


def share_scaling(scaling: Scaling, weight: float) -> Scaling:
    """The bounds for a revision with that share (percent): what is asked of all revisions together is shared among them."""
    if weight >= 100.0:
        return scaling
    floors = tuple(Floor(_part(one.replicas, weight), one.begins, one.ends, one.days, one.zone) for one in scaling.floors)
    return replace(scaling, minimum=min(_part(scaling.minimum, weight), scaling.maximum), floors=floors)


def render_row(
    endpoint: Endpoint,
    traffic: Weights,
    replicas: Sequence[Replica],
    pinned: Sequence[int] = (),
    *,
    secret: str = "",
    columns: Mapping[int, Sequence[str]] | None = None,
) -> dict[str, object]:
    """What stands in the gateway's table of this endpoint. `pinned`: revisions without traffic that somebody asks for by number; `secret`:
    the key of digests in what is captured, for those that have some; `columns`: names by revision."""
    numbers = sorted({*dict(traffic), *pinned, endpoint.shadow, *(one.revision for one in replicas)} - {0})
    by_revision: dict[str, list[dict[str, object]]] = {str(number): [] for number in numbers}
    for one in sorted(replicas, key=lambda one: one.id):
        if one.state in ("ready", "draining"):
            row: dict[str, object] = {"id": one.id, "address": one.address, "draining": one.state == "draining"}
            by_revision[str(one.revision)].append({**row, "grpc": one.grpc} if one.grpc else row)
    main = max(traffic, key=lambda pair: pair[1], default=(0, 0.0))[0]
    limits = next((one.spec.limits for one in endpoint.revisions if one.number == main), None)
    row = {
        "traffic": [list(pair) for pair in traffic],
        "shadow": endpoint.shadow,
        "sticky": endpoint.sticky,
        "is_open": endpoint.is_open,
        "paused": endpoint.paused,
        "keys": [to_plain(key) for key in endpoint.keys],
        "limits": to_plain(limits) if limits is not None else {},
        "capture": to_plain(endpoint.capture),
        "hosts": [str(endpoint.expose["host"])] if endpoint.expose.get("host") else [],
        "replicas": by_revision,
    }
    if endpoint.capture.hash and secret:
        row["secret"] = secret
    if columns:
        row["columns"] = {str(number): list(names) for number, names in sorted(columns.items())}
    if "hold_s" in endpoint.expose:
        row["hold_s"] = endpoint.expose["hold_s"]
    return row


def _part(count: int, weight: float) -> int:
    return math.ceil(count * weight / 100.0 - 1e-6) if count else 0
