"""A real dashboard in a real browser: a project with runs, its local server, Chromium from Debian's packages."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from tests.pages.pipelines import FILES

ROOT = Path(__file__).parents[2]
SHOTS = ROOT / "build" / "screenshots"
NODE = Path(__file__).parent / "node"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
)
TIMEOUT_MS = 60_000


def fairway(project: Path, *words: str, check: bool = True) -> str:
    """Run the command line in the project; returns what it wrote to stdout."""
    command = [sys.executable, "-m", "fairway", "-C", str(project), *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120, cwd=project)
    if check and done.returncode:
        raise AssertionError(f"fairway {' '.join(words)}: {done.stderr}")
    return done.stdout


class Dashboard:
    """The project, its runs by what they are, and the address of its server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = re.match(r"http://[^/]+", self.link())[0]  # type: ignore[index]
        self.runs = {row["name"]: row["run"] for row in json.loads(fairway(folder, "runs", "-o", "json")) if row["name"]}

    def link(self) -> str:
        """A link that lets a browser in, once."""
        return fairway(self.folder, "ui", "--no-open").strip()

    def artifact(self, output: str, run: str = "first") -> str:
        """The address of what a run has put out."""
        rows = json.loads(fairway(self.folder, "artifacts", "ls", self.runs[run], "-o", "json"))
        digest = next(row["digest"] for row in rows if row["artifact"] == output)
        return f"/artifacts/{digest}?run={self.runs[run]}"

    def start(self, *words: str) -> subprocess.Popen[str]:
        """`fairway run` beside the server."""
        command = [sys.executable, "-m", "fairway", "-C", str(self.folder), "run", *words]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=self.folder)


@pytest.fixture(scope="session")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    """One for all tests; who changes something begins a run of its own."""
    folder = tmp_path_factory.mktemp("wines")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    (folder / "fairway.toml").write_text("")
    fairway(folder, "run", "wine.py", "--name", "first", "--tag", "baseline")
    fairway(folder, "run", "wine.py", "--name", "second", "--depths", "2,16", "--rate", "0.4")
    fairway(folder, "run", "shaky.py", "--name", "broken", check=False)
    made = Dashboard(folder)
    yield made
    fairway(folder, "down", "--on", "local", "--yes")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, without a window. Of a module: while it is there an event loop runs in this thread, which others could not bear."""
    found = shutil.which("chromium")
    if found is None:
        subprocess.run([ROOT / "tools" / "apt_install.sh", "chromium"], check=True)
        found = shutil.which("chromium")
    expect.set_options(timeout=TIMEOUT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=[*FLAGS])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def signed_in(browser: Browser, dashboard: Dashboard) -> Any:
    """The cookies of somebody who has followed a link."""
    return sign_in(browser, dashboard)


def sign_in(browser: Browser, dashboard: Dashboard) -> Any:
    """Follow a link; returns the cookies."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(dashboard.link())
    page.wait_for_url("**/runs*")
    state = context.storage_state()
    context.close()
    return state


class Visitor:
    """A browser of somebody who is signed in. What a page complains of on its console fails the test, unless it was `expected`."""

    def __init__(self, browser: Browser, dashboard: Dashboard, state: Any) -> None:
        self._browser, self._dashboard, self._state = browser, dashboard, state
        self._contexts: list[BrowserContext] = []
        self.complaints: list[str] = []

    def context(self, **options: Any) -> BrowserContext:
        """A browser window's worth: cookies, colours, size."""
        given = {"viewport": {"width": 1440, "height": 900}, "storage_state": self._state, "base_url": self._dashboard.url, **options}
        context = self._browser.new_context(**given)
        context.set_default_timeout(TIMEOUT_MS)
        context.on("console", self._hear)
        context.on("weberror", lambda error: self.complaints.append(f"uncaught: {error.error}"))
        self._contexts.append(context)
        return context

    def open(self, path: str, **options: Any) -> Page:
        """A page, loaded."""
        page = self.context(**options).new_page()
        page.goto(path)
        return page

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def close(self) -> None:
        for context in self._contexts:
            context.close()


@pytest.fixture
def visitor(browser: Browser, dashboard: Dashboard, signed_in: Any) -> Iterator[Visitor]:
    visitor = Visitor(browser, dashboard, signed_in)
    yield visitor
    visitor.close()
    assert visitor.complaints == []


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core, which looks for what keeps people out."""
    subprocess.run([ROOT / "tools" / "get_node_modules.sh", NODE], check=True)
    return (NODE / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


def shoot(page: Page, name: str) -> None:
    """Keep a picture of the page in build/screenshots."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png", animations="disabled")


os.environ.setdefault("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1")
