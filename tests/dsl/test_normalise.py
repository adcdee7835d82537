"""Code as it is compared: what changes its normalised text and what does not, and which names it uses."""

from __future__ import annotations

import ast
import textwrap

from hypothesis import given, settings
from hypothesis import strategies as st

from fairway.dsl.normalise import Scan, scan


def read(source: str) -> Scan:
    return scan(ast.parse(textwrap.dedent(source)).body, lambda chain: chain[0] == "fw")


def text_of(source: str) -> str:
    return read(source).text


def loads(source: str) -> set[str]:
    return {".".join(chain) for chain in read(source).loads}


STATEMENTS = st.sampled_from(
    [
        "x = 1",
        "y = [a for a in range(3) if a]",
        "def f(a, *b, c=2, **d):\n    return a + c",
        "class K(Base):\n    z: int = 4\n    def m(self):\n        return self.z",
        "for i in items:\n    total += i",
        "if x > 2:\n    use(x)\nelse:\n    drop(x)",
        "with open(p) as file:\n    read(file)",
        "try:\n    go()\nexcept (A, B) as error:\n    stop(error)\nfinally:\n    end()",
        "match value:\n    case {'a': 1, **rest}:\n        yes(rest)\n    case _:\n        no()",
        "f = lambda q, /, r=3: q * r",
        "print(f'{x!r:>{width}}')",
        "async def g():\n    async with a as b:\n        await b",
    ]
)


@given(st.lists(STATEMENTS, min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_formatting_and_comments_change_nothing(statements: list[str]) -> None:
    source = "\n".join(statements)
    plain = text_of(source)
    assert text_of(ast.unparse(ast.parse(source))) == plain
    assert text_of("\n\n# a comment\n\n".join(statements)) == plain
    assert text_of("\n'''a remark'''\n".join(statements)) == plain


@given(st.lists(STATEMENTS, min_size=2, max_size=4, unique=True), st.data())
@settings(max_examples=60, deadline=None)
def test_other_statements_are_other_code(statements: list[str], data: st.DataObject) -> None:
    other = data.draw(st.permutations(statements))
    assert (text_of("\n".join(statements)) == text_of("\n".join(other))) == (statements == other)
    assert text_of("\n".join(statements[1:])) != text_of("\n".join(statements))


def test_docstrings_ellipses_and_pass_say_nothing() -> None:
    assert text_of("def f():\n    '''doc'''\n    return 1") == text_of("def f():\n    return 1")
    assert text_of("class K:\n    '''doc'''") == text_of("class K:\n    ...") == text_of("class K:\n    pass")


def test_a_text_that_is_used_is_code() -> None:
    assert text_of("x = 'a'") != text_of("x = 'b'")
    assert text_of("x = 'a'") != text_of("x = b'a'")
    assert text_of("x = 1") != text_of("x = 1.0") != text_of("x = True")


def test_settings_of_a_step_are_not_code_and_other_decorators_are() -> None:
    plain = text_of("def f(): return 1")
    assert text_of("@fw.step(cpu=2)\ndef f(): return 1") == text_of("@fw.step\ndef f(): return 1") == plain
    assert text_of("@cached\ndef f(): return 1") != plain
    assert loads("@wrap(LIMIT)\ndef f(): return 1") == {"wrap", "LIMIT"}


def test_annotations_defaults_and_kinds_of_parameters_are_code() -> None:
    texts = [text_of(f"def f({p}): return 1") for p in ("a", "a: int", "a=1", "*a", "**a", "*, a", "a, /")]
    assert len(set(texts)) == len(texts)
    assert loads("def f(a: T = D) -> R: return a") == {"T", "D", "R"}


def test_names_that_a_function_binds_are_its_own() -> None:
    source = """
    def f(a, b=outer_default):
        c = a
        d: int = 1
        for e in given:
            with lock as g:
                pass
        try:
            pass
        except Problem as h:
            print(h)
        if (i := b):
            return [j + k_outer for j in a if (n := j)], n, c, d, e, g, i
    """
    assert loads(source) == {"outer_default", "int", "given", "lock", "Problem", "print", "k_outer"}


def test_a_nested_function_sees_its_outer_function_and_not_the_class_around_it() -> None:
    assert loads("def f(a):\n    def g():\n        return a + b\n    return g") == {"b"}
    assert loads("class K:\n    a = 1\n    b = a\n    def m(self):\n        return a") == {"a"}


def test_a_global_is_the_modules_and_is_said_to_be_changed() -> None:
    found = read("def f():\n    global COUNT\n    COUNT += 1")
    assert ("COUNT",) in found.loads
    assert found.mutations == {"COUNT"}


def test_changes_of_what_the_module_holds_are_found() -> None:
    assert read("def f(x):\n    SEEN.append(x)\n    TABLE[x] = 1\n    STATE.mode = x\n    own = []\n    own.append(x)").mutations == {
        "SEEN",
        "TABLE",
        "STATE",
    }


def test_imports_inside_a_function_are_followed_by_what_they_bind() -> None:
    found = read("def f():\n    from a.b import c as d\n    import e.f\n    return d.x(), e.f.g()")
    assert [(one.module, one.name, rest) for one, rest in found.local_loads] == [("a.b", "c", ("x",)), ("e", "", ("f", "g"))]


def test_a_computed_import_says_what_is_known_of_the_name() -> None:
    assert read("import_module('a.b')").dynamic == ["a.b"]
    assert read("importlib.import_module('plugins.' + name)").dynamic == ["plugins.*"]
    assert read("importlib.import_module(f'plugins.{name}')").dynamic == ["plugins.*"]
    assert read("__import__(name)").dynamic == ["*"]
