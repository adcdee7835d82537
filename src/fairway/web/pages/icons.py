"""The icons: single strokes on a grid of 16, drawn into the page so that they take the text's colour."""

from __future__ import annotations

from markupsafe import Markup

_PATHS = {
    "search": "M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10ZM14 14l-3.5-3.5",
    "check": "m3 8.5 3.2 3.2L13 5",
    "cross": "m4 4 8 8M12 4l-8 8",
    "dot": "M8 9.5a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3Z",
    "ring": "M8 13A5 5 0 1 0 8 3a5 5 0 0 0 0 10Z",
    "clock": "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12ZM8 5v3l2 1.5",
    "skip": "M3 8h10M10 5l3 3-3 3",
    "cached": "M8 3c3 0 5 .9 5 2s-2 2-5 2-5-.9-5-2 2-2 5-2ZM3 5v6c0 1.1 2 2 5 2s5-.9 5-2V5M3 8c0 1.1 2 2 5 2s5-.9 5-2",
    "retry": "M13 8a5 5 0 1 1-1.5-3.6M13 2.5v2.5h-2.5",
    "stop": "M4.5 4.5h7v7h-7z",
    "play": "m5 3.5 7 4.5-7 4.5z",
    "pause": "M5.5 4v8M10.5 4v8",
    "copy": "M6 6h7v7H6zM3.5 10V3.5H10",
    "down": "m4 6 4 4 4-4",
    "up": "m4 10 4-4 4 4",
    "right": "m6 4 4 4-4 4",
    "left": "m10 4-4 4 4 4",
    "sun": "M8 10.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5ZM8 1.5v1.5M8 13v1.5"
    "M1.5 8H3M13 8h1.5M3.4 3.4l1 1M11.6 11.6l1 1M3.4 12.6l1-1M11.6 4.4l1-1",
    "moon": "M13 9.5A5.5 5.5 0 0 1 6.5 3 5.5 5.5 0 1 0 13 9.5Z",
    "auto": "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12ZM8 2v12M8 5l4-1.5M8 8h6M8 11l4 1.5",
    "help": "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12ZM6.3 6.5A1.7 1.7 0 1 1 8 8.3v.9M8 11.3v.1",
    "runs": "M2.5 4h2M6.5 4h7M2.5 8h2M6.5 8h7M2.5 12h2M6.5 12h7",
    "pipelines": "M3 3.5h3.5v3H3zM9.5 9.5H13v3H9.5zM4.7 6.5v4.5h4.8",
    "artifacts": "m8 2 5.5 3v6L8 14l-5.5-3V5zM2.5 5 8 8l5.5-3M8 8v6",
    "endpoints": "M2 8h3.5M10.5 8H14M8 10.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5ZM4.2 3.5a6 6 0 0 1 7.6 0M4.2 12.5a6 6 0 0 0 7.6 0",
    "back": "M6 3.5 2.5 7 6 10.5M3 7h6.5a3.5 3.5 0 0 1 0 7H7",
    "send": "M2.5 3 14 8 2.5 13l1.5-5zM4 8h5",
    "key": "M10.5 8.5a3 3 0 1 0-2.8-2L2.5 11.7V13.5h2v-1.5H6v-1.5h1.5l.7-.7",
    "cold": "M8 2v12M3 5l10 6M13 5 3 11",
    "system": "M2.5 3h11v4h-11zM2.5 9h11v4h-11zM5 5v.1M5 11v.1",
    "compare": "M5 2.5v11M11 2.5v11M2.5 5.5h5M8.5 10.5h5",
    "filter": "M2.5 4h11M4.5 8h7M6.5 12h3",
    "columns": "M2.5 3h11v10h-11zM6.2 3v10M9.8 3v10",
    "tag": "M2.5 2.5h5l6 6-5 5-6-6zM5.5 5.5v.1",
    "link": "M7 9.5a2.5 2.5 0 0 0 3.6 0l2-2A2.5 2.5 0 0 0 9 4l-.8.8M9 6.5a2.5 2.5 0 0 0-3.6 0l-2 2A2.5 2.5 0 0 0 7 12l.8-.8",
    "menu": "M2.5 4.5h11M2.5 8h11M2.5 11.5h11",
    "more": "M3.5 8a.5.5 0 1 0 1 0 .5.5 0 1 0-1 0M7.5 8a.5.5 0 1 0 1 0 .5.5 0 1 0-1 0M11.5 8a.5.5 0 1 0 1 0 .5.5 0 1 0-1 0",
    "warn": "M8 2.5 14 13H2zM8 6.5v3M8 11.3v.1",
    "info": "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12ZM8 7.5v3.5M8 5v.1",
    "download": "M8 2.5v7M5 7l3 3 3-3M3 13h10",
    "file": "M4 2h5l3.5 3.5V14H4zM9 2v4h3.5",
    "folder": "M2 4h4l1.5 2H14v7H2z",
    "user": "M8 8a2.7 2.7 0 1 0 0-5.4A2.7 2.7 0 0 0 8 8ZM3 14c.5-2.7 2.5-4 5-4s4.5 1.3 5 4",
    "logout": "M6 2.5H3v11h3M7 8h6.5M11 5.5 13.5 8 11 10.5",
    "expand": "M9.5 2.5h4v4M13.5 2.5l-5 5M6.5 13.5h-4v-4M2.5 13.5l5-5",
    "fit": "M2.5 5.5v-3h3M10.5 2.5h3v3M13.5 10.5v3h-3M5.5 13.5h-3v-3",
    "plus": "M8 3v10M3 8h10",
    "minus": "M3 8h10",
    "graph": "M3 3h3v3H3zM10 3h3v3h-3zM6.5 10.5h3v3h-3zM4.5 6v1.5L8 10.5M11.5 6v1.5L8 10.5",
    "timeline": "M2.5 3.5h5M5.5 8h6M9.5 12.5h4",
    "archive": "M2.5 3h11v3h-11zM3.5 6v7h9V6M6.5 8.5h3",
    "trash": "M3 4.5h10M6.5 4.5V3h3v1.5M4.5 4.5 5 13.5h6l.5-9",
    "wrap": "M2.5 4h11M2.5 8h8.7a2.4 2.4 0 0 1 0 4.8H8.5M10 11l-1.8 1.8L10 14.5M2.5 12.8h3",
    "lock": "M4 7h8v6.5H4zM5.5 7V5a2.5 2.5 0 0 1 5 0v2",
}


def draw_icon(name: str, label: str = "") -> Markup:
    """The icon as SVG; without a label it is decoration. KeyError for a name that is none."""
    path = _PATHS[name]
    told = Markup('role="img" aria-label="{}"').format(label) if label else Markup('aria-hidden="true"')
    return Markup('<svg class="icon" viewBox="0 0 16 16" {}><path d="{}"/></svg>').format(told, path)
