"""Names of annotations, and what fits where."""

from __future__ import annotations

import collections.abc
import typing
from pathlib import Path

import pytest

from fairway.dsl import types


class Local: ...


@pytest.mark.parametrize(
    "annotation, name",
    [
        (int, "int"),
        (None, "None"),
        (typing.Any, ""),
        (object, ""),
        (list, "list"),
        (list[int], "list[int]"),
        (list[typing.Any], "list"),
        (dict[str, list[float]], "dict[str, list[float]]"),
        (dict[str, typing.Any], "dict[str, Any]"),
        (int | None, "int | None"),
        (typing.Optional[str], "str | None"),  # noqa: UP045 - as users write it
        (typing.Literal["a", "b"], "str"),
        (typing.Literal["a", 1], ""),
        (typing.Annotated[int, "help"], "int"),
        (collections.abc.Sequence[int], "list[int]"),
        (typing.List[int], "list[int]"),  # noqa: UP006
        (tuple[int, ...], "tuple[int, ...]"),
        (Path, "pathlib.Path"),
        ("pd.DataFrame", "pd.DataFrame"),
        (typing.TypeVar("T"), ""),
    ],
)
def test_type_name(annotation, name):
    assert types.type_name(annotation) == name


def test_public_names():
    import fairway as fw

    assert types.type_name(fw.File) == "fairway.File"
    assert types.type_name(list[fw.Model]) == "list[fairway.Model]"
    assert types.type_name(collections.abc.Mapping) == "collections.abc.Mapping"
    assert types.type_name(Local).endswith("test_types.Local")


@pytest.mark.parametrize(
    "have, want, fits",
    [
        ("int", "float", True),
        ("float", "int", False),
        ("bool", "int", True),
        ("str", "int", False),
        ("", "int", True),
        ("int", "", True),
        ("int", "int | None", True),
        ("int | None", "int", True),
        ("str", "int | None", False),
        ("list", "list[int]", True),
        ("list[int]", "list[str]", False),
        ("list[int]", "list[float]", True),
        ("list[int]", "int", False),
        ("dict[str, int]", "dict", True),
        ("dict", "fairway.Metrics", True),
        ("dict", "fairway.Model", False),
        ("int", "fairway.File", False),
        ("pandas.DataFrame", "polars.DataFrame", True),
        ("churn.Thing", "other.Thing", True),
        ("fairway.File", "fairway.Directory", False),
    ],
)
def test_fits(have, want, fits):
    import fairway as fw

    assert fw.File and fw.Directory
    assert types.fits(have, want) is fits


def test_importing_fairway_loads_nothing_else():
    import subprocess
    import sys

    code = "import sys; before = set(sys.modules); import fairway; print(*sorted(set(sys.modules) - before))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert set(found) <= {"__future__", "fairway"}


def test_the_room_called_step_does_not_hide_the_decorator():
    import fairway
    import fairway.step.context

    @fairway.step
    def a() -> None: ...

    assert type(a).__name__ == "Step"
    assert set(fairway.__all__) <= set(dir(fairway))
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        fairway.nothing_of_the_kind
