"""Code as it is compared: a syntax tree without comments, docstrings, formatting and positions; and the names outside itself that it uses.

Works on `_ast` nodes straight from the parser: importing `ast` would cost as much as all the work done here for a small pipeline.
"""

from __future__ import annotations

import _ast
from collections.abc import Callable, Iterable
from typing import Any

Chain = tuple[str, ...]
"""`a.b.c` as ("a", "b", "c")."""

MUTATORS = frozenset({"add", "append", "appendleft", "extend", "insert", "setdefault", "update", "__setitem__", "register"})
_FUNCTIONS = (_ast.FunctionDef, _ast.AsyncFunctionDef)
_COMPREHENSIONS = (_ast.ListComp, _ast.SetComp, _ast.DictComp, _ast.GeneratorExp)
_SKIPPED_FIELDS = frozenset({"ctx", "kind", "type_comment", "type_ignores"})


class LocalImport:
    """An import inside a function: `module`, and `name` in it ("" for the module itself); `level` counts the dots of a relative one."""

    __slots__ = ("level", "module", "name")

    def __init__(self, module: str, name: str, level: int) -> None:
        self.module = module
        self.name = name
        self.level = level


class _Scope:
    __slots__ = ("bound", "globals", "imports", "is_class", "loads", "mutations", "parent")

    def __init__(self, parent: _Scope | None, is_class: bool = False) -> None:
        self.parent = parent
        self.is_class = is_class
        self.bound: set[str] = set()
        self.globals: set[str] = set()
        self.imports: dict[str, LocalImport] = {}
        self.loads: list[Chain] = []
        self.mutations: list[Chain] = []


class Scan:
    """What one piece of code is (`text`) and uses: `loads` are chains that begin with a name of the module or a builtin; `local_loads`
    begin with a name that an import in a function has bound. `dynamic` are modules imported by a computed name: the name, "prefix*", or "*"
    if nothing is known. `mutations` are module-level names whose content it changes. `strings` are its short string constants."""

    __slots__ = ("calls", "dynamic", "loads", "local_imports", "local_loads", "mutations", "stars", "strings", "text")

    def __init__(self) -> None:
        self.text = ""
        self.loads: list[Chain] = []
        self.local_loads: list[tuple[LocalImport, Chain]] = []
        self.local_imports: list[LocalImport] = []
        self.stars: list[LocalImport] = []
        self.dynamic: list[str] = []
        self.mutations: set[str] = set()
        self.strings: set[str] = set()
        self.calls = 0


def chain_of(node: Any) -> Chain:
    """The names of `a.b.c`, () if the expression is anything else."""
    names: list[str] = []
    while node.__class__ is _ast.Attribute:
        names.append(node.attr)
        node = node.value
    if node.__class__ is not _ast.Name:
        return ()
    names.append(node.id)
    names.reverse()
    return tuple(names)


def root_name(node: Any) -> str:
    """The name at the root of `a.b[c].d`, "" if there is none."""
    while node.__class__ in (_ast.Attribute, _ast.Subscript, _ast.Call):
        node = node.func if node.__class__ is _ast.Call else node.value
    return node.id if node.__class__ is _ast.Name else ""


def is_remark(node: Any) -> bool:
    """A statement without effect: a docstring, `...`, a bare constant, `pass`."""
    return node.__class__ is _ast.Pass or (node.__class__ is _ast.Expr and node.value.__class__ is _ast.Constant)


def scan(statements: Iterable[Any], is_setting: Callable[[Chain], bool]) -> Scan:
    """Normalise module-level statements. Decorators for which `is_setting(chain)` holds (`@fw.step(cpu=2)`) are left out: they are not
    code."""
    return _Scanner(is_setting).run(statements)


