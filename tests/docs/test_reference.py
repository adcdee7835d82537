"""Every command, setting, event and error code stands in the reference."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click
import pytest

from fairway import errors
from fairway.cli.commands import ENTRIES
from fairway.engine.settings import HOOK_SETTINGS, SERVING_SETTINGS, SETTINGS, Setting
from fairway.engine.targets import KIND_SETTING, KUBERNETES_SETTINGS, LIMIT_SETTINGS, LOCAL_SETTINGS, OIDC_SETTINGS, SERVER_SETTINGS
from fairway.spec import event
from fairway.spec.gang import Gang, Place
from fairway.train.frameworks import BUILT_IN, get_framework
from fairway.web.openapi import make_document
from tests.docs.document import ROOT

REFERENCE = ROOT / "docs" / "reference"
ALL_SETTINGS = (
    *SETTINGS,
    *HOOK_SETTINGS,
    *SERVING_SETTINGS,
    KIND_SETTING,
    *LOCAL_SETTINGS,
    *KUBERNETES_SETTINGS,
    *LIMIT_SETTINGS,
    *OIDC_SETTINGS,
    *SERVER_SETTINGS,
)
CODES = sorted({cls.code for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, errors.FairwayError)})


@pytest.fixture(scope="module")
def reference() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(REFERENCE.glob("*.md")))


@pytest.mark.parametrize("command", sorted(ENTRIES))
def test_each_command_is_documented(command: str, reference: str) -> None:
    assert f"fairway {command}" in reference


@pytest.mark.parametrize("setting", ALL_SETTINGS, ids=lambda setting: setting.key)
def test_each_setting_is_documented_with_what_it_does(setting: Setting) -> None:
    page = (REFERENCE / "settings.md").read_text(encoding="utf-8")
    assert [line for line in page.splitlines() if line.startswith(f"| `{setting.key}` |") and line.endswith(f"| {setting.help} |")]


@pytest.mark.parametrize("code", CODES)
def test_each_error_code_is_documented(code: str, reference: str) -> None:
    assert f"`{code}`" in reference


@pytest.mark.parametrize("name", sorted(event.EVENTS))
def test_each_event_is_documented_with_its_fields(name: str) -> None:
    page = (REFERENCE / "events.md").read_text(encoding="utf-8")
    about = page.partition(f"### {name}\n")[2].partition("\n### ")[0]
    assert about
    assert [field for field in event.EVENTS[name].record_fields if f"`{field}`" not in about] == []


@pytest.mark.parametrize("command", sorted(ENTRIES))
def test_each_option_of_each_command_is_documented(command: str) -> None:
    page = (REFERENCE / "cli.md").read_text(encoding="utf-8")
    about = page.partition(f"### fairway {command}\n")[2].partition("\n### ")[0]
    options = [param for param in import_module(f"fairway.cli.{ENTRIES[command].module}").command.params if isinstance(param, click.Option)]
    assert [name for option in options for name in option.opts if name not in about] == []


@pytest.mark.parametrize(("path", "method"), [(path, method) for path, methods in make_document()["paths"].items() for method in methods])
def test_each_endpoint_is_documented_with_its_parameters(path: str, method: str) -> None:
    page = (REFERENCE / "api.md").read_text(encoding="utf-8")
    about = page.partition(f"### {method.upper()} {path}\n")[2].partition("\n### ")[0]
    operation = make_document()["paths"][path][method]
    assert operation["description"] in about
    assert [one["name"] for one in operation["parameters"] if f"| `{one['name']}` |" not in about] == []


def test_the_page_of_the_api_is_what_the_server_says_now() -> None:
    from tools.gen_reference import render_api

    assert (REFERENCE / "api.md").read_text(encoding="utf-8") == render_api()


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_each_framework_is_documented_with_its_variables_and_options(name: str) -> None:
    row: Any = get_framework(name)
    page = (REFERENCE / "frameworks.md").read_text(encoding="utf-8")
    assert f"| [`{name}`](#{name}) | {row.title} |" in page
    about = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    assert name == "plain" or f"<{row.source}>" in about
    assert [option for option, does in getattr(row, "options", {}).items() if f"| `{option}` | {does} |" not in about] == []
    place = Place(0, 2, replicas=2, hosts=("10.0.0.1",) * 2, ports=((1, 2), (3, 4)), roles=("", ""), key="k", folder="/folder")
    plain = page.partition("\n## plain\n")[2].partition("\n## ")[0]
    assert [variable for variable in row.environment(place, Gang(2, name)) if f"`{variable}`" not in about + plain] == []
