"""Importing the user's modules.

A script that runs its pipeline at its top level is imported up to that line: what stands above it is defined, as it was when the run began,
and no run starts another by being imported.
"""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

from fairway.errors import DefinitionError, UnsupportedError

_MODULE_FILES = ("py", "pyc", "so", "pyd")
_under_way: list[str] = []


class ImportEnds(BaseException):
    """Raised at a `fw.run` in a module that is being imported for its definitions. Not an Exception: user code must not swallow it."""

    def __init__(self, module: Any, where: str) -> None:
        super().__init__(f"{where}: this module is imported for its definitions")
        self.module = module
        self.where = where


def import_module(name: str, root: str = "") -> Any:
    """The user's module, imported once per process, from the folder `root` before others."""
    if root and root not in sys.path:
        sys.path.insert(0, root)
    found = sys.modules.get(name)
    return found if found is not None else run_import(name, lambda: __import__(name))


def find_modules(folder: str) -> set[str]:
    """Names under which something in the folder could be imported. Raises OSError."""
    found = (entry.partition(".") for entry in os.listdir(folder))
    return {name for name, dot, suffix in found if not dot or suffix.endswith(_MODULE_FILES)}


def run_import(name: str, load: Any) -> Any:
    """`sys.modules[name]` after `load()`, which imports it. Raises what the module raises; DefinitionError if a module that it imports runs
    a pipeline while it is imported."""
    _under_way.append(name)
    words, sys.argv = sys.argv, sys.argv[:1]  # those of this process are not meant for a script's own parser
    try:
        load()
    except ImportEnds as end:
        if end.module.__name__ != name:
            raise DefinitionError(
                f"the module {end.module.__name__!r} runs a pipeline whenever it is imported",
                hint='put the call under `if __name__ == "__main__":`',
                where=end.where,
            ) from None
        sys.modules[name] = end.module  # Python takes a module out whose import ended early
    except SystemExit as end:
        raise DefinitionError(
            f"the module {name!r} ended with sys.exit({end.code!r}) while it was imported for its steps",
            hint='put what only a script does, such as reading its arguments, under `if __name__ == "__main__":`',
        ) from None
    finally:
        _under_way.pop()
        sys.argv = words
    return sys.modules[name]


def check_may_run(inside: str) -> None:
    """To be called before a run is started: it ends the import of a module under way, and refuses a run inside the task `inside`."""
    if _under_way:
        _end_import()
    if inside:
        raise UnsupportedError(
            f"{inside} is a step, and a step cannot start a run",
            hint="call the pipeline inside a pipeline, or in a @fw.dynamic step, which sees real values",
        )


def _end_import() -> NoReturn:
    frame: Any = sys._getframe(1)
    while frame.f_back is not None and not (frame.f_code.co_name == "<module>" and frame.f_globals.get("__name__") in sys.modules):
        frame = frame.f_back
    module = sys.modules.get(frame.f_globals.get("__name__", ""), sys)
    raise ImportEnds(module, f"{frame.f_code.co_filename}:{frame.f_lineno}")
