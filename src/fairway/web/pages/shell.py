"""What all pages share: templates, the frame around each page, words for numbers and times."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import Response

import fairway
from fairway.web.pages.assets import TEMPLATES, asset_url
from fairway.web.pages.icons import draw_icon
from fairway.web.pages.page import Visit
from fairway.web.pages.words import spell_ago, spell_duration, spell_ms, spell_number, spell_rate, spell_share, spell_size
from fairway.web.respond import render_text

HTML = "text/html; charset=utf-8"
NAVIGATION = (
    ("runs", "Runs", "/runs"),
    ("pipelines", "Pipelines", "/pipelines"),
    ("artifacts", "Artifacts", "/artifacts"),
    ("endpoints", "Endpoints", "/endpoints"),
    ("system", "System", "/system"),
)


def render_page(visit: Visit, template: str, context: Mapping[str, Any], *, block: str = "", status: int = 200) -> Response:
    """The whole page, or one block of its template."""
    loaded = environment().get_template(template)
    values = {**frame(visit), **context}
    text = "".join(loaded.blocks[block](loaded.new_context(values))) if block else loaded.render(values)
    return render_text(visit.request, text.encode("utf-8", "replace"), HTML, status, {"vary": "accept-encoding, accept, hx-request"})


def frame(visit: Visit) -> dict[str, Any]:
    """What every template may use."""
    target = visit.site.settings.target
    path = visit.request.url.path
    return {
        "visit": visit,
        "user": visit.user,
        "version": fairway.__version__,
        "target": str(target.get("name", "")) or "local",
        "project": str(target.get("project", "")),
        "nav": next((key for key, _, url in NAVIGATION if path == url or path.startswith(url + "/")), ""),
        "navigation": NAVIGATION,
        "csrf": visit.csrf,
        "now": visit.site.clock(),
    }


@cache
def environment() -> Environment:
    """Jinja2 with our filters; a name that is missing is an error."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    filters: dict[str, Any] = {
        "ago": spell_ago,
        "duration": spell_duration,
        "size": spell_size,
        "number": spell_number,
        "rate": spell_rate,
        "ms": spell_ms,
        "share": spell_share,
        "when": render_time,
        "q": lambda text: quote(str(text), safe=""),
        "query": spell_query,
        "short": lambda run: str(run).rpartition("-")[2] or str(run),
    }
    made.filters.update(filters)
    helpers: dict[str, Any] = {"static": asset_url, "icon": draw_icon}
    made.globals.update(helpers)
    made.globals["ui"] = made.get_template("_ui.html").module  # type: ignore[assignment] - where a block is rendered alone, no template imports it
    return made


def spell_query(values: Mapping[str, Any]) -> str:
    """An address's query of the values that there are."""
    return urlencode({name: value for name, value in values.items() if value not in ("", None, [], ())}, doseq=True)


def render_time(at: float, now: float = 0.0) -> Markup:
    """A moment as a `time` element that the page's script keeps up to date."""
    if not at:
        return Markup('<span class="quiet">–</span>')
    moment = datetime.fromtimestamp(at, UTC)
    return Markup('<time datetime="{}" data-at="{}" title="{}">{}</time>').format(
        moment.isoformat(timespec="seconds"), f"{at:.3f}", moment.strftime("%Y-%m-%d %H:%M:%S UTC"), spell_ago(at, now)
    )
