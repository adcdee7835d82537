"""Chromium, signed in at a site."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.dashboard.site import Site
from benchmarks.process import CommandError

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def browsing(site: Site) -> Iterator[Any]:
    """A browser context of somebody who has followed a link."""
    from playwright.sync_api import sync_playwright

    found = shutil.which("chromium")
    if found is None:
        raise CommandError("there is no chromium here: tools/apt_install.sh chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=[*FLAGS])
        context = browser.new_context(viewport={"width": 1440, "height": 900}, base_url=site.base)
        page = context.new_page()
        page.goto(site.link())
        page.wait_for_url("**/runs*")
        page.close()
        yield context
        browser.close()


def transferred(context: Any, path: str, ready: str) -> dict[str, int]:
    """Bytes that a first visit to `path` takes over the wire, by kind, once `ready` (a selector) is there. Nothing is in the cache."""
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    kinds: dict[str, str] = {}
    found: dict[str, int] = {}
    session.on("Network.responseReceived", lambda event: kinds.update({event["requestId"]: f"{event['type']} {event['response']['url']}"}))

    def add(event: dict[str, Any]) -> None:
        name = kinds.get(event["requestId"], "other")
        found[name] = found.get(name, 0) + int(event["encodedDataLength"])

    session.on("Network.loadingFinished", add)
    page.goto(path)
    page.wait_for_selector(ready)
    page.close()
    return found
