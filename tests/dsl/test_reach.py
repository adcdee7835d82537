"""What a step reaches: edits of a small project, and the steps whose digests they change. Nothing is imported to find out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fairway.dsl.reach import Reach, reach
from fairway.errors import DefinitionError

SOURCE = Path(__file__).resolve().parents[2] / "src"

FLOW = '''
"""A flow."""
import functools
import importlib
import json

import numpy as np
import registry
import shapes as sh
from helpers import WEIGHT as W
from helpers import scale
from pkg import exported
from stars import *

import fairway as fw

LIMIT = 3
TABLE = {"a": 1}
TABLE["b"] = 2
LATE = []
LATE.append(4)


def power(exponent, base):
    return base ** exponent


half = functools.partial(power, 2)
shorter = lambda x: x - LIMIT


def traced(function):
    @functools.wraps(function)
    def inner(*args):
        return function(*args)

    return inner


def hidden(x):
    return x + 40


@fw.step
def plain(x):
    """Says nothing."""
    return x  # at all


@fw.step(cpu=1)
def helped(x):
    return scale(x)


@fw.step
def constant(x):
    return x + LIMIT


@fw.step
def renamed(x):
    return x * W


@fw.step
def classy(x):
    return sh.Square(x).area()


@fw.step
@traced
def decorated(x):
    return x


@fw.step
def default(x, y=LIMIT):
    return x + y


@fw.step
def nested(x):
    def inner(y):
        return [power(z, 2) for z in range(y)]

    return inner(x)


@fw.step
def partial(x):
    return half(x)


@fw.step
def lambdas(x):
    return shorter(x)


@fw.step
def starred(x):
    return from_star(x)


@fw.step
def registered(x):
    return registry.PLUGINS["a"](x)


@fw.step
def table(x):
    return TABLE[x]


@fw.step
def late(x):
    return LATE[x]


@fw.step
def by_getattr(x):
    return getattr(sh, "Squ" + "are")(x)


@fw.step
def by_importlib(x):
    return importlib.import_module("plug_" + x)


@fw.step
def by_globals(x):
    return globals()["hid" + "den"](x)


@fw.step
def by_eval(x):
    return eval("hid" + "den(x)")


@fw.step
def packaged(x):
    return exported(x)


@fw.step
def local_import(x):
    from helpers import scale as s

    return s(x)


@fw.step
def module_attribute(x):
    import pkg.deep

    return pkg.deep.bottom(x)


@fw.step
def reads(x):
    return open("query.sql").read()


@fw.step
def numeric(x):
    return np.array(x)
'''

PROJECT = {
    "flow.py": FLOW,
    "helpers.py": """
import math

WEIGHT = 2


def unused():
    return 1


def scale(x):
    return _inner(x) + math.pi


def _inner(x):
    return x * FACTOR


FACTOR = 5
""",
    "shapes.py": """
class Shape:
    def area(self):
        return self.side ** 2


class Square(Shape):
    def __init__(self, side):
        self.side = side


class Circle(Shape):
    pass
""",
    "stars.py": "def from_star(x):\n    return x\n\n\ndef other_star(x):\n    return x\n",
    "registry.py": """
PLUGINS = {}


def plugin(name):
    def keep(function):
        PLUGINS[name] = function
        return function

    return keep


@plugin('a')
def first(x):
    return x + 1
""",
    "pkg/__init__.py": "from pkg.deep import thing as exported\n",
    "pkg/deep.py": "def thing(x):\n    return x\n\n\ndef bottom(x):\n    return x - 1\n",
    "plug_a.py": "def run(x):\n    return x\n",
    "query.sql": "select 1\n",
}
STEPS = [next(line for line in block.splitlines() if line.startswith("def "))[4:].partition("(")[0] for block in FLOW.split("@fw.step")[1:]]
ALL = set(STEPS)
WHOLE_MODULE = {"by_globals", "by_eval"}


class Project:
    """The project's files in a folder, and the digests of its steps."""

    def __init__(self, folder: Path, files: dict[str, str]) -> None:
        self.folder = folder
        self.write(files)

    def write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def reaches(self, steps: list[str] | None = None, includes: tuple[str, ...] = ("query.sql",)) -> dict[str, Reach]:
        entries = [("flow", name) for name in steps or STEPS]
        files = {name: self.folder / name for name in includes}
        return {name: found for (_, name), found in reach(self.folder / "flow.py", self.folder, entries, files).items()}

    def digests(self) -> dict[str, str]:
        return {name: found.digest for name, found in self.reaches().items()}

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text()
        assert old in text, f"{old!r} is not in {name}"
        (self.folder / name).write_text(text.replace(old, new, 1))

    def changed_by(self, name: str, old: str, new: str) -> set[str]:
        """The steps whose digests the edit changes."""
        before = self.digests()
        self.edit(name, old, new)
        after = self.digests()
        return {step for step in before if before[step] != after[step]}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path, PROJECT)


