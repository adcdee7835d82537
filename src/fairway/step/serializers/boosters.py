"""What the serializers of boosted trees share: models, and the scikit-learn wrappers around them, by the name of their class."""

from __future__ import annotations

from typing import Any

from fairway.errors import DefinitionError
from fairway.step import plainjson


def class_of(value: Any, library: str, attribute: str) -> str:
    """The name of its class. Raises DefinitionError for a class of the user's own; `attribute`: where a wrapper has its model."""
    kind = type(value).__name__
    if not type(value).__module__.startswith(f"{library}."):
        raise DefinitionError(
            f"{kind} is a class of your own", hint=f"return the {library} model itself, or model.{attribute} of the {kind}"
        )
    return kind


def find_class(library: Any, kind: str, parent: type) -> Any:
    """The wrapper of that name. Raises DefinitionError if the installed version has none."""
    cls = getattr(library, kind, None)
    if cls is None or not issubclass(cls, parent):
        raise DefinitionError(f"{library.__name__} {library.__version__} has no {kind}", hint="read it with the version that wrote it")
    return cls


def params_of(value: Any) -> dict[str, Any]:
    """The parameters of a wrapper that JSON can say; callbacks and functions only matter while training."""
    return {name: param for name, param in value.get_params().items() if _is_plain(param)}


def _is_plain(param: Any) -> bool:
    try:
        plainjson.render(param)
    except plainjson.NotJson:
        return False
    return True
