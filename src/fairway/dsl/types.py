"""Annotations as names: "int", "list[int]", "pandas.DataFrame", "fairway.File"; and what follows from them."""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from fairway.dsl.mainmodule import public_module
from fairway.errors import DefinitionError
from fairway.spec.graph import Port

FILES = ("fairway.File", "fairway.Directory")
TABLES = frozenset({"pandas.DataFrame", "polars.DataFrame", "polars.LazyFrame", "pyarrow.Table", "fairway.Table"})
_PLAIN = frozenset({"int", "float", "str", "bool", "None", "bytes", "list", "dict", "tuple"})
_LIST_LIKE = frozenset({"Sequence", "MutableSequence", "Collection", "Iterable", "Iterator"})
_NO_TYPE = frozenset({"Any", "object", "typing.Any"})


def type_name(annotation: Any) -> str:
    """The public name of an annotation; "" for Any, for none, and for what has no name."""
    if annotation is None or annotation is types.NoneType:
        return "None"
    if annotation is Any or annotation is object:
        return ""
    if isinstance(annotation, str):
        return _spelled(annotation)
    if isinstance(annotation, typing.ForwardRef):
        return _spelled(annotation.__forward_arg__)
    origin = typing.get_origin(annotation)
    if origin is None:
        return _class_name(annotation) if isinstance(annotation, type) else ""
    args: tuple[Any, ...] = typing.get_args(annotation)
    if origin is typing.Annotated:
        return type_name(args[0])
    if origin is typing.Literal:
        kinds = {type(value).__name__ for value in args}
        return kinds.pop() if len(kinds) == 1 else ""
    if origin in (typing.Union, types.UnionType):
        names = [type_name(arg) for arg in args]
        return "" if "" in names else " | ".join(dict.fromkeys(names))
    name = _class_name(origin) if isinstance(origin, type) else ""
    name = "list" if name.rpartition(".")[2] in _LIST_LIKE else name
    inner = ["..." if arg is ... else type_name(arg) for arg in args]
    if not name or not any(inner):
        return name
    return f"{name}[{', '.join(part or 'Any' for part in inner)}]"


def _spelled(text: str) -> str:
    """A name for an annotation that could not be evaluated: as it was written."""
    text = text.strip()
    return "" if text in _NO_TYPE else text


def _class_name(cls: type) -> str:
    """The shortest dotted name under which an imported module offers the class."""
    module, name = cls.__module__, cls.__qualname__
    if module == "builtins":
        return "list" if name in _LIST_LIKE else name
    if module.startswith("fairway."):
        return getattr(cls, "fairway_type", "") or f"fairway.{name}"
    if module in ("collections.abc", "typing") and name in _LIST_LIKE:
        return "list"
    module = public_module(module)
    parts = module.split(".")
    for count in range(1, len(parts)):
        prefix = ".".join(parts[:count])
        if getattr(sys.modules.get(prefix), "__dict__", {}).get(name) is cls:
            return f"{prefix}.{name}"
    return f"{module}.{name}"


def evaluate(annotation: Any, names: Mapping[str, Any], local: Mapping[str, Any]) -> Any:
    """The annotation itself where it is a string that can be evaluated; else as it is."""
    if isinstance(annotation, typing.ForwardRef):
        annotation = annotation.__forward_arg__
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, dict(names), dict(local))  # noqa: S307 - the user's own annotation, as typing.get_type_hints does
    except Exception:  # noqa: BLE001 - a name that only type checkers import, for example
        return annotation


def split(name: str) -> tuple[str, tuple[str, ...]]:
    """("dict", ("str", "int")) from "dict[str, int]"; a union gives ("|", members)."""
    members = _split_at(name, "|")
    if len(members) > 1:
        return "|", members
    head, bracket, rest = name.partition("[")
    if not bracket:
        return name.strip(), ()
    inner = rest.rstrip()
    return head.strip(), _split_at(inner[:-1] if inner.endswith("]") else inner, ",")


def _split_at(text: str, mark: str) -> tuple[str, ...]:
    parts, depth, start = [], 0, 0
    for position, letter in enumerate(text):
        if letter == "[":
            depth += 1
        elif letter == "]":
            depth -= 1
        elif letter == mark and not depth:
            parts.append(text[start:position].strip())
            start = position + 1
    last = text[start:].strip()
    return (*parts, last) if last else tuple(parts)


def without_none(name: str) -> str:
    """ "int" from "int | None"."""
    if "|" not in name:
        return name
    head, members = split(name)
    return " | ".join(m for m in members if m != "None") if head == "|" else name


def element(name: str) -> str:
    """ "int" from "list[int]"; "" if the type is not a list or does not say."""
    head, args = split(without_none(name))
    if head in ("list", "tuple") and args and args[0] != "Any":
        return args[0]
    return ""


def list_depth(name: str) -> int:
    """How many lists are around the innermost type: 2 for "list[list[int]]"."""
    depth = 0
    head, args = split(without_none(name))
    while head == "list":
        depth += 1
        head, args = split(without_none(args[0])) if args else ("", ())
    return depth


def list_of(name: str) -> str:
    return f"list[{name}]" if name else "list"


def file_type(name: str) -> str:
    """The type itself if it is a file or folder, or a list of them; else ""."""
    name = without_none(name)
    inner = name
    while element(inner):
        inner = element(inner)
    return name if inner in FILES else ""