@pytest.fixture
def small(tmp_path: Path) -> Callable[..., Project]:
    """A project of a few lines: `flow.py` and other files by name."""

    def make(flow: str, **files: str) -> Project:
        return Project(tmp_path, {"flow.py": "import fairway as fw\n" + flow, **{f"{name}.py": text for name, text in files.items()}})

    return make


SILENT = [
    ("flow.py", "  # at all", "  # nothing whatever"),
    ("flow.py", '"""Says nothing."""', '"""Says something else."""'),
    ("flow.py", '    """Says nothing."""\n', ""),
    ("flow.py", '"""A flow."""', '"""Another."""'),
    ("flow.py", "    return x + LIMIT\n", "    return (\n        x\n        + LIMIT\n    )\n"),
    ("flow.py", "LIMIT = 3\n", "\n\n# how many\nLIMIT = 0x3\n"),
    ("flow.py", "@fw.step(cpu=1)\ndef helped", "@fw.step(cpu=2, retries=3)\ndef helped"),
    ("helpers.py", "def unused():\n    return 1\n", "def unused():\n    return 2\n"),
    ("helpers.py", "def unused():\n    return 1\n\n\n", ""),
    ("helpers.py", "def scale(x):\n", "def scale(x):\n    '''Scales.'''\n"),
    ("shapes.py", "class Circle(Shape):\n    pass\n", "class Circle(Shape):\n    '''Round.'''\n"),
]


@pytest.mark.parametrize(("name", "old", "new"), SILENT)
def test_an_edit_of_no_meaning_changes_no_digest(project: Project, name: str, old: str, new: str) -> None:
    assert project.changed_by(name, old, new) == set()


MEANT = [
    ("flow.py", "    return x  # at all", "    return x + 0", {"plain"}),
    ("flow.py", "    return scale(x)", "    return scale(x) + 1", {"helped"}),
    ("helpers.py", "FACTOR = 5", "FACTOR = 6", {"helped", "local_import"}),
    ("helpers.py", "    return x * FACTOR", "    return x / FACTOR", {"helped", "local_import"}),
    ("helpers.py", "WEIGHT = 2", "WEIGHT = 3", {"renamed"}),
    ("flow.py", "LIMIT = 3", "LIMIT = 4", {"constant", "default", "lambdas"}),
    ("shapes.py", "return self.side ** 2", "return self.side * 2", {"classy", "by_getattr"}),
    ("shapes.py", "        self.side = side", "        self.side = side + 1", {"classy", "by_getattr"}),
    ("shapes.py", "class Circle(Shape):\n    pass", "class Circle(Shape):\n    radius = 1", {"by_getattr"}),
    ("flow.py", "        return function(*args)", "        return function(*args) + 1", {"decorated"}),
    ("flow.py", "def default(x, y=LIMIT)", "def default(x, y=7)", {"default"}),
    ("flow.py", "        return [power(z, 2) for z in range(y)]", "        return [power(z, 3) for z in range(y)]", {"nested"}),
    ("flow.py", "    return base ** exponent", "    return base * exponent", {"nested", "partial"}),
    ("flow.py", "functools.partial(power, 2)", "functools.partial(power, 3)", {"partial"}),
    ("flow.py", "lambda x: x - LIMIT", "lambda x: x + LIMIT", {"lambdas"}),
    ("stars.py", "def from_star(x):\n    return x", "def from_star(x):\n    return -x", {"starred"}),
    ("stars.py", "def other_star(x):\n    return x", "def other_star(x):\n    return -x", set[str]()),
    ("registry.py", "    return x + 1", "    return x + 2", {"registered"}),
    ("registry.py", "        PLUGINS[name] = function", "        PLUGINS[name + '!'] = function", {"registered"}),
    ("flow.py", 'TABLE["b"] = 2', 'TABLE["b"] = 3', {"table"}),
    ("flow.py", "LATE.append(4)", "LATE.append(5)", {"late"}),
    ("plug_a.py", "    return x", "    return -x", {"by_importlib"}),
    ("flow.py", "    return x + 40", "    return x + 41", set[str]()),
    ("pkg/deep.py", "def thing(x):\n    return x", "def thing(x):\n    return -x", {"packaged"}),
    ("pkg/deep.py", "    return x - 1", "    return x - 2", {"module_attribute"}),
    ("query.sql", "select 1", "select 2", {"reads"}),
    ("flow.py", "from helpers import scale\n", "from stars import other_star as scale\n", {"helped"}),
]


