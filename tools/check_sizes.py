"""Hold src/ to its size limits: files stop at 600 lines, functions at 60 lines and 7 parameters.

Prints each breach as file:line; exit status 1 if there is any.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILE_LINES, FUNCTION_LINES, PARAMETERS = 600, 60, 7


def main(folder: Path) -> int:
    breaches = [breach for path in sorted(folder.rglob("*.py")) for breach in check_file(path)]
    print("\n".join(breaches) or f"sizes: all files of {folder.name}/ are within their limits")
    return 1 if breaches else 0


def check_file(path: Path) -> Iterator[str]:
    """Breaches of one file, in order."""
    text = path.read_text(encoding="utf-8")
    shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    lines = text.count("\n")
    if lines > FILE_LINES:
        yield f"{shown}:{FILE_LINES + 1}: the file has {lines} lines; split it, {FILE_LINES} is the limit"
    tree = ast.parse(text)
    methods = {id(item) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for item in node.body}
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if length > FUNCTION_LINES:
            yield f"{shown}:{node.lineno}: {node.name} has {length} lines; {FUNCTION_LINES} is the limit"
        count = count_parameters(node, method=id(node) in methods)
        if count > PARAMETERS and not is_command(node):
            yield f"{shown}:{node.lineno}: {node.name} takes {count} parameters; {PARAMETERS} is the limit"


def is_command(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether it is a command of the command line, which has one parameter for each of its options and is never called by hand."""
    names = {part.attr for decorator in node.decorator_list for part in ast.walk(decorator) if isinstance(part, ast.Attribute)}
    return bool(names & {"option", "argument", "command"})


def count_parameters(node: ast.FunctionDef | ast.AsyncFunctionDef, *, method: bool) -> int:
    """Parameters a caller fills in by position or must know: `self` and keyword-only ones with a default do not count."""
    spec = node.args
    bound = method and not any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in node.decorator_list)
    required_keywords = sum(default is None for default in spec.kw_defaults)
    return len(spec.posonlyargs) + len(spec.args) - (1 if bound else 0) + required_keywords


if __name__ == "__main__":
    sys.exit(main(ROOT / "src"))
