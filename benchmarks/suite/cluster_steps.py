"""One pod for one step, and what that takes beside a bare Job."""

from __future__ import annotations

from benchmarks.cluster.site import Site, in_turns, open_site
from benchmarks.figures import OURS, Bar
from benchmarks.session import Benchmark, Session

PODS = Bar("cluster-pods", "pods for a step", 1, "pods")
STEP = Bar("cluster-step", "a one-pod step, submit to recorded outcome, by a bare Job beside it", 1.25, "×")


def step_s(site: Site) -> float:
    """Seconds from the run's start to the recorded outcome of its one step, on the server's clock."""
    events = site.finish(site.detach("small.py:single"))
    (ended,) = [event for event in events if type(event).__name__ == "AttemptEnded"]
    return ended.at - events[0].at


def measure(session: Session) -> None:
    with open_site(session) as site:
        site.job_s()
        step_s(site)
        jobs, steps = in_turns(session.long_runs * 2, site.job_s, lambda: step_s(site))
        session.record("cluster-job", "bare Job", "s", list(jobs))
        session.record("cluster-job", OURS, "s", list(steps))
        session.record(STEP.name, OURS, "×", [ours / job for ours, job in zip(steps, jobs, strict=True)])
        scheduled = {event["involvedObject"]["name"] for event in site.wait(site.kube.list("Event", fields="reason=Scheduled"))}
        ours = [name for name in scheduled if not name.startswith(("fairway-", "bare-"))]
        session.record(PODS.name, OURS, "pods", [len(ours) / (len(steps) + 1)], f"{len(steps) + 1} steps")


BENCHMARK = Benchmark("cluster-steps", "one-pod steps on a cluster", (PODS, STEP), measure)
