"""A search as one HTML file that needs nothing else: the same pictures and table as the dashboard's page, with all scripts inside."""

from __future__ import annotations

import gzip
import html
import json
import re
from collections.abc import Sequence
from pathlib import Path

from fairway.spec.study import Study
from fairway.web.studies import spell_study

STATIC = Path(__file__).parent / "static"
SCRIPTS = ("charts", "tune-charts", "tune-view")
SHEETS = ("tokens", "base", "components", "tune")
_IMPORT = re.compile(r"^import [^;]*;\n", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(async )?(function|const|class)\b)", re.MULTILINE)
_START = """
const spellDuration = (s) =>
  s < 1 ? `${Math.round(s * 1000)} ms` : s < 60 ? `${s.toFixed(1)} s` : `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`;
const host = { chart, dropChart, look: { token, palette }, taskUrl: () => "", spellDuration };
for (const root of document.querySelectorAll("[data-study]")) {
  showStudy(root, JSON.parse(root.nextElementSibling.textContent), host);
}
"""
_MORE = """
.tune-report { max-width: 90rem; margin: 0 auto; padding: var(--space-4); } .tune-report section { margin-top: var(--space-5); }
"""


def make_report(studies: Sequence[Study], *, run: str, pipeline: str, at: str) -> str:
    """The page for these searches of a run. `at`: when it was made, as people read it."""
    title = html.escape(f"Search in {pipeline}")
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    parts = [
        f'<!doctype html><html lang="en"><head>{head}<title>{title}</title><style>{_styles()}</style></head><body>',
        f'<main class="tune-report"><h1>{title}</h1>',
        f'<p class="quiet">run <span class="mono">{html.escape(run)}</span>, {html.escape(at)}</p>',
    ]
    for study in studies:
        name = html.escape(study.name)
        data = f'<script type="application/json">{_data(study)}</script>'
        parts.append(f'<section><h2 class="mono">{name}</h2><div data-study></div>{data}</section>')
    own = f"(() => {{\n{_inline(_scripts())}{_START}}})();"
    parts.append(f"</main><script>{_inline(_library())}</script><script>{own}</script></body></html>\n")
    return "".join(parts)


def _data(study: Study) -> str:
    text = json.dumps(spell_study(study), ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _styles() -> str:
    return "\n".join((STATIC / "css" / f"{name}.css").read_text(encoding="utf-8") for name in SHEETS) + _MORE


def _library() -> str:
    return gzip.decompress((STATIC / "vendor" / "echarts.min.js.gz").read_bytes()).decode("utf-8")


def _scripts() -> str:
    """Our modules as one script: without imports and exports, as all stand in one scope."""
    texts = [(STATIC / "js" / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS]
    return "\n".join(_EXPORT.sub("", _IMPORT.sub("", text)) for text in texts).replace("import.meta.url", "document.baseURI")


def _inline(script: str) -> str:
    """As it may stand in a page: nothing in it ends the script."""
    return script.replace("</script", "<\\/script")
