"""The gateway's figures for Prometheus (text format 0.0.4)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fairway.serve.gateway.gateway import Gateway


def render_metrics(gateway: Gateway) -> bytes:
    """Everything, as it is now."""
    out: list[str] = []
    meters = [(name, number, meter) for name, service in gateway.services.items() for number, meter in sorted(service.meters.items())]
    _add(
        out, "requests_total", "counter", "Requests answered, by the first digit of their status.",
        (
            (_labels(endpoint=name, revision=number, code=f"{digit}xx"), count)
            for name, number, meter in meters for digit, count in enumerate(meter.by_class) if count
        ),
    )  # fmt: skip
    _add(
        out, "refused_total", "counter", "Requests refused before a replica was asked.",
        (
            (_labels(endpoint=name, status=status), count)
            for name, number, meter in meters if number == 0 for status, count in sorted(meter.total_refusals.items())
        ),
    )  # fmt: skip
    out.append("# HELP fairway_gateway_request_duration_seconds From a replica being asked to its answer.")
    out.append("# TYPE fairway_gateway_request_duration_seconds histogram")
    for name, number, meter in meters:
        bounds, total = meter.histogram()
        if not total:
            continue
        for bound, reached in bounds:
            out.append(
                f"fairway_gateway_request_duration_seconds_bucket{_labels(endpoint=name, revision=number, le=f'{bound:g}')} {reached}"
            )
        labels = _labels(endpoint=name, revision=number)
        out.append(f"fairway_gateway_request_duration_seconds_bucket{_labels(endpoint=name, revision=number, le='+Inf')} {total}")
        out.append(f"fairway_gateway_request_duration_seconds_sum{labels} {meter.latency_sum_s:.6f}")
        out.append(f"fairway_gateway_request_duration_seconds_count{labels} {total}")
    _add(
        out, "in_flight", "gauge", "Requests at replicas now.",
        ((_labels(endpoint=name, revision=number), meter.in_flight) for name, number, meter in meters if number),
    )  # fmt: skip
    _add(
        out, "waiting", "gauge", "Requests held until a replica runs.",
        ((_labels(endpoint=name), len(service.held)) for name, service in gateway.services.items()),
    )  # fmt: skip
    _add(
        out, "replicas", "gauge", "Replicas that take requests.",
        (
            (_labels(endpoint=name, revision=number), len(replicas))
            for name, service in gateway.services.items() for number, replicas in sorted(service.replicas.items())
        ),
    )  # fmt: skip
    _add_single(out, gateway)
    return ("\n".join(out) + "\n").encode()


def _add_single(out: list[str], gateway: Gateway) -> None:
    unknown = sum(gateway.unknown.total_refusals.values())
    _add(out, "unknown_total", "counter", "Requests that meant no endpoint.", [("", unknown)])
    _add(out, "retries_total", "counter", "Requests sent again because nobody had read them.", [("", gateway.retries)])
    _add(out, "abandoned_total", "counter", "Requests whose client left before the answer.", [("", gateway.abandoned)])
    _add(out, "connections", "gauge", "Open connections of clients.", [("", len(gateway.server.connections))])
    _add(out, "held_bytes", "gauge", "Bodies of requests that are held.", [("", gateway.held_bytes)])
    _add(out, "table_version", "gauge", "Version of the table in use.", [("", gateway.version)])
    if gateway.spool is not None:
        counts = gateway.spool.counts
        kinds = ((_labels(result=kind), getattr(counts, kind)) for kind in ("written", "dropped", "withheld", "acknowledged", "refused"))
        _add(out, "spool_records_total", "counter", "Captured traffic and feedback, by what became of it.", kinds)


def _add(out: list[str], name: str, kind: str, text: str, samples: Iterable[tuple[str, float]]) -> None:
    out.append(f"# HELP fairway_gateway_{name} {text}")
    out.append(f"# TYPE fairway_gateway_{name} {kind}")
    out.extend(f"fairway_gateway_{name}{labels} {value}" for labels, value in samples)


def _labels(**labels: object) -> str:
    return "{" + ",".join(f'{name}="{_escape(str(value))}"' for name, value in labels.items()) + "}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
