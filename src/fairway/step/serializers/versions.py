"""Which library, in which version, a value belongs to."""

from __future__ import annotations

import sys

_DISTRIBUTIONS = {"sklearn": "scikit-learn", "PIL": "pillow", "cv2": "opencv-python"}


def of_class(cls: type) -> dict[str, str]:
    """{distribution: version} of the libraries that `cls` and its parents come from; none for the standard library and the user's own."""
    return of_modules({kind.__module__.partition(".")[0] for kind in cls.__mro__})


def of_modules(modules: set[str]) -> dict[str, str]:
    """{distribution: version} of top-level modules, those that belong to an installed distribution of that name."""
    from fairway.step.refusals import find_version

    found: dict[str, str] = {}
    for module in sorted(modules - sys.stdlib_module_names - {"fairway", "__main__"}):
        name = _DISTRIBUTIONS.get(module, module)
        version = find_version(name)
        if version:
            found[name] = version
    return found
