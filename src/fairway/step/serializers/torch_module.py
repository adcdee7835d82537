"""PyTorch: tensors and state dicts as safetensors; modules as their weights plus how to build them anew.

A module is rebuilt by calling its class with the arguments that it keeps as attributes of the same names (`self.hidden = hidden`), then
giving it its weights. Where that cannot be told for certain it is refused, unless trusted: then the whole module is pickled.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fairway.errors import DefinitionError
from fairway.step import plainjson
from fairway.step.serializers import tensorfile
from fairway.step.serializers.versions import of_class

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_CHILDREN = ("Sequential", "ModuleList", "ModuleDict")


class TorchTensors:
    """torch.Tensor, and dicts of tensors by name <-> safetensors."""

    format, suffix, types = "safetensors", ".safetensors", ("torch.Tensor",)

    def holds(self, value: Any) -> bool:
        """May `value` stand in a dict of tensors?"""
        import torch

        return isinstance(value, torch.Tensor)

    def write(self, value: Any, path: Path) -> Mapping[str, Any]:
        import torch

        versions = {"versions": of_class(torch.Tensor)}
        if isinstance(value, torch.Tensor):
            _save({"tensor": value}, path, {"single": "1"})
            return {**versions, "shape": list(value.shape), "dtype": str(value.dtype)}
        _save(value, path, {} if type(value) is dict else {"ordered": "1"})
        return {**versions, "tensors": len(value)}

    def read(self, path: Path, wanted: str, meta: Mapping[str, Any]) -> Any:
        tensors, about = _load(path)
        if about.get("single"):
            return tensors["tensor"]
        from collections import OrderedDict

        return OrderedDict(tensors) if about.get("ordered") else tensors


class TorchModule:
    """torch.nn.Module <-> safetensors of its state with a recipe to build it."""

    format, suffix, types = "torch-module", ".safetensors", ("torch.nn.Module",)

    def write(self, value: Any, path: Path) -> Mapping[str, Any]:
        import torch

        recipe = _recipe(value)
        _check(value, recipe)
        about = {"recipe": plainjson.render(recipe).decode(), "training": "1" if value.training else ""}
        _save(value.state_dict(), path, about)
        return {"class": f"{type(value).__module__}.{type(value).__qualname__}", "versions": of_class(torch.nn.Module)}

    def read(self, path: Path, wanted: str, meta: Mapping[str, Any]) -> Any:
        tensors, about = _load(path)
        made = _build(plainjson.parse(about["recipe"]))
        made.load_state_dict(tensors, strict=True)
        return made.train(bool(about["training"]))

    def write_trusted(self, value: Any, path: Path) -> Mapping[str, Any]:
        """As `write` where that is possible, else a pickle."""
        try:
            return self.write(value, path)
        except DefinitionError:
            from fairway.step.serializers.pickled import Pickled

            return {**Pickled().write_trusted(value, path), "format": "pickle"}


def _save(tensors: Mapping[str, Any], path: Path, about: dict[str, str]) -> None:
    order = json.dumps(list(tensors), separators=(",", ":"))
    # one memory under two names (tied weights, views) is written twice: the file knows no sharing
    tensorfile.save_torch(tensors, path, {"fairway": json.dumps({**about, "order": order}, sort_keys=True)})


def _load(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    tensors, metadata = tensorfile.load_torch(path)
    about = json.loads(metadata.get("fairway", "{}"))
    return {name: tensors[name] for name in json.loads(about["order"])} if "order" in about else tensors, about


def _recipe(module: Any) -> dict[str, Any]:
    """{"class", "args"} or {"class", "children"}. Raises DefinitionError where an argument is not to be found."""
    import inspect

    import torch

    kind = type(module)
    address = f"{kind.__module__}:{kind.__qualname__}"
    if kind.__module__.startswith("torch.nn.") and kind.__name__ in _CHILDREN:
        return {"class": address, "children": [[name, _recipe(child)] for name, child in module.named_children()]}
    if kind.__init__ is torch.nn.Module.__init__:  # Tanh, Sigmoid, …: it has no arguments of its own
        return {"class": address, "args": {}}
    args: dict[str, Any] = {}
    for name, param in inspect.signature(kind.__init__).parameters.items():
        if param.kind in (param.VAR_POSITIONAL, param.VAR_KEYWORD):
            raise _cannot_rebuild(kind, f"its __init__ takes *{name}")
        if name in ("self", "device", "dtype"):
            continue
        if not hasattr(module, name):
            raise _cannot_rebuild(kind, f"it does not keep its argument {name!r}")
        found = getattr(module, name)
        if name == "bias" and kind.__module__.startswith("torch.nn."):
            found = found is not None and found is not False
        try:
            plainjson.render(found)
        except plainjson.NotJson:
            raise _cannot_rebuild(kind, f"its argument {name!r} is a {type(found).__name__}") from None
        args[name] = found
    return {"class": address, "args": args}


def _cannot_rebuild(kind: type, why: str) -> DefinitionError:
    return DefinitionError(
        f"the module {kind.__name__} cannot be built anew from its weights: {why}",
        hint="keep each argument as an attribute of its name (self.hidden = hidden), or return module.state_dict(); "
        "or, if you trust it, @fw.step(trust=True) pickles the whole module",
    )


def _check(module: Any, recipe: dict[str, Any]) -> None:
    """The recipe must lead to the same parameters."""
    import torch

    state = {name: (tensor.shape, tensor.dtype) for name, tensor in module.state_dict().items()}
    try:
        with torch.device("meta"):
            made = {name: (tensor.shape, tensor.dtype) for name, tensor in _build(recipe).state_dict().items()}
    except Exception as error:
        raise _cannot_rebuild(type(module), f"its __init__ raised {type(error).__name__}: {error}") from error
    if {k: s for k, (s, _) in made.items()} != {k: s for k, (s, _) in state.items()}:
        raise _cannot_rebuild(type(module), "built from its own arguments it has other parameters")


def _build(recipe: dict[str, Any]) -> Any:
    import torch

    from fairway.step.plainjson_read import find_class

    cls = find_class(recipe["class"])
    if not (isinstance(cls, type) and issubclass(cls, torch.nn.Module)):
        raise DefinitionError(f"{recipe['class']} is not a torch.nn.Module any more", hint="give it its old definition back")
    if "children" not in recipe:
        return cls(**recipe["args"])
    children = [(name, _build(inner)) for name, inner in recipe["children"]]
    if cls.__name__ == "ModuleList":
        return cls([child for _, child in children])
    from collections import OrderedDict

    return cls(OrderedDict(children))