@pytest.mark.parametrize(("name", "old", "new", "expected"), MEANT)
def test_an_edit_changes_the_digests_of_exactly_the_steps_that_reach_it(
    project: Project, name: str, old: str, new: str, expected: set[str]
) -> None:
    # what cannot be followed reaches its whole module, and so all that any step of it reaches
    whole = WHOLE_MODULE if expected or name == "flow.py" else set[str]()
    assert project.changed_by(name, old, new) == expected | whole


def test_what_a_module_does_when_imported_counts_for_who_imports_it(small: Callable[..., Project]) -> None:
    project = small(
        "import other\n@fw.step\ndef one(x):\n    return other.f(x)\n" + TWO,
        other="import os\nos.environ['A'] = '1'\ndef f(x):\n    return x\n",
    )
    before = {n: r.digest for n, r in project.reaches(["one", "two"], ()).items()}
    project.edit("other.py", "'1'", "'2'")
    after = {n: r.digest for n, r in project.reaches(["one", "two"], ()).items()}
    assert before["one"] != after["one"]
    assert before["two"] != after["two"]  # `flow` imports it, and so runs its statements, whichever step is run


def test_conditional_definitions_count_with_both_branches(small: Callable[..., Project]) -> None:
    project = small(
        "try:\n    from fast import f\nexcept ImportError:\n    def f(x):\n        return x\n\n@fw.step\ndef one(x):\n    return f(x)\n"
    )
    before = project.reaches(["one"], ())["one"].digest
    project.edit("flow.py", "        return x\n", "        return -x\n")
    assert project.reaches(["one"], ())["one"].digest != before


def test_subclasses_that_a_base_class_finds_count(small: Callable[..., Project]) -> None:
    project = small(
        "from base import Base\nimport kinds\n@fw.step\ndef one(x):\n    return [k().run(x) for k in Base.__subclasses__()]\n",
        base="class Base:\n    pass\n",
        kinds="from base import Base\nclass Kind(Base):\n    def run(self, x):\n        return x\n",
    )
    before = project.reaches(["one"], ())["one"].digest
    project.edit("kinds.py", "return x", "return -x")
    assert project.reaches(["one"], ())["one"].digest != before


TWO = "@fw.step\ndef two(x):\n    return x\n"  # a step that reaches nothing
REGISTRIES = [
    ("HANDLERS = []\ndef plugin(f):\n    HANDLERS.append(f)\n    return f\n", "HANDLERS[0](x)", "plugin"),
    ("HANDLERS = []\ndef keep(f):\n    HANDLERS.append(f)\ndef plugin(f):\n    keep(f)\n    return f\n", "HANDLERS[0](x)", "plugin"),
    (
        "class Handlers:\n    known = []\n    @classmethod\n    def add(cls, f):\n        cls.known.append(f)\n",
        "Handlers.known[0](x)",
        "Handlers.add",
    ),
    ("class Handlers(list):\n    def add(self, f):\n        self.append(f)\nHANDLERS = Handlers()\n", "HANDLERS[0](x)", "HANDLERS.add"),
    ("import functools\n@functools.singledispatch\ndef area(x):\n    return 0\n", "area(x)", "area.register"),
]


@pytest.mark.parametrize(("registry", "use", "decorator"), REGISTRIES)
def test_what_a_decorator_registers_counts_for_who_uses_the_registry(
    small: Callable[..., Project], registry: str, use: str, decorator: str
) -> None:
    project = small(
        f"from handlers import *\nimport plugins\n@fw.step\ndef one(x):\n    return {use}\n" + TWO,
        handlers=registry,
        plugins=f"from handlers import *\n@{decorator}\ndef handle(x: int):\n    return x + 1\n",
    )
    before = project.reaches(["one", "two"], ())
    project.edit("plugins.py", "x + 1", "x + 2")
    after = project.reaches(["one", "two"], ())
    assert before["one"].digest != after["one"].digest
    assert before["two"].digest == after["two"].digest


UNFOLLOWED = ["globals()['helper'](x)", "eval('helper(x)')", "getattr(sys.modules[__name__], 'hel' + 'per')(x)", "vars(flow)['helper'](x)"]


@pytest.mark.parametrize("use", UNFOLLOWED)
def test_where_a_name_is_computed_the_whole_module_counts(small: Callable[..., Project], use: str) -> None:
    project = small(f"import sys\nimport flow\ndef helper(x):\n    return x\n@fw.step\ndef one(x):\n    return {use}\n" + TWO)
    before = project.reaches(["one", "two"], ())
    project.edit("flow.py", "    return x\n@fw.step\ndef one", "    return -x\n@fw.step\ndef one")
    after = project.reaches(["one", "two"], ())
    assert before["one"].digest != after["one"].digest
    assert before["two"].digest == after["two"].digest


