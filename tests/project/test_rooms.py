"""What may be imported where, beyond what the layers say: rooms that travel are standard library only, and a run's path stays lean."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import fairway

PACKAGE = Path(fairway.__file__).parent
TRAVELLING = [
    PACKAGE / "__init__.py",
    PACKAGE / "errors.py",
    *sorted(p for r in ("spec", "dsl", "step") for p in (PACKAGE / r).rglob("*.py")),
]
SLOW = {
    "asyncio",
    "dataclasses",
    "inspect",
    "logging",
    "rich",
    "click",
    "tempfile",
    "uuid",
    "concurrent",
    "multiprocessing",
    "tomllib",
    "yaml",
}


def imported_at_once(tree: ast.AST) -> Iterator[str]:
    """Top-level names of what importing the module imports: not in functions, not for type checkers only."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").partition(".")[0]
        else:
            yield from imported_at_once(node)


@pytest.mark.parametrize("path", TRAVELLING, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_what_travels_needs_only_the_standard_library(path: Path) -> None:
    strangers = set(imported_at_once(ast.parse(path.read_text(encoding="utf-8")))) - set(sys.stdlib_module_names) - {"fairway"}
    assert not strangers, f"{path.name} imports {strangers}; import it in the function that needs it"


@pytest.mark.parametrize(
    "code",
    [
        "import fairway",
        "import fairway as fw; fw.step; fw.pipeline; fw.each; fw.File; fw.log",
        "import fairway.step.worker, fairway.step.zygote",
    ],
)
def test_what_every_run_imports_is_lean(code: str) -> None:
    probe = f"import sys; before = set(sys.modules)\n{code}\nprint(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-I", "-c", probe], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & SLOW
    assert not loaded & {"numpy", "pandas", "msgspec", "sqlite3"}


def test_every_public_name_is_there() -> None:
    for name in fairway.__all__:
        assert getattr(fairway, name) is not None
    assert set(fairway.__all__) <= set(dir(fairway))
    with pytest.raises(AttributeError, match="nonsense"):
        fairway.nonsense
