"""What values of a step's types will need, imported once before its attempts are forked instead of in each of them.

skops alone takes seconds to import. Only what rests on a library that the user's module has imported itself, so that nothing is imported
that no attempt would. All of it bears a fork, also with torch, which skops takes along where it is installed (a test holds that).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import import_module

_HERE = "fairway.step.serializers."
NEEDS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    # in a type's name; the library it rests on; what saving and loading import
    ("pandas.", "pandas", ("pyarrow", _HERE + "pandas_frame")),
    ("pyarrow.", "pyarrow", (_HERE + "arrow_table",)),
    ("numpy.", "numpy", (_HERE + "numpy_array",)),
    ("sklearn.", "sklearn", ("skops.io", _HERE + "sklearn_estimator")),
    ("fairway.Model", "sklearn", ("skops.io", _HERE + "sklearn_estimator", _HERE + "models", _HERE + "signatures")),
    ("fairway.Figure", "matplotlib", ("matplotlib.backends.backend_svg", _HERE + "figures")),
)


def find_needs(types: Iterable[str]) -> list[str]:
    """Modules that values of these types will need and that are not imported yet."""
    found: dict[str, None] = {}
    for name in types:
        for part, library, modules in NEEDS:
            if part in name and library in sys.modules:
                found.update(dict.fromkeys(module for module in modules if module not in sys.modules))
    return list(found)


def preload(types: Iterable[str]) -> bool:
    """Import them; True if there was anything to import. What is not installed is the attempt's to report."""
    needs = find_needs(types)
    for module in needs:
        try:
            import_module(module)
        except ImportError:
            continue
    return bool(needs)