def fits(have: str, want: str) -> bool:
    """Whether a value of type `have` may go where `want` is declared; True where it cannot be known."""
    if not have or not want or have == want or "Any" in (have, want):
        return True
    have_head, have_args = split(have)
    want_head, want_args = split(want)
    if have_head == "|":
        return any(fits(member, want) for member in have_args)
    if want_head == "|":
        return any(fits(have, member) for member in want_args)
    if have_head == want_head:
        return not have_args or not want_args or len(have_args) != len(want_args) or all(map(fits, have_args, want_args))
    if (want_head == "float" and have_head in ("int", "bool")) or (want_head == "int" and have_head == "bool"):
        return True
    if (have_head in TABLES and want_head in TABLES) or {have_head, want_head} <= {"list", "tuple"}:
        return True
    if have_head in _PLAIN and want_head in _PLAIN:
        return False
    return _classes_fit(have_head, want_head)


def _classes_fit(have: str, want: str) -> bool:
    if (have in _PLAIN and want.startswith("fairway.")) or (want in _PLAIN and have.startswith("fairway.")):
        # a Metrics is made from a dict, an HTML or Markdown from text: the serializers know how
        return {have, want} <= {"dict", "fairway.Metrics"} or {have, want} <= {"str", "fairway.HTML", "fairway.Markdown"}
    have_class, want_class = _find_class(have), _find_class(want)
    if have_class is None or want_class is None:
        return True
    try:
        return issubclass(have_class, want_class) or issubclass(want_class, have_class) or not _both_settled(have, want)
    except TypeError:
        return True


def _both_settled(have: str, want: str) -> bool:
    """Both are types whose stored form is known not to turn into the other."""
    known = (*_PLAIN, *TABLES, *FILES)
    return have in known and want in known


def _find_class(name: str) -> type | None:
    import builtins

    module, _, attribute = name.rpartition(".")
    found = getattr(builtins, attribute, None) if not module else vars(sys.modules.get(module, builtins)).get(attribute)
    return found if isinstance(found, type) else None


def outputs_of(annotation: Any, missing: bool, names: Mapping[str, Any], local: Mapping[str, Any]) -> tuple[str, tuple[Port, ...]]:
    """How a function's value becomes outputs (`StepDef.returns`), and the outputs."""
    if missing:
        return "one", (Port("result"),)
    if typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    if annotation is None or annotation is types.NoneType:
        return "none", ()
    found = _fields(annotation)
    if found is None:
        return "one", (Port("result", type_name(annotation)),)
    kind, fields = found
    if isinstance(annotation, type):
        names = getattr(sys.modules.get(annotation.__module__), "__dict__", names)
    ports = tuple(Port(str(name), type_name(evaluate(hint, names, local))) for name, hint in fields.items())
    if not ports:
        raise DefinitionError("the return annotation names no outputs", hint="give it at least one field, or annotate `-> None`")
    for port in ports:
        if not port.name.isidentifier() or port.name.startswith("fw_") or port.name == "after":
            raise DefinitionError(f"an output cannot be called {port.name!r}", hint="use a plain Python name other than `after` and `fw_…`")
    return kind, ports


def _fields(annotation: Any) -> tuple[str, dict[str, Any]] | None:
    if isinstance(annotation, dict):
        return "dict", typing.cast("dict[str, Any]", annotation)
    if not isinstance(annotation, type) or annotation.__module__.startswith("fairway."):
        return None
    if issubclass(annotation, tuple) and hasattr(annotation, "_fields"):
        hints = annotation.__annotations__ if "__annotations__" in vars(annotation) else {}
        return "namedtuple", {name: hints.get(name, Any) for name in typing.cast(Any, annotation)._fields}
    if "__dataclass_fields__" in vars(annotation):
        return "dataclass", {name: field.type for name, field in vars(annotation)["__dataclass_fields__"].items()}
    if issubclass(annotation, dict) and hasattr(annotation, "__required_keys__"):
        return "dict", dict(annotation.__annotations__)
    return None


def hints_of(function: Callable[..., Any], local: Mapping[str, Any]) -> dict[str, Any]:
    """The function's annotations, evaluated where they can be."""
    names = getattr(function, "__globals__", {})
    return {name: evaluate(hint, names, local) for name, hint in getattr(function, "__annotations__", {}).items()}


def with_help(annotation: Any) -> tuple[Any, str]:
    """The annotation without `Annotated`, and the text that `Annotated` held."""
    if typing.get_origin(annotation) is typing.Annotated:
        inner, *notes = typing.get_args(annotation)
        return inner, next((note for note in notes if isinstance(note, str)), "")
    return annotation, ""


def choices_of(annotation: Any) -> tuple[str, tuple[Any, ...]]:
    """The type name, and the values that a Literal or Enum allows, also as items of a list or where None may stand instead."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    inner = [arg for arg in args if arg is not types.NoneType]
    if origin in (typing.Union, types.UnionType, list) and len(inner) == 1:
        kind, choices = choices_of(inner[0])
        if choices:
            return (f"list[{kind}]" if origin is list else f"{kind} | None"), choices
    if typing.get_origin(annotation) is typing.Literal:
        return type_name(annotation), typing.get_args(annotation)
    members: Mapping[str, Any] | None = getattr(annotation, "__members__", None) if isinstance(annotation, type) else None
    if members:
        values = tuple(member.value for member in members.values())
        if all(isinstance(value, str | int | float) for value in values):
            return type(values[0]).__name__, values
    return type_name(annotation), ()
