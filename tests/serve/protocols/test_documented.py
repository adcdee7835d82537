"""Every code that a served model answers with is in one table, with its status; the guide and the reference name it, and every address."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from fairway.serve.protocols import ROUTES
from fairway.serve.refusal import CODES

ROOT = Path(__file__).parents[3]
SERVE = ROOT / "src" / "fairway" / "serve"
GUIDES = {name: (ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("guides/protocols.md", "reference/errors.md")}
ROOMS = ("protocols", "schema", "replica", "gateway", "package", "feedback")
ROOTED = ("http.py", "connection.py", "exchange.py", "refusal.py")
FILES = [*(SERVE / name for name in ROOTED), *(path for room in ROOMS for path in sorted((SERVE / room).rglob("*.py")))]


def said() -> list[tuple[str, str, int]]:
    """(file:line, code, status) wherever a refusal or a failed result is made with both written out; status 0 where it is not."""
    found: list[tuple[str, str, int]] = []
    for path in FILES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        constants = {
            target.id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id not in ("Refused", "failed"):
                continue
            given = [one.value if isinstance(one, ast.Constant) else constants.get(getattr(one, "id", "")) for one in node.args[:2]]
            if len(given) == 2 and isinstance(given[1], str):
                found.append((f"{path.name}:{node.lineno}", given[1], given[0] if isinstance(given[0], int) else 0))
    return found


SAID = said()


@pytest.mark.parametrize(("where", "code", "status"), SAID, ids=[where for where, _code, _status in SAID])
def test_each_refusal_has_a_code_and_a_status_of_the_table(where: str, code: str, status: int) -> None:
    assert code in CODES
    assert not status or status in CODES[code][0]


def test_no_code_of_the_table_is_never_said() -> None:
    assert len(SAID) > 80
    assert set(CODES) - {code for _where, code, _status in SAID} == set()


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("guide", GUIDES)
def test_each_code_is_documented(guide: str, code: str) -> None:
    assert f"`{code}`" in GUIDES[guide]


@pytest.mark.parametrize("path", sorted({route.pattern for route in ROUTES if route.method == "POST"}))
def test_each_address_is_documented(path: str) -> None:
    plain = path.replace("/versions/{version}", "").replace("{model}", "NAME")
    assert plain.removeprefix("/v1/models/NAME") in GUIDES["guides/protocols.md"]
