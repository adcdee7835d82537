"""What is defined in a script that is run, or in a notebook: the module that it belongs to wherever else it is imported."""

from __future__ import annotations

import os
import sys

from fairway.errors import DefinitionError

NOTEBOOK = "notebook_steps"
_MAIN = "__main__"


def public_module(module: str, file: str = "") -> str:
    """`module` itself; for "__main__" the name under which others import the script, or that of the module made of a notebook's cells.

    From then on that name means the running script in this process too, so that nothing runs it a second time. `file` is where the
    definition stands. Raises DefinitionError for a script that cannot be imported.
    """
    if module != _MAIN:
        return module
    main = sys.modules[_MAIN]
    file = file or getattr(main, "__file__", None) or ""
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.origin and file and os.path.realpath(spec.origin) == os.path.realpath(file):  # python -m package.module
        name = spec.name
    elif file.endswith(".py") and os.path.isfile(file):
        name = os.path.basename(file)[:-3]
        if "." in name or name in sys.stdlib_module_names:
            why = "has the name of a module of Python itself" if name in sys.stdlib_module_names else "has a dot in its name"
            raise DefinitionError(
                f"{os.path.basename(file)} {why}, so its steps cannot be imported",
                hint=f"rename it, for example to {name.replace('.', '_')}_pipeline.py",
                where=f"{file}:1",
            )
    else:
        name = NOTEBOOK
    sys.modules.setdefault(name, main)
    return name
