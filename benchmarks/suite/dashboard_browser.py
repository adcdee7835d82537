"""What a person at the browser sees: how much the first visit loads, how soon an event is on the screen, large graphs, maps and logs."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.dashboard.browser import browsing, transferred
from benchmarks.dashboard.site import Site, serving
from benchmarks.figures import OURS, Bar
from benchmarks.process import CommandError
from benchmarks.session import Benchmark, Session
from benchmarks.suite.dashboard_pages import p95

FIRST = Bar("page-first-load", "first visit to the list of runs, all that is sent", 120, "kB")
CHARTS = Bar("page-charts", "what the first chart adds to that", 400, "kB")
PIXEL = Bar("page-pixel", "from an event's time to the screen, 50 pages open, one of them in front", 250, "ms")
PAINT = Bar("page-graph-paint", "a graph of 1,000 steps: first paint", 1000, "ms")
LAYOUT = Bar("page-graph-layout", "a graph of 1,000 steps: laid out", 3000, "ms")
ITEMS = Bar("page-items", "a run of 100,000 mapped items: page with its graph", 1000, "ms")
LOG_OPEN = Bar("page-log-open", "a log of 1 GB: its last line on the screen", 300, "ms")
LOG_FIND = Bar("page-log-search", "a log of 1 GB: searched to its end", 2000, "ms")
OPEN = 50
GB = 1_000_000_000
OBSERVE = """() => new Promise(done => {
  const there = '#run-head .state[data-state=succeeded]';
  const look = () => document.querySelector(there) && (requestAnimationFrame(() => done(Date.now())), true);
  const watched = { subtree: true, childList: true, attributes: true, characterData: true };
  if (!look()) new MutationObserver((_, watcher) => { if (look()) watcher.disconnect(); }).observe(document.body, watched);
})"""


def measure(session: Session) -> None:
    folder = session.project("web")
    for words in (("tangle",), ("gated", "--gate", str(folder)), ("chatty",)):
        session.run_once(session.ours(folder, "run", f"web.py:{words[0]}", *words[1:]))
    try:
        with serving(session.fairway, folder) as site, browsing(site) as context:
            measure_loads(session, context)
            measure_pixels(session, site, context, PIXEL.name, seen=1)
            measure_pixels(session, site, context, "page-pixel-all", seen=OPEN)
            measure_graph(session, folder, context)
            measure_items(session, folder, context)
            measure_log(session, folder, context)
    except CommandError as error:
        session.record(FIRST.name, OURS, "kB", [], str(error))


def measure_loads(session: Session, context: Any) -> None:
    session.talk("first load")
    plain = transferred(context, "/runs", "tr[data-run]")
    session.record(FIRST.name, OURS, "kB", [sum(plain.values()) / 1e3], f"{len(plain)} files")
    charted = transferred(context, "/pipelines/gated", "#durations canvas")
    script = sum(size for name, size in charted.items() if "echarts" in name or "charts.js" in name)
    session.record(CHARTS.name, OURS, "kB", [script / 1e3], f"the page in all: {sum(charted.values()) / 1e3:.0f} kB")


def measure_pixels(session: Session, site: Site, context: Any, figure: str, seen: int) -> None:
    """Pages on one run whose last task waits at a gate; the event's time is what the journal says. `seen` of them are in front: a browser
    without a window shows all, so the others are told that they are hidden, as tabs behind another are."""
    pages = [context.new_page() for _ in range(5 if session.quick else OPEN)]
    for page in pages[seen:]:
        page.add_init_script("Object.defineProperty(document, 'hidden', { get: () => true });")
    slow: list[float] = []
    middle: list[float] = []
    for number in range(min(session.runs, 5)):
        session.talk(f"event to pixel {number + 1}")
        gate = site.project / f"gate-{time.time_ns()}"
        command = [session.fairway, "-C", site.project, "run", "web.py:gated", "--gate", gate, "--name", gate.name]
        running = subprocess.Popen(command, cwd=site.project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        run = find_run(session.fairway, site.project, gate.name)
        for page in pages:
            page.goto(f"/runs/{run}?view=steps")
            page.wait_for_selector("#run-head .state[data-state=running]")
            page.evaluate(f"() => {{ window.seen = ({OBSERVE})(); }}")
        gate.touch()
        running.wait(60)
        answer = site.get(f"/api/v1/runs/{run}/events", {"accept": "application/json", "accept-encoding": "identity"})[1]
        ended = next(one["event"]["at"] for one in json.loads(answer)["items"] if one["type"] == "RunEnded")
        delays = [page.evaluate("() => window.seen") - ended * 1000 for page in pages[:seen]]
        slow.append(p95(delays) if len(delays) > 1 else delays[0])
        middle.append(median(delays))
    note = f"median of pages {median(middle):.0f} ms; {min(seen, len(pages))} of {len(pages)} pages in front, p95 of those"
    session.record(figure, OURS, "ms", [*slow], note)
    for page in pages:
        page.close()


def measure_graph(session: Session, folder: Path, context: Any) -> None:
    run = find_run(session.fairway, folder, "", "tangle")
    paints: list[float | None] = []
    layouts: list[float | None] = []
    for number in range(min(session.runs, 3)):
        session.talk(f"graph {number + 1}")
        page = context.new_page()
        page.add_init_script("indexedDB.deleteDatabase('fairway'); localStorage.clear();")  # nobody has laid it out before
        page.goto(f"/runs/{run}")
        page.wait_for_selector("#run-graph[data-layout]")
        paints.append(page.evaluate("() => performance.getEntriesByName('first-contentful-paint')[0].startTime"))
        page.wait_for_selector("#run-graph[data-layout=done]")
        layouts.append(page.evaluate("() => performance.now()"))
        page.close()
    session.record(PAINT.name, OURS, "ms", paints)
    session.record(LAYOUT.name, OURS, "ms", layouts)


def measure_items(session: Session, folder: Path, context: Any) -> None:
    session.talk("100,000 items")
    session.run_once(session.ours(folder, "run", "fan.py:hundreds", "--count", "1000" if session.quick else "100000"))
    run = find_run(session.fairway, folder, "", "hundreds")
    values: list[float | None] = []
    for _ in range(min(session.runs, 5)):
        page = context.new_page()
        page.goto(f"/runs/{run}")
        page.wait_for_selector("#run-graph[data-layout=done]")
        values.append(page.evaluate("() => performance.now()"))
        memory = page.evaluate("() => performance.memory.usedJSHeapSize") / 1e6
        page.close()
    session.record(ITEMS.name, OURS, "ms", values, f"{memory:.0f} MB of scripts' memory")


def measure_log(session: Session, folder: Path, context: Any) -> None:
    session.talk("1 GB log")
    run = find_run(session.fairway, folder, "", "chatty")
    (log,) = (folder / ".fairway/streams" / run).glob("*/log")
    grow(log, GB // (100 if session.quick else 1))
    opened: list[float | None] = []
    found: list[float | None] = []
    for _ in range(min(session.runs, 3)):
        page = context.new_page()
        page.goto(f"/runs/{run}?task=talk&tab=log")
        page.wait_for_selector(".log-rows > *")
        opened.append(page.evaluate("() => performance.now()"))
        page.get_by_label("Search the log").fill("value 99999999")
        began = time.perf_counter()
        page.wait_for_function("() => document.querySelector('.log-count').textContent.startsWith('no match')")
        found.append((time.perf_counter() - began) * 1000)
        page.close()
    session.record(LOG_OPEN.name, OURS, "ms", opened, f"{log.stat().st_size / 1e9:.2f} GB, whole page included")
    session.record(LOG_FIND.name, OURS, "ms", found, "a text that is nowhere in it")


def grow(log: Path, size: int) -> None:
    """Repeat the log until it is so large."""
    part = log.read_bytes()
    with log.open("ab") as file:
        while file.tell() < size:
            file.write(part)


def find_run(fairway: Path, project: Path, name: str, pipeline: str = "") -> str:
    """The newest run of this name, or of the pipeline, as soon as there is one."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        done = subprocess.run([fairway, "-C", project, "runs", "-o", "json"], capture_output=True, text=True, check=False)
        for row in json.loads(done.stdout or "[]"):
            if (name and row.get("name") == name) or (pipeline and row.get("pipeline") == pipeline):
                return str(row["run"])
    raise CommandError(f"there is no run {name or pipeline}")


BENCHMARK = Benchmark(
    "dashboard-browser", "the dashboard in a browser", (FIRST, CHARTS, PIXEL, PAINT, LAYOUT, ITEMS, LOG_OPEN, LOG_FIND), measure
)
