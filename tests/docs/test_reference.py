"""Every command, setting and error code stands in the reference."""

from __future__ import annotations

import pytest

from fairway import errors
from fairway.cli.commands import ENTRIES
from fairway.engine.settings import HOOK_SETTINGS, SETTINGS
from tests.docs.document import ROOT

REFERENCE = ROOT / "docs" / "reference"
CODES = sorted({cls.code for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, errors.FairwayError)})


@pytest.fixture(scope="module")
def reference() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(REFERENCE.glob("*.md")))


@pytest.mark.parametrize("command", sorted(ENTRIES))
def test_each_command_is_documented(command: str, reference: str) -> None:
    assert f"fairway {command}" in reference


@pytest.mark.parametrize("setting", [s.key for s in (*SETTINGS, *HOOK_SETTINGS)])
def test_each_setting_is_documented(setting: str, reference: str) -> None:
    assert f"`{setting}`" in reference


@pytest.mark.parametrize("code", CODES)
def test_each_error_code_is_documented(code: str, reference: str) -> None:
    assert f"`{code}`" in reference
