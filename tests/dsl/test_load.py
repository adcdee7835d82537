"""Finding a pipeline by what a person writes."""

from __future__ import annotations

import pytest

from fairway.dsl.load import load_pipeline
from fairway.errors import DefinitionError, NotFoundError

ONE = """
import fairway as fw

@fw.step
def a(x: int = 1) -> int:
    return x

@fw.pipeline
def inner():
    return a()

@fw.pipeline
def outer():
    return inner()
"""


def test_the_outermost_pipeline_of_a_file(write):
    path = write(ONE)
    assert load_pipeline(str(path)).name == "outer"
    assert load_pipeline(f"{path}:inner").name == "inner"
    assert load_pipeline(path) is load_pipeline(str(path))


def test_modules_by_name(write, monkeypatch):
    path = write(ONE, "shop.py")
    monkeypatch.syspath_prepend(str(path.parent))
    assert load_pipeline("shop:inner").name == "inner"


def test_two_files_of_one_name(write, tmp_path):
    first = load_pipeline(str(write(ONE, "same.py")))
    (tmp_path / "other").mkdir()
    second = tmp_path / "other" / "same.py"
    second.write_text(ONE.replace("outer", "another"))
    assert first.name == "outer" and load_pipeline(str(second)).name == "another"


def test_a_file_beside_is_imported(write):
    write("from fairway import step\n@step\ndef a(): ...\n", "parts_of_it.py")
    path = write("import fairway as fw\nfrom parts_of_it import a\n@fw.pipeline\ndef main():\n    a()\n")
    assert load_pipeline(str(path)).trace().steps["a"].module == "parts_of_it"


@pytest.mark.parametrize(
    "source, target, error, message, hint",
    [
        (None, "nothing.py", NotFoundError, "there is no file", "churn.py"),
        (None, "no.such.module", NotFoundError, "no file or module", "package.module"),
        (ONE, ":none", NotFoundError, "no pipeline `none`", "inner, outer"),
        (ONE, ":outr", NotFoundError, "no pipeline `outr`", "Did you mean `outer`?"),
        (ONE, ":a", DefinitionError, "is not a pipeline but a Step", "@fw.pipeline"),
        ("x = 1\n", "", DefinitionError, "has no pipeline", "@fw.pipeline"),
        (ONE + "\n@fw.pipeline\ndef third():\n    pass\n", "", DefinitionError, "several pipelines", ":inner"),
        ("def f(:\n", "", DefinitionError, "invalid syntax", "syntax"),
        ("\nimport no_such_thing_at_all\n", "", DefinitionError, "No module named", "pip install no_such_thing_at_all"),
        ("\n\n1 / 0\n", "", DefinitionError, "ZeroDivisionError", "mend"),
    ],
)
def test_what_cannot_be_loaded(write, source, target, error, message, hint):
    if source is not None:
        target = f"{write(source)}{target}"
    with pytest.raises(error) as caught:
        load_pipeline(target)
    assert message in caught.value.message and hint in caught.value.hint


def test_the_line_that_is_to_blame(write):
    with pytest.raises(DefinitionError) as caught:
        load_pipeline(str(write("import fairway\n\n1 / 0\n")))
    assert caught.value.where.endswith(".py:3")


def test_a_name_of_pythons_own_modules(write):
    with pytest.raises(DefinitionError) as caught:
        load_pipeline(str(write(ONE, "json.py")))
    assert "json_pipeline.py" in caught.value.hint


def test_a_name_that_is_no_module(write):
    with pytest.raises(DefinitionError) as caught:
        load_pipeline(str(write(ONE, "my-flow.py")))
    assert "my_flow.py" in caught.value.hint
