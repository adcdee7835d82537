"""Text, programs and Markdown. Runs in a process of its own."""

from __future__ import annotations

import json
import math
import re
from typing import Any
from urllib.parse import urlsplit

from fairway.web.previews.sights import CannotSee
from fairway.web.previews.source import Source

TEXT_LIMIT_BYTES = 256 << 10
MARKDOWN_LIMIT_BYTES = 512 << 10
VALUE_LIMIT_BYTES = 1 << 20
HEX_LIMIT_BYTES = 512
LINE_CHARACTERS = 2_000
_SAFE_LINKS = ("", "http", "https", "mailto")


def see_text(source: Source, args: dict[str, Any]) -> dict[str, Any]:
    """{"lines": […], "complete"}; with a name that tells the language {"markup": […]} too: a safe line of HTML each. Of what is no text
    {"hex": [(offset, digits, characters), …]}."""
    head = source.head(TEXT_LIMIT_BYTES)
    complete = len(head) >= source.size_bytes
    text = _decode(head, complete)
    if text is None or args.get("hex"):
        return {"hex": _hex(head[:HEX_LIMIT_BYTES]), "complete": len(head) <= HEX_LIMIT_BYTES and complete}
    lines = text.split("\n")
    if lines and not lines[-1] and complete:
        lines.pop()
    lines = [_clip(line.rstrip("\r")) for line in lines]
    shown: dict[str, Any] = {"lines": lines, "complete": complete}
    markup = _highlight("\n".join(lines), source.name)
    return {**shown, "markup": markup} if markup is not None and len(markup) == len(lines) else shown


def see_value(source: Source, args: dict[str, Any]) -> dict[str, Any]:
    """{"value": …} of a small JSON text; numbers that JSON has no word for are None."""
    if source.size_bytes > VALUE_LIMIT_BYTES:
        raise CannotSee("this is too large to be shown here", "download it")
    try:
        return {"value": _finite(json.loads(source.head(VALUE_LIMIT_BYTES)))}
    except (ValueError, RecursionError):
        raise CannotSee("this is not JSON", "download it to see what it is") from None


def see_markdown(source: Source, args: dict[str, Any]) -> dict[str, Any]:
    """{"html", "complete"}: HTML in the text is text; links lead out with no rights of ours; pictures are those of `args["pictures"]`."""
    head = source.head(MARKDOWN_LIMIT_BYTES)
    return {
        "html": render_markdown(head.decode("utf-8", "replace"), str(args.get("pictures") or "")),
        "complete": len(head) >= source.size_bytes,
    }


def render_markdown(text: str, pictures: str = "") -> str:
    """Safe HTML. `pictures`: the address that relative ones stand below, "" for none at all."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False, "linkify": False, "typographer": False}).enable(["table", "strikethrough"])
    parser.validateLink = _is_safe  # type: ignore[method-assign]
    tokens = parser.parse(text)
    for token in tokens:
        _settle_links(token.children or ())
        for child in token.children or ():
            if child.type == "image":
                _settle_picture(child, pictures)
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + 1)}"
        elif token.type in ("th_open", "td_open"):
            token.attrs = {name: value for name, value in token.attrs.items() if name != "style"}
    parser.options["highlight"] = lambda code, name, _: _highlight_block(code, name)
    return parser.renderer.render(tokens, parser.options, {})


def _settle_links(tokens: Any) -> None:
    """Links lead out, with no rights of ours; what would lead to another page of this server is no link."""
    dropped = False
    for token in tokens:
        if token.type == "link_open":
            dropped = not re.match(r"(?:https?:|mailto:|#)", str(token.attrs.get("href", "")), re.IGNORECASE)
            token.attrSet("rel", "noopener noreferrer nofollow")
            token.attrSet("target", "_blank")
        if token.type in ("link_open", "link_close") and dropped:
            token.type, token.tag, token.nesting, token.attrs, token.content = "text", "", 0, {}, ""


def _settle_picture(token: Any, pictures: str) -> None:
    """One of the artifact's own files, else its text alone: a picture from elsewhere would tell others who reads this."""
    from urllib.parse import quote, unquote

    path = unquote(str(token.attrs.get("src", "")))
    parts = urlsplit(path)
    own = (
        pictures and not parts.scheme and not parts.netloc and not path.startswith("/") and ".." not in path.split("/") and "\\" not in path
    )
    if own:
        token.attrSet("src", f"{pictures}{quote(path.removeprefix('./'))}")
        token.attrSet("loading", "lazy")
        return
    token.type, token.tag = "text", ""
    token.content = f"[picture: {token.content or path}]"


def _is_safe(url: str) -> bool:
    try:
        return urlsplit(url.strip()).scheme.lower() in _SAFE_LINKS and not re.match(
            r"[\s\x00-\x20]*(javascript|vbscript|data|file):", url, re.IGNORECASE
        )
    except ValueError:
        return False


def _highlight(text: str, name: str) -> list[str] | None:
    lexer = _lexer(name)
    if lexer is None:
        return None
    return _paint(text, lexer).split("\n")


def _highlight_block(code: str, language: str) -> str:
    lexer = _lexer(f"x.{language}") if language and re.fullmatch(r"[a-z0-9+]{1,12}", language.lower()) else None
    if lexer is None:
        lexer = _lexer_by_name(language)
    return _paint(code, lexer) if lexer is not None else ""


def _lexer(name: str) -> Any:
    if not name or name.lower().endswith((".txt", ".log", ".csv", ".md")):
        return None
    try:
        from pygments.lexers import get_lexer_for_filename
        from pygments.util import ClassNotFound
    except ImportError:
        return None
    try:
        return get_lexer_for_filename(name, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None


def _lexer_by_name(language: str) -> Any:
    try:
        from pygments.lexers import get_lexer_by_name
        from pygments.util import ClassNotFound
    except ImportError:
        return None
    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False) if language else None
    except ClassNotFound:
        return None


def _paint(text: str, lexer: Any) -> str:
    """Escaped, with a `span` around each word that has a colour; no span reaches over the end of its line."""
    from html import escape

    parts: list[str] = []
    for kind, value in lexer.get_tokens(text):
        colour = _colour(kind)
        for number, line in enumerate(value.split("\n")):
            if number:
                parts.append("\n")
            if line:
                parts.append(f'<span class="c{colour}">{escape(line)}</span>' if colour else escape(line))
    return "".join(parts)


def _colour(kind: Any) -> int:
    """The number of the design token --code-N for a kind of word, 0 for none."""
    name = str(kind).removeprefix("Token.")
    if name.startswith("Comment"):
        return 5
    if name.startswith("Keyword"):
        return 4
    if name.startswith(("Literal.String", "String")):
        return 2
    if name.startswith(("Literal.Number", "Number", "Keyword.Constant")):
        return 3
    return 1 if name.startswith(("Name.Function", "Name.Class", "Name.Decorator", "Name.Tag", "Name.Builtin")) else 0


def _decode(head: bytes, complete: bool) -> str | None:
    if b"\0" in head:
        return None
    for cut in range(1 if complete else 4):
        try:
            return head[: len(head) - cut].decode("utf-8")
        except UnicodeDecodeError:
            continue
    return None


def _clip(line: str) -> str:
    return line if len(line) <= LINE_CHARACTERS else line[: LINE_CHARACTERS - 1] + "…"


def _hex(data: bytes) -> list[list[str]]:
    rows = (data[at : at + 16] for at in range(0, len(data), 16))
    return [[f"{16 * n:06x}", row.hex(" "), "".join(chr(c) if 32 <= c < 127 else "·" for c in row)] for n, row in enumerate(rows)]


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return value