class _Scanner:
    def __init__(self, is_setting: Callable[[Chain], bool]) -> None:
        self.is_setting = is_setting
        self.out: list[str] = []
        self.result = Scan()
        self.scope = _Scope(None)
        self.scopes = [self.scope]

    def run(self, statements: Iterable[Any]) -> Scan:
        for statement in statements:
            if not is_remark(statement):
                self.visit(statement)
        self.result.text = " ".join(self.out)
        for scope in self.scopes:
            for chain in scope.loads:
                self.settle(scope, chain)
            for chain in scope.mutations:
                if self.owner(scope, chain[0]) is None:
                    self.result.mutations.add(chain[0])
        return self.result

    def owner(self, scope: _Scope, name: str) -> _Scope | None:
        """The scope within the scanned code that binds `name`; None if it is the module's own (or nobody's)."""
        here: _Scope | None = scope
        while here is not None and here.parent is not None:
            if name in here.globals:
                return None
            if name in here.bound and (here is scope or not here.is_class):
                return here
            here = here.parent
        return None

    def settle(self, scope: _Scope, chain: Chain) -> None:
        owner = self.owner(scope, chain[0])
        if owner is None:
            self.result.loads.append(chain)
        elif chain[0] in owner.imports:
            self.result.local_loads.append((owner.imports[chain[0]], chain[1:]))

    def visit(self, node: Any) -> None:
        handler = _HANDLERS.get(node.__class__)
        if handler is not None:
            handler(self, node)
        else:
            self.generic(node)

    def generic(self, node: Any) -> None:
        out = self.out
        out.append("(" + node.__class__.__name__)
        for name in node._fields:
            if name in _SKIPPED_FIELDS:
                continue
            value = getattr(node, name, None)
            if value is None or (value.__class__ is list and not value):
                continue
            out.append(name)
            self.value(value)
        out.append(")")

    def value(self, value: Any) -> None:
        if value.__class__ is list:
            self.out.append("[")
            for item in value:
                if item is None:
                    self.out.append("None")
                elif not is_remark(item) if isinstance(item, _ast.AST) else True:
                    self.value(item)
            self.out.append("]")
        elif isinstance(value, _ast.AST):
            self.visit(value)
        else:
            self.out.append(repr(value))

    def each(self, nodes: Iterable[Any]) -> None:
        for node in nodes:
            if node is None:
                self.out.append("None")
            elif not is_remark(node):
                self.visit(node)

    def bind(self, name: str) -> None:
        self.scope.bound.add(name)

    def enter(self, is_class: bool = False) -> _Scope:
        before = self.scope
        self.scope = _Scope(before, is_class)
        self.scopes.append(self.scope)
        return before

    # --- one method for each kind of node that binds, uses or leaves out names

    def name(self, node: Any) -> None:
        self.out.append(f"(Name {node.id})")
        if node.ctx.__class__ is _ast.Load:
            self.load((node.id,))
        else:
            self.bind(node.id)

    def load(self, chain: Chain) -> None:
        # A class body runs in order: what it has bound so far is its own, anything else is the module's.
        if self.scope.is_class and chain[0] not in self.scope.bound and self.scope.parent is not None:
            self.scope.parent.loads.append(chain)
        else:
            self.scope.loads.append(chain)

    def attribute(self, node: Any) -> None:
        chain = chain_of(node)
        if not chain:
            self.generic(node)
            return
        self.out.append(f"(Attribute {'.'.join(chain)})")
        self.load(chain)
        if node.ctx.__class__ is not _ast.Load:
            self.scope.mutations.append(chain)

    def subscript(self, node: Any) -> None:
        if node.ctx.__class__ is not _ast.Load and (name := root_name(node)):
            self.scope.mutations.append((name,))
        self.generic(node)

    def call(self, node: Any) -> None:
        self.result.calls += 1
        chain = chain_of(node.func)
        last = chain[-1] if chain else ""
        if len(chain) > 1 and last in MUTATORS:
            self.scope.mutations.append(chain)
        if last in ("import_module", "__import__"):
            self.result.dynamic.append(_imported_name(node))
        self.generic(node)

    def constant(self, node: Any) -> None:
        if node.value.__class__ is str and len(node.value) < 200:
            self.result.strings.add(node.value)
        self.out.append(f"<{node.value!r}>")

    def function(self, node: Any) -> None:
        self.bind(node.name)
        self.out.append(f"({node.__class__.__name__} {node.name}")
        self.decorators(node)
        arguments = node.args
        self.out.append("defaults")
        self.each(arguments.defaults)
        self.each(arguments.kw_defaults)
        every = [*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs, arguments.kwarg]
        for kind, group in (("/", arguments.posonlyargs), ("args", arguments.args), ("*", arguments.kwonlyargs)):
            self.out.append(kind)
            for argument in group:
                self.argument(argument)
        for kind, argument in (("*args", arguments.vararg), ("**", arguments.kwarg)):
            if argument is not None:
                self.out.append(kind)
                self.argument(argument)
        if node.returns is not None:
            self.out.append("->")
            self.visit(node.returns)
        before = self.enter()
        self.scope.bound.update(a.arg for a in every if a is not None)
        self.each(getattr(node, "type_params", ()))
        self.out.append("body")
        self.each(node.body)
        self.out.append(")")
        self.scope = before

    def decorators(self, node: Any) -> None:
        for decorator in node.decorator_list:
            target = decorator.func if decorator.__class__ is _ast.Call else decorator
            chain = chain_of(target)
            if chain and self.is_setting(chain):
                continue
            self.out.append("@")
            self.visit(decorator)

    def argument(self, node: Any) -> None:
        self.out.append(f"arg {node.arg}")
        if node.annotation is not None:
            self.out.append(":")
            self.visit(node.annotation)

    def function_lambda(self, node: Any) -> None:
        arguments = node.args
        self.out.append("(Lambda")
        self.each(arguments.defaults)
        self.each(arguments.kw_defaults)
        before = self.enter()
        for kind, group in (("/", arguments.posonlyargs), ("args", arguments.args), ("*", arguments.kwonlyargs)):
            self.out.append(kind)
            for argument in group:
                self.bind(argument.arg)
                self.argument(argument)
        for kind, argument in (("*args", arguments.vararg), ("**", arguments.kwarg)):
            if argument is not None:
                self.bind(argument.arg)
                self.out.append(f"{kind} {argument.arg}")
        self.visit(node.body)
        self.out.append(")")
        self.scope = before

    def comprehension(self, node: Any) -> None:
        self.out.append(f"({node.__class__.__name__}")
        self.visit(node.generators[0].iter)  # the outermost iterable is evaluated outside
        before = self.enter()
        for position, generator in enumerate(node.generators):
            self.out.append("async for" if generator.is_async else "for")
            self.visit(generator.target)
            if position:
                self.visit(generator.iter)
            self.out.append("if")
            self.each(generator.ifs)
        for name in ("elt", "key", "value"):
            if getattr(node, name, None) is not None:
                self.visit(getattr(node, name))
        self.out.append(")")
        self.scope = before

    def walrus(self, node: Any) -> None:
        self.out.append(f"(NamedExpr {node.target.id}")
        self.visit(node.value)
        self.out.append(")")
        self.bind(node.target.id)
        if self.scope.parent is not None:  # inside a comprehension it binds the function's own name
            self.scope.parent.bound.add(node.target.id)

    def klass(self, node: Any) -> None:
        self.bind(node.name)
        self.out.append(f"(ClassDef {node.name}")
        self.decorators(node)
        self.each(node.bases)
        self.each(node.keywords)
        before = self.enter(is_class=True)
        self.each(getattr(node, "type_params", ()))
        self.out.append("body")
        self.each(node.body)
        self.out.append(")")
        self.scope = before

    def assign(self, node: Any) -> None:
        self.out.append("(Assign")
        self.visit(node.value)
        self.out.append("to")
        self.each(node.targets)
        self.out.append(")")

    def augmented(self, node: Any) -> None:
        if node.target.__class__ is _ast.Name:
            self.load((node.target.id,))
            if node.target.id in self.scope.globals:
                self.scope.mutations.append((node.target.id,))
        self.generic(node)

    def annotated(self, node: Any) -> None:
        self.out.append("(AnnAssign")
        self.visit(node.annotation)
        if node.value is not None:
            self.visit(node.value)
        self.out.append("to")
        self.visit(node.target)
        self.out.append(")")

    def imports(self, node: Any) -> None:
        level = getattr(node, "level", 0) or 0
        module = getattr(node, "module", "") or ""
        is_from = node.__class__ is _ast.ImportFrom
        for alias in node.names:
            self.out.append(f"(import {'.' * level}{module} {alias.name} as {alias.asname or alias.name})")
            if is_from and alias.name == "*":
                self.result.stars.append(LocalImport(module, "*", level))
                continue
            made = LocalImport(module, alias.name, level) if is_from else LocalImport(alias.name, "", 0)
            self.result.local_imports.append(made)
            name = alias.asname or (alias.name if is_from else alias.name.partition(".")[0])
            if not is_from and not alias.asname:
                made = LocalImport(name, "", 0)
            self.bind(name)
            self.scope.imports[name] = made

    def global_names(self, node: Any) -> None:
        self.out.append(f"(global {' '.join(sorted(node.names))})")
        self.scope.globals.update(node.names)
        self.scope.mutations.extend((name,) for name in node.names)
        self.scope.loads.extend((name,) for name in node.names)

    def named_pattern(self, node: Any) -> None:
        for field in ("name", "rest"):
            if getattr(node, field, None):
                self.bind(getattr(node, field))
        self.generic(node)


