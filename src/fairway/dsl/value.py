"""A value that does not exist yet: what a step returns while a pipeline is being traced.

It can be passed to steps, compared, combined, mapped over; it refuses what would need to know it now (`if`, `for`, an f-string,
an index), saying the line and the right spelling.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NoReturn

from fairway.dsl.source import caller, caller_line
from fairway.errors import DefinitionError
from fairway.spec.graph import Expr

_NOTE = "a pipeline is traced before anything runs, so values have no content yet"


class Value:
    """One value of a pipeline. `fw_expr` is None for a step with several outputs (pass one of them) and for one with none.

    `fw_axes` are the axes it lies on, outermost first; `fw_nodes` the nodes that must have ended before it exists.
    """

    __slots__ = ("fw_axes", "fw_expr", "fw_nodes", "fw_outputs", "fw_style", "fw_text", "fw_trace", "fw_type")

    def __init__(self, trace: Any, expr: Expr | None, type: str = "", axes: tuple[str, ...] = (), text: str = "") -> None:
        self.fw_trace = trace
        self.fw_expr = expr
        self.fw_type = type
        self.fw_axes = axes
        self.fw_text = text
        self.fw_nodes: tuple[str, ...] = ()
        self.fw_outputs: dict[str, Value] = {}
        self.fw_style = "one"

    def __repr__(self) -> str:
        return f"<{self.fw_text or 'value'}{': ' + self.fw_type if self.fw_type else ''}>"

    def after(self, *others: Any) -> Value:
        """The step that makes this value waits for the steps that make `others`, without taking anything from them."""
        self.fw_trace.add_after(self, others)
        return self

    # outputs -------------------------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("_", "fw_")):
            raise AttributeError(name)
        if name in self.fw_outputs:
            return self.fw_outputs[name]
        if name == "keys" and self.fw_style == "dict":  # so that `**step(...)` works
            return lambda: list(self.fw_outputs)
        raise self._no_output(name)

    def _no_output(self, name: str) -> DefinitionError:
        if self.fw_outputs:
            from fairway.dsl.source import suggest

            return DefinitionError(
                f"{self.fw_text} has no output `{name}`",
                hint=f"its outputs are {', '.join(self.fw_outputs)}.{suggest(name, list(self.fw_outputs))}",
                where=caller(),
            )
        return DefinitionError(
            f"`.{name}` of {self.fw_text} cannot be read while the pipeline is defined: {_NOTE}",
            hint=f"read `.{name}` inside a step, or let the step return a NamedTuple with a field `{name}`",
            where=caller(),
        )

    def __getitem__(self, key: Any) -> Value:
        if self.fw_outputs and isinstance(key, str):
            if key in self.fw_outputs:
                return self.fw_outputs[key]
            raise self._no_output(key)
        if self.fw_outputs and isinstance(key, int) and self.fw_style == "namedtuple":
            return list(self.fw_outputs.values())[key]
        raise self._refusal("indexed", "index it inside a step, or let the step return a NamedTuple and write `value.name`")

    def __iter__(self) -> Iterator[Value]:
        if self.fw_style in ("namedtuple", "dict") and self.fw_outputs:
            return iter(list(self.fw_outputs.values()) if self.fw_style == "namedtuple" else list(self.fw_outputs))  # type: ignore[arg-type]
        line = caller_line()
        match = re.match(r"for\s.+?\sin\s+(.+):", line) or re.search(r"\sfor\s.+?\sin\s+([\w.]+(?:\([^()]*\))?)", line)
        if match:
            raise self._refusal(
                "looped over", f"call the step once with `fw.each({match[1]})`: it runs for every item; or use `@fw.dynamic`"
            )
        raise self._refusal(
            "unpacked", "let the step return a NamedTuple; then `a, b = step(...)` works; to map over a list use `fw.each(...)`"
        )

    # refusals --------------------------------------------------------------------------------------------------

    def _refusal(self, done: str, hint: str) -> DefinitionError:
        return DefinitionError(f"{self.fw_text} cannot be {done} here: {_NOTE}", hint=hint, where=caller())

    def __bool__(self) -> bool:
        line = caller_line()
        match = re.match(r"(?:el)?if\s+(.+?)\s*:", line)
        if re.search(r"\b(and|or|not)\b", line):
            cause = "used with `and`, `or` or `not`"
            hint = "write `(a > 1) & (b < 2)`, `a | b`, `~a`"
            hint += " inside `with fw.when(...):`" if match else ""
        elif match:
            cause, hint = "used in an `if`", f"write `with fw.when({match[1]}):` (and `with fw.otherwise():` for the other branch)"
        elif line.startswith("while"):
            cause, hint = "used in a `while`", "loop inside a step, or in a `@fw.dynamic` step, which sees real values"
        elif line.startswith("assert"):
            cause, hint = "used in an `assert`", "assert inside a step"
        elif re.search(r"\bin\b", line):
            cause, hint = "used with `in`", "write `fw.contains(values, item)`"
        elif re.search(r"<.*<|>.*>", line):
            cause, hint = "compared twice in one go", "write `(a < x) & (x < b)`"
        else:
            cause, hint = "used as a truth value", "write `with fw.when(condition):`; for `and`, `or`, `not` write `&`, `|`, `~`"
        raise self._refusal(cause, hint)

    def __str__(self) -> str:
        raise self._refusal("made into text", "build the text inside a step and pass the value to it")

    def __format__(self, spec: str) -> str:
        raise self._refusal("put into an f-string", "build the text inside a step and pass the value to it")

    def __len__(self) -> int:
        raise self._refusal("measured with len()", "write `fw.length(value)`")

    def __contains__(self, item: Any) -> bool:
        raise self._refusal("searched with `in`", "write `fw.contains(values, item)`")

    def __int__(self) -> int:
        raise self._refusal("made an int", "convert it inside a step")

    def __float__(self) -> float:
        raise self._refusal("made a float", "convert it inside a step")

    def __index__(self) -> int:
        raise self._refusal("used as a whole number (range, index)", "count inside a step, or map over a list with `fw.each(...)`")

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise self._refusal("called", "call it inside a step")

    def __setitem__(self, key: Any, value: Any) -> None:
        raise self._refusal("changed", "make the changed value in a step and return it")

    def __enter__(self) -> NoReturn:
        raise self._refusal("used in `with`", "conditions are written `with fw.when(condition):`")

    def __exit__(self, *args: object) -> None:
        return None

    def __hash__(self) -> int:
        return id(self)

    # operators -------------------------------------------------------------------------------------------------

    def _op(self, name: str, *args: Any) -> Value:
        return self.fw_trace.operate(name, args)

    def __eq__(self, other: Any) -> Any:
        return self._op("==", self, other)

    def __ne__(self, other: Any) -> Any:
        return self._op("!=", self, other)

    def __lt__(self, other: Any) -> Value:
        return self._op("<", self, other)

    def __le__(self, other: Any) -> Value:
        return self._op("<=", self, other)

    def __gt__(self, other: Any) -> Value:
        return self._op(">", self, other)

    def __ge__(self, other: Any) -> Value:
        return self._op(">=", self, other)

    def __add__(self, other: Any) -> Value:
        return self._op("+", self, other)

    def __radd__(self, other: Any) -> Value:
        return self._op("+", other, self)

    def __sub__(self, other: Any) -> Value:
        return self._op("-", self, other)

    def __rsub__(self, other: Any) -> Value:
        return self._op("-", other, self)

    def __mul__(self, other: Any) -> Value:
        return self._op("*", self, other)

    def __rmul__(self, other: Any) -> Value:
        return self._op("*", other, self)

    def __truediv__(self, other: Any) -> Value:
        return self._op("/", self, other)

    def __rtruediv__(self, other: Any) -> Value:
        return self._op("/", other, self)

    def __floordiv__(self, other: Any) -> Value:
        return self._op("//", self, other)

    def __rfloordiv__(self, other: Any) -> Value:
        return self._op("//", other, self)

    def __mod__(self, other: Any) -> Value:
        return self._op("%", self, other)

    def __rmod__(self, other: Any) -> Value:
        return self._op("%", other, self)

    def __neg__(self) -> Value:
        return self._op("-", 0, self)

    def __and__(self, other: Any) -> Value:
        return self._op("and", self, other)

    def __rand__(self, other: Any) -> Value:
        return self._op("and", other, self)

    def __or__(self, other: Any) -> Value:
        return self._op("or", self, other)

    def __ror__(self, other: Any) -> Value:
        return self._op("or", other, self)

    def __invert__(self) -> Value:
        return self._op("not", self)