def test_a_global_that_a_helper_changes_counts(small: Callable[..., Project]) -> None:
    project = small("COUNT = 0\ndef bump():\n    global COUNT\n    COUNT += 1\n@fw.step\ndef one(x):\n    bump()\n    return COUNT\n" + TWO)
    before = project.reaches(["one", "two"], ())
    project.edit("flow.py", "COUNT = 0", "COUNT = 1")
    after = project.reaches(["one", "two"], ())
    assert before["one"].digest != after["one"].digest
    assert before["two"].digest == after["two"].digest


def test_a_local_name_hides_that_of_the_module(small: Callable[..., Project]) -> None:
    project = small("n = 1\n@fw.step\ndef one(n):\n    return [n for n in range(n)]\n")
    before = project.reaches(["one"], ())["one"].digest
    project.edit("flow.py", "n = 1", "n = 2")
    assert project.reaches(["one"], ())["one"].digest == before


def test_modules_that_import_each_other_end(small: Callable[..., Project]) -> None:
    project = small(
        "import a\n@fw.step\ndef one(x):\n    return a.f(x)\n",
        a="import b\ndef f(x):\n    return b.g(x) if x else 0\n",
        b="import a\ndef g(x):\n    return a.f(x - 1)\n",
    )
    assert set(project.reaches(["one"], ())["one"].parts) >= {"flow:one", "a:f", "b:g"}


def test_the_way_to_a_part_and_its_line_are_told(project: Project) -> None:
    found = project.reaches(["helped"])["helped"]
    line = PROJECT["helpers.py"].splitlines().index("FACTOR = 5") + 1
    assert found.where["helpers:FACTOR"] == f"helpers.py:{line}"
    assert (found.via["helpers:FACTOR"], found.via["helpers:_inner"]) == ("helpers:_inner", "helpers:scale")
    assert found.where["flow:helped"].startswith("flow.py:")


def test_packages_that_a_step_reaches_are_named(project: Project) -> None:
    found = project.reaches()
    assert found["numeric"].packages == ("numpy",)
    assert found["plain"].packages == ()


def test_a_file_that_no_code_names_counts_for_all(project: Project) -> None:
    (project.folder / "words.txt").write_text("a")
    before = project.reaches(includes=("query.sql", "words.txt"))
    (project.folder / "words.txt").write_text("b")
    after = project.reaches(includes=("query.sql", "words.txt"))
    assert {name for name in before if before[name].digest != after[name].digest} == ALL


def test_moving_a_function_to_another_module_is_an_edit_and_moving_it_within_its_module_is_none(small: Callable[..., Project]) -> None:
    project = small("def f(x):\n    return x\n\nLIMIT = 1\n\n@fw.step\ndef one(x):\n    return f(x) + LIMIT\n")
    before = project.reaches(["one"], ())["one"].digest
    project.edit("flow.py", "def f(x):\n    return x\n\nLIMIT = 1\n", "LIMIT = 1\n\ndef f(x):\n    return x\n")
    assert project.reaches(["one"], ())["one"].digest == before


def test_a_module_that_cannot_be_parsed_is_refused_with_its_line(small: Callable[..., Project]) -> None:
    project = small("import other\n@fw.step\ndef one(x):\n    return other.f(x)\n", other="def f(x):\n    return (\n")
    with pytest.raises(DefinitionError) as caught:
        project.reaches(["one"], ())
    assert caught.value.where.endswith("other.py:2")


ELSEWHERE = """
import json, sys
from fairway.dsl.reach import reach
folder, steps = sys.argv[1], json.loads(sys.argv[2])
found = reach(folder + "/flow.py", folder, [("flow", s) for s in steps], {"query.sql": folder + "/query.sql"})
print(json.dumps({name: r.digest for (_, name), r in found.items()}))
"""


def interpreters() -> list[str]:
    """This interpreter, and others of this machine that pyenv has."""
    found = [sys.executable]
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for folder in sorted(versions.glob("3.1[1-9].*")) if versions.is_dir() else []:
        if f"{sys.version_info.major}.{sys.version_info.minor}." not in folder.name and (folder / "bin" / "python").exists():
            found.append(str(folder / "bin" / "python"))
    return found


def test_the_digests_are_the_same_in_any_folder_process_order_and_version_of_python(project: Project, tmp_path: Path) -> None:
    here = project.digests()
    copy = Project(tmp_path / "some" / "other place", PROJECT)
    crowded = tmp_path / "crowded"
    crowded.mkdir()
    (crowded / "unrelated.py").write_text("x = 1\n")
    runs = [(python, seed, steps) for python in interpreters() for seed, steps in (("1", STEPS), ("77", STEPS[::-1]))]
    for python, seed, steps in runs:
        environ = {"PYTHONPATH": f"{SOURCE}{os.pathsep}{crowded}", "PYTHONHASHSEED": seed, "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [python, "-c", ELSEWHERE, str(copy.folder), json.dumps(steps)],
            env=environ,
            cwd=crowded,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == here, python
