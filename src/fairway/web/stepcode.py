"""A step's source as it was in its run: read from the run's bundle, and coloured line by line. Nothing is imported."""

from __future__ import annotations

import ast
import io
import keyword
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from markupsafe import Markup

from fairway.errors import FairwayError
from fairway.spec.graph import StepDef
from fairway.spec.layout import BUNDLES
from fairway.spec.ports import ArtifactStore
from fairway.spec.record import Record, record
from fairway.step.bundles import bundle_key, unpack_bundle

FILE_LIMIT_BYTES = 2 << 20
LINES_SHOWN = 2_000
_NUMBERS = frozenset({"None", "True", "False"})


@record
class CodeLine(Record):
    """One line: `html` is escaped. `inside`: it is the step's own."""

    number: int
    html: Markup
    inside: bool


@record
class StepCode(Record):
    """`file` as in the bundle; lines `first` to `last` are the step's own function. `lines` is the whole file, as far as it is shown."""

    file: str
    first: int
    last: int
    lines: tuple[CodeLine, ...]
    cut: bool = False

    @property
    def own(self) -> tuple[CodeLine, ...]:
        """The step's lines alone."""
        return tuple(line for line in self.lines if line.inside)


def read_code(step: StepDef, bundle: str, home: str, artifacts: ArtifactStore) -> StepCode | None:
    """The file that the step is defined in, None where the bundle is not kept or has no such file. Blocks."""
    folder = find_bundle(bundle, home, artifacts)
    if folder is None:
        return None
    path = _find_file(folder, step)
    if not path:
        return None
    try:
        with (folder / path).open(encoding="utf-8", errors="replace") as file:
            text = file.read(FILE_LIMIT_BYTES)
    except OSError:
        return None
    first, last = find_lines(text, step.qualname) if path.endswith(".py") else (0, 0)
    coloured = colour_python(text) if path.endswith(".py") else [Markup.escape(line) for line in text.split("\n")]
    while coloured and not coloured[-1]:
        coloured.pop()
    begin = max(0, min(first - 1, len(coloured) - LINES_SHOWN)) if len(coloured) > LINES_SHOWN else 0
    lines = tuple(
        CodeLine(number, html, first <= number <= last) for number, html in enumerate(coloured[begin : begin + LINES_SHOWN], begin + 1)
    )
    return StepCode(path, first, last, lines, len(coloured) > len(lines))


def find_bundle(bundle: str, home: str, artifacts: ArtifactStore) -> Path | None:
    """The folder of a bundle; it is unpacked if only the store has it. None if neither has."""
    if not bundle or not home:
        return None
    folder = Path(home, BUNDLES, bundle)
    if folder.is_dir():
        return folder
    try:
        return Path(unpack_bundle(artifacts.get(bundle_key(bundle)), bundle, home))
    except FairwayError:
        return None


def find_lines(text: str, qualname: str) -> tuple[int, int]:
    """First and last line of the function, its decorators included; (0, 0) if there is none."""
    try:
        body: Sequence[ast.AST] = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError):
        return 0, 0
    found: ast.AST | None = None
    for name in qualname.split("."):
        found = next((node for node in _definitions(body) if node.name == name), None)  # type: ignore[attr-defined]
        if found is None:
            return 0, 0
        body = found.body  # type: ignore[attr-defined]
    decorators: list[ast.expr] = getattr(found, "decorator_list", [])
    first = min([found.lineno, *(decorator.lineno for decorator in decorators)])  # type: ignore[union-attr]
    return first, found.end_lineno or first  # type: ignore[union-attr]


def colour_python(text: str) -> list[Markup]:
    """The lines as HTML: comments, strings, keywords, numbers and defined names each in a span. What is no Python is left uncoloured."""
    lines = text.split("\n")
    spans: dict[int, list[tuple[int, int, str]]] = {}
    before = ""
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            kind = _kind_of(token, before)
            if token.type not in (tokenize.NL, tokenize.COMMENT):
                before = token.string
            if kind:
                for line, begin, end in _parts(token, lines):
                    spans.setdefault(line, []).append((begin, end, kind))
    except (tokenize.TokenError, SyntaxError, ValueError):
        spans = dict(spans)  # as far as it could be read
    return [_paint(line, spans.get(number, [])) for number, line in enumerate(lines, 1)]


def _kind_of(token: tokenize.TokenInfo, before: str) -> str:
    if token.type == tokenize.COMMENT:
        return "c"
    if token.type == tokenize.STRING or tokenize.tok_name[token.type].startswith("FSTRING"):
        return "s"
    if token.type == tokenize.NUMBER or token.string in _NUMBERS:
        return "n"
    if token.type == tokenize.NAME and keyword.iskeyword(token.string):
        return "k"
    if token.type == tokenize.NAME and before in ("def", "class", "@"):
        return "d"
    return ""


def _parts(token: tokenize.TokenInfo, lines: Sequence[str]) -> Iterator[tuple[int, int, int]]:
    (first, begin), (last, end) = token.start, token.end
    for line in range(first, last + 1):
        yield line, begin if line == first else 0, end if line == last else len(lines[line - 1])


def _paint(line: str, spans: Sequence[tuple[int, int, str]]) -> Markup:
    made, at = Markup(""), 0
    for begin, end, kind in spans:
        made += Markup.escape(line[at:begin])
        made += Markup('<span class="code-{}">{}</span>').format(kind, line[begin:end])
        at = end
    return made + Markup.escape(line[at:])


def _definitions(body: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """Functions and classes at this level, those under an `if` or `try` too."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node
        elif isinstance(node, ast.If | ast.Try | ast.With):
            yield from _definitions([*node.body, *getattr(node, "orelse", [])])


def _find_file(folder: Path, step: StepDef) -> str:
    """The step's file in the bundle: that of its module, or the first one that its command names."""
    if step.module:
        inner = step.module.replace(".", "/")
        return next((path for path in (f"{inner}.py", f"{inner}/__init__.py") if (folder / path).is_file()), "")
    for word in step.argv:
        path = PurePosixPath(word)
        if not path.is_absolute() and ".." not in path.parts and path.parts and (folder / path).is_file():
            return str(path)
    return ""
