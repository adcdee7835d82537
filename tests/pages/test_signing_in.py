"""Signing in at an identity provider of another site, in a real browser: which cookies go where is for the browser to say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from fairway.spec.target import OidcSettings
from fairway.web.oidc import OidcLogin
from tests.web.identityprovider import SECRET, provider
from tests.web.rig import Live, Server


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A dashboard at 127.0.0.1 whose people sign in at localhost, which is another site."""
    live = Live()
    with provider(live.url, host="localhost") as issuer:
        settings = OidcSettings(issuer, "fairway", roles={"ml": "run", "*": "view"}, name="the campus login")
        login = OidcLogin(settings, address=live.url, secret=SECRET, signing_key=Server.KEY)
        with live.serving(Server(tmp_path, oidc=login, address=live.url)):
            yield live.url
    live.close()


def test_the_way_to_the_provider_and_back(browser: Browser, address: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{address}/pipelines")
    page.get_by_role("link", name="Go on with the campus login").click()
    page.get_by_placeholder("Enter any login").fill("bob")
    page.get_by_placeholder("and password").fill("any")
    page.get_by_role("button", name="Sign-in").click()
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url(f"{address}/pipelines")
    expect(page.get_by_role("button", name="Log out bob@example.org")).to_be_visible()
    cookies = {cookie["name"].rpartition("_")[0]: cookie for cookie in context.cookies(address)}
    assert list(cookies) == ["fairway_session"], "the login's own cookie is gone"
    assert (cookies["fairway_session"]["sameSite"], cookies["fairway_session"]["httpOnly"]) == ("Strict", True)

    stranger = context.new_page()
    stranger.set_content(f'<a href="{address}/runs">runs</a>')
    stranger.get_by_role("link").click()
    stranger.wait_for_url(f"{address}/runs")  # by the login page, which has the cookie that the link came without

    page.get_by_role("button", name="Log out").click()
    page.wait_for_url(f"{address}/login")
    page.goto(f"{address}/runs")
    page.wait_for_url("**/login")
    context.close()
