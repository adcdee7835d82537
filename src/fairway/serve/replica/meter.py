"""What an inference server counts, and how it tells Prometheus."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping

BOUNDS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class Histogram:
    """Durations in buckets."""

    __slots__ = ("counts", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.sum_s = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.sum_s += seconds

    def lines(self, name: str, labels: str) -> Iterator[str]:
        """In the text format of Prometheus."""
        total, mark = 0, "," if labels else ""
        for bound, count in zip((*BOUNDS_S, float("inf")), self.counts, strict=True):
            total += count
            yield f'{name}_bucket{{{labels}{mark}le="{"+Inf" if bound == float("inf") else bound}"}} {total}'
        yield f"{name}_sum{{{labels}}} {self.sum_s:.6f}"
        yield f"{name}_count{{{labels}}} {total}"


class Meter:
    """Requests by route and status, how long their answers took, and why requests were refused."""

    def __init__(self) -> None:
        self.requests: dict[tuple[str, int], int] = {}
        self.durations: dict[str, Histogram] = {}

    def count(self, route: str, status: int, seconds: float) -> None:
        """One request that was answered."""
        key = (route, status)
        self.requests[key] = self.requests.get(key, 0) + 1
        histogram = self.durations.get(route)
        if histogram is None:
            histogram = self.durations[route] = Histogram()
        histogram.add(seconds)

    def render(self, name: str, version: str, gauges: Mapping[str, tuple[str, str, float]], sizes: Mapping[int, int]) -> str:
        """The page of /metrics. `gauges`: name -> (type, help, value); `sizes`: rows of a batch -> how many batches."""
        of = f'model="{name}",version="{version}"'
        lines = ["# HELP fairway_serve_requests_total Requests by route and status.", "# TYPE fairway_serve_requests_total counter"]
        lines += [
            f'fairway_serve_requests_total{{{of},route="{route}",status="{status}"}} {count}'
            for (route, status), count in sorted(self.requests.items())
        ]
        lines += [
            "# HELP fairway_serve_duration_seconds From the head of a request to its answer.",
            "# TYPE fairway_serve_duration_seconds histogram",
        ]
        for route, histogram in sorted(self.durations.items()):
            lines += histogram.lines("fairway_serve_duration_seconds", f'{of},route="{route}"')
        lines += ["# HELP fairway_serve_batches_total Batches by their rows, rounded up.", "# TYPE fairway_serve_batches_total counter"]
        lines += [f'fairway_serve_batches_total{{{of},rows="{rows}"}} {count}' for rows, count in sorted(sizes.items())]
        for key, (kind, help, value) in gauges.items():
            lines += [f"# HELP {key} {help}", f"# TYPE {key} {kind}", f"{key}{{{of}}} {value:g}"]
        return "\n".join(lines) + "\n"