def _imported_name(node: Any) -> str:
    """What `import_module(...)` imports: a name, "prefix*", or "*"."""
    first: Any = node.args[0] if node.args else None
    if first.__class__ is _ast.Constant and isinstance(first.value, str):
        return first.value
    if first.__class__ is _ast.BinOp:
        first = first.left
        if first.__class__ is _ast.Constant and isinstance(first.value, str):
            return first.value + "*"
    if first.__class__ is _ast.JoinedStr and first.values and first.values[0].__class__ is _ast.Constant:
        return str(first.values[0].value) + "*"
    return "*"


_HANDLERS: dict[Any, Callable[[_Scanner, Any], None]] = {
    _ast.Name: _Scanner.name,
    _ast.Attribute: _Scanner.attribute,
    _ast.Subscript: _Scanner.subscript,
    _ast.Call: _Scanner.call,
    _ast.Constant: _Scanner.constant,
    _ast.FunctionDef: _Scanner.function,
    _ast.AsyncFunctionDef: _Scanner.function,
    _ast.Lambda: _Scanner.function_lambda,
    _ast.ListComp: _Scanner.comprehension,
    _ast.SetComp: _Scanner.comprehension,
    _ast.DictComp: _Scanner.comprehension,
    _ast.GeneratorExp: _Scanner.comprehension,
    _ast.NamedExpr: _Scanner.walrus,
    _ast.ClassDef: _Scanner.klass,
    _ast.Assign: _Scanner.assign,
    _ast.AugAssign: _Scanner.augmented,
    _ast.AnnAssign: _Scanner.annotated,
    _ast.Import: _Scanner.imports,
    _ast.ImportFrom: _Scanner.imports,
    _ast.Global: _Scanner.global_names,
    _ast.ExceptHandler: _Scanner.named_pattern,
    _ast.MatchAs: _Scanner.named_pattern,
    _ast.MatchStar: _Scanner.named_pattern,
    _ast.MatchMapping: _Scanner.named_pattern,
}
