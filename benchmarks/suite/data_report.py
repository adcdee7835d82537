"""The report of 500 columns: how large it is, whether it needs any other place, how long it takes to make and a browser to draw."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from benchmarks.dashboard.browser import FLAGS
from benchmarks.data import reported
from benchmarks.data.contenders import run_json
from benchmarks.figures import OURS, Bar
from benchmarks.process import CommandError
from benchmarks.session import Benchmark, Session

SIZE = Bar("data-report-size", "a report of 500 columns: the whole file", 2, "MB")
ADDRESSES = Bar("data-report-addresses", "addresses in it that a browser would fetch, and requests that one made", 0, "addresses")
MADE = Bar("data-report-made", "making it of what was measured", 1, "s")
DRAWN = Bar("data-report-drawn", "drawing it, from the address to the first picture after it is loaded", 1, "s")
COLUMNS = 500
_DRAWN = """() => new Promise(done => {
  const drawn = () => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now())));
  document.readyState === 'complete' ? drawn() : addEventListener('load', drawn);
})"""


def measure(session: Session) -> None:
    file = session.work / "report.html"
    session.talk("report")
    found = [run_json([sys.executable, "-m", reported.__name__, str(file), str(COLUMNS)]) for _ in range(session.long_runs)]
    session.record(SIZE.name, OURS, "MB", [found[-1]["bytes"] / 1e6])
    session.record(MADE.name, OURS, "s", [one["made_s"] for one in found])
    drawn, requests = draw(file, session.runs)
    session.record(ADDRESSES.name, OURS, "addresses", [found[-1]["addresses"] + requests])
    session.record(DRAWN.name, OURS, "s", list(drawn))


def draw(file: Path, times: int) -> tuple[list[float], int]:
    """Seconds until a browser has drawn it, each time in a new context, and how many requests for something else it made."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium")
    if program is None:
        raise CommandError("there is no chromium here: tools/apt_install.sh chromium")
    seconds, asked = list[float](), set[str]()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[*FLAGS])
        for _ in range(times + 1):
            page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
            page.on("request", lambda request: asked.add(_address(request)))
            page.goto(file.as_uri(), wait_until="commit")
            seconds.append(page.evaluate(_DRAWN) / 1000)
            page.context.close()
        browser.close()
    return seconds[1:], len(asked - {file.as_uri(), ""})


def _address(request: Any) -> str:
    return str(request.url) if not request.url.startswith("data:") else ""


BENCHMARK = Benchmark("data-report", "the report", (SIZE, ADDRESSES, MADE, DRAWN), measure)
