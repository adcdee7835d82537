"""The guide names every code that an inference server answers with, and every address."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fairway.serve.protocols import ROUTES

ROOT = Path(__file__).parents[3]
SERVE = ROOT / "src" / "fairway" / "serve"
GUIDE = (ROOT / "docs" / "guides" / "protocols.md").read_text(encoding="utf-8")
FILES = [SERVE / "http.py", *(path for room in ("protocols", "schema", "replica") for path in (SERVE / room).rglob("*.py"))]
CODES = sorted({code for path in FILES for code in re.findall(r'"(FW-[A-Z-]+)"', path.read_text(encoding="utf-8"))})


@pytest.mark.parametrize("code", CODES)
def test_each_code_is_documented(code: str) -> None:
    assert f"`{code}`" in GUIDE


def test_codes_were_found() -> None:
    assert {"FW-INPUT", "FW-REQUEST", "FW-TOO-LARGE", "FW-MODEL-DIED"} <= set(CODES)


@pytest.mark.parametrize("path", sorted({route.pattern for route in ROUTES if route.method == "POST"}))
def test_each_address_is_documented(path: str) -> None:
    plain = path.replace("/versions/{version}", "").replace("{model}", "NAME")
    assert plain.removeprefix("/v1/models/NAME") in GUIDE
