"""Static files: out of the package, under names that change with their content, packed, and nothing from elsewhere."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from fairway.web.pages.assets import SHEETS, STATIC, TEMPLATES, asset_url, load_asset
from tests.web.rig import Server


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with Server(tmp_path_factory.mktemp("home")).client(token="") as client:
        yield client


def test_a_file_is_sent_packed_and_for_ever(client: TestClient) -> None:
    answer = client.get(f"http://server{asset_url('fairway.css')}", headers={"accept-encoding": "gzip"})
    assert answer.status_code == 200
    assert answer.headers["content-encoding"] == "gzip"
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    again = client.get(f"http://server{asset_url('fairway.css')}", headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304


def test_what_lies_packed_in_the_package_is_sent_to_everybody(client: TestClient) -> None:
    address = f"http://server{asset_url('vendor/echarts.min.js')}"
    packed = client.get(address, headers={"accept-encoding": "gzip"})
    plain = client.get(address, headers={"accept-encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip" and "content-encoding" not in plain.headers
    assert packed.content == plain.content
    assert b"echarts" in plain.content and len(plain.content) > 1_000_000
    assert plain.headers["content-type"] == "text/javascript; charset=utf-8"


def test_an_address_of_another_version_is_not_kept(client: TestClient) -> None:
    answer = client.get("http://server/static/0000/js/app.js")
    assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("path", ["../app.py", "js/../../app.py", "nothing.js", "js", "..%2f..%2fauth.py", "/etc/passwd"])
def test_nothing_else_is_sent(client: TestClient, path: str) -> None:
    assert client.get(f"http://server/static/1/{path}").status_code == 404


def test_the_style_sheet_is_all_sheets_in_order() -> None:
    asset = load_asset("fairway.css")
    assert asset is not None
    there = [name for name in SHEETS if (STATIC / "css" / f"{name}.css").is_file()]
    assert asset.plain == b"".join((STATIC / "css" / f"{name}.css").read_bytes() for name in there)
    assert gzip.decompress(asset.packed) == asset.plain
    assert {path.stem for path in (STATIC / "css").glob("*.css")} <= set(SHEETS), "a sheet that is in no list is never sent"


def own_texts() -> list[Path]:
    return [*TEMPLATES.rglob("*.html"), *(STATIC / "js").rglob("*.js"), *(STATIC / "css").rglob("*.css")]


@pytest.mark.parametrize("path", own_texts(), ids=lambda path: path.name)
def test_no_page_needs_another_host_or_an_inline_script(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    hosts = set(re.findall(r"(?:src|href|import|from|url\()\s*=?\s*[\"'(]?https?://([\w.-]+)", text))
    assert hosts == set()
    if path.suffix == ".html":
        assert not re.search(r"<script(?![^>]*(?:\bsrc=|type=\"application/json\"))", text), "an inline script"
        assert not re.search(r"\sstyle=", text), "an inline style"
        assert not re.search(r"\son\w+=", text), "an inline handler"
    if path.suffix == ".js":
        assert not re.search(r"\beval\(|new Function\(|document\.write", text)


def test_colours_come_from_the_tokens_alone() -> None:
    found = {}
    for path in (STATIC / "css").glob("*.css"):
        if path.stem != "tokens":
            bare = re.sub(r"url\([^)]*\)", "", path.read_text(encoding="utf-8"))
            colours = re.findall(r"#[0-9a-fA-F]{3,8}\b|\b(?:rgb|hsl)a?\((?!0 0 0)", bare)
            if colours:
                found[path.name] = colours
    assert found == {}


def test_dark_is_the_same_whether_chosen_or_the_systems() -> None:
    text = (STATIC / "css" / "tokens.css").read_text(encoding="utf-8")
    system = re.search(r'not\(\[data-theme="light"\]\) \{(.*?)\}', text, re.DOTALL)
    chosen = re.search(r'\[data-theme="dark"\] \{(.*?)\}', text, re.DOTALL)
    assert system is not None and chosen is not None
    spelled = [dict(re.findall(r"(--[\w-]+): ([^;]+);", found[1])) for found in (system, chosen)]
    light = dict(re.findall(r"(--[\w-]+): ([^;]+);", text.partition("@media")[0]))
    assert spelled[0] == spelled[1]
    assert set(spelled[0]) <= set(light)


def _luminance(colour: str) -> float:
    channels = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """As WCAG 2 defines it."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


PAIRS = [
    *(
        (ink, ground)
        for ink in ("ink", "ink-2", "ink-3", "accent")
        for ground in ("ground", "surface", "raised", "sunken", "hover", "chosen")
    ),
    *((name, f"{name}-soft") for name in ("good", "bad", "busy", "warn", "calm", "idle")),
    *((name, "surface") for name in ("good", "bad", "busy", "warn", "calm", "idle", "code-1", "code-2", "code-3", "code-4", "code-5")),
    ("accent-ink", "accent"),
    ("accent", "accent-soft"),
]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), PAIRS)
def test_text_can_be_read(theme: str, ink: str, ground: str) -> None:
    text = (STATIC / "css" / "tokens.css").read_text(encoding="utf-8")
    part = text.partition("@media")[0] if theme == "light" else text.partition(':root[data-theme="dark"]')[2]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", part))
    assert contrast(colours[ink], colours[ground]) >= 4.5
