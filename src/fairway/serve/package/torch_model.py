"""PyTorch: a module from its weights, TorchScript, and programs that `torch.export` wrote."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from fairway.errors import DefinitionError
from fairway.serve.package.named import Slot
from fairway.serve.package.predictor import order_methods
from fairway.step.serializers import tensorfile

if TYPE_CHECKING:
    from fairway.serve.package.package import Package


def load_module(package: Package) -> TorchPredictor:
    """A module that a step saved, or a state dict with the option `class` ("net.py:Net"), which is called without arguments."""
    import torch

    with OneThread():
        if package.card.get("format", "files") in ("torch-module", "pickle"):
            from fairway.serve.package.estimator import read_estimator

            made = read_estimator(package)
        else:
            made = _of_state(package)
        if not isinstance(made, torch.nn.Module):
            raise DefinitionError(
                f"{package.path.name} holds a {type(made).__name__}, not a module",
                hint='name its class: options = {"class": "net.py:Net"}, or --option class=net.py:Net',
            )
        return TorchPredictor(made.eval(), package)


def load_script(package: Package) -> TorchPredictor:
    """TorchScript: it brings its own code, which can do no more than compute."""
    import torch

    with OneThread():
        return TorchPredictor(torch.jit.load(str(package.path), map_location="cpu").eval(), package)


def load_exported(package: Package) -> TorchPredictor:
    """A program of `torch.export.save`; its example inputs say which shapes may vary."""
    import torch

    with OneThread():
        program = torch.export.load(str(package.path))
        made = TorchPredictor(program.module(), package)
        made.slots = _slots_of_program(program)
        made._is_loose = False
        made.batches = bool(made.slots) and all(slot.shape is not None and slot.shape[:1] == (-1,) for slot in made.slots)
        return made


class TorchPredictor:
    """Calls the module with the request's arrays, in order of its inputs. Float64 becomes the type of the module's own weights.

    Batches unless the option `batch` says no: a module's first axis is that of rows. On "cuda" the weights go to the GPU when the worker
    warms up: a process that has used a GPU cannot be forked.
    """

    takes, is_async = "tensors", False

    def __init__(self, module: Any, package: Package) -> None:
        self._module = module
        self._device = str(package.options.get("device", "cpu"))
        found = tuple(name for name in ("predict", "predict_proba") if callable(getattr(module, name, None)))
        self.methods = order_methods((*found, "forward") if found else ("predict",), str(package.options.get("method", "")), "module")
        self._has = frozenset(found)
        self._dtype = next((one.dtype for one in _weights(module) if one.is_floating_point()), None)
        self.batches = package.options.get("batch") is not False
        self.bears_fork = self._device == "cpu"
        self.names = tuple(package.columns)
        self.slots = _slots_of_module(module)
        self._is_loose = not _takes_indices(module)
        self._threads = int(package.options.get("threads") or 0)

    def predict(self, inputs: Any, method: str, params: dict[str, Any]) -> Any:
        import torch

        given = [self._tensor(array) for array in inputs.values()]
        name = method or self.methods[0]
        with torch.inference_mode():
            made = getattr(self._module, name)(*given) if name in self._has else self._module(*given)
        return _plain(made)

    def _tensor(self, array: Any) -> Any:
        import torch

        made = torch.from_numpy(array if array.flags.writeable else array.copy())
        if made.is_floating_point() and self._dtype is not None and made.dtype != self._dtype:
            made = made.to(self._dtype)
        elif self._dtype is not None and self._is_loose and made.dtype == torch.int64:
            made = made.to(self._dtype)  # JSON's 1 instead of 1.0
        return made if self._device == "cpu" else made.to(self._device)

    def output_names(self, method: str) -> tuple[str, ...]:
        return ()

    def warm_up(self) -> None:
        import torch

        if self._threads:
            torch.set_num_threads(self._threads)
        if self._device != "cpu":
            self._module = self._module.to(self._device)


class OneThread:
    """Torch computes with one thread inside: a pool that has run does not survive a fork."""

    def __enter__(self) -> None:
        import torch

        self._before = torch.get_num_threads()
        torch.set_num_threads(1)

    def __exit__(self, *exc: object) -> None:
        import torch

        torch.set_num_threads(self._before)


def _of_state(package: Package) -> Any:
    """The module of the option `class`, with the weights of the file."""
    import torch

    if package.path.suffix == ".safetensors":
        state: Any = tensorfile.load_torch(package.path)[0]
    else:
        try:
            state = torch.load(package.path, map_location="cpu", weights_only=not package.trust)
        except Exception as error:
            if package.trust or "weights_only" not in str(error):
                raise
            raise DefinitionError(
                f"{package.path.name} holds more than weights: reading it runs whatever code its writer put there",
                hint="if you trust who wrote it, add --trust; or save module.state_dict(), or a program of torch.export",
            ) from None
    if isinstance(state, torch.nn.Module):
        return state
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):  # a checkpoint, with more beside the weights
        state = state["state_dict"]
    named = str(package.options.get("class", ""))
    if not named:
        raise DefinitionError(
            f"{package.path.name} holds weights alone, and not which module they are of",
            hint='name its class with the option class, such as "net.py:Net"; or save the model with torch.export.save',
        )
    made = _make(package, named)
    try:
        made.load_state_dict(state)
    except RuntimeError as error:
        raise DefinitionError(
            f"the weights do not fit {named}: {str(error).splitlines()[-1].strip()}", hint="is it the class that was trained?"
        ) from None
    return made


def _make(package: Package, named: str) -> Any:
    from fairway.serve.package.script import import_script

    file, _, name = named.partition(":")
    if not name or not file.endswith(".py"):
        raise DefinitionError(f"the option class is {named!r}", hint='write it as "file.py:Class", the file relative to the package')
    module = import_script(package, file)
    cls = getattr(module, name, None)
    if cls is None:
        raise DefinitionError(f"{file} has no {name!r}", hint="name the class whose weights these are")
    args = package.options.get("args") or {}
    return cls(**args)


def _weights(module: Any) -> list[Any]:
    return [*module.parameters(), *module.buffers()]


def _takes_indices(module: Any) -> bool:
    """Its first layer looks things up: whole numbers are meant as such."""
    return any(str(getattr(one, "original_name", type(one).__name__)).startswith("Embedding") for one in module.modules())


def _slots_of_module(module: Any) -> tuple[Slot, ...]:
    """The arguments of `forward` that must be there; their types and shapes are not known."""
    schema = getattr(getattr(module, "forward", None), "schema", None)
    if schema is not None:  # TorchScript
        names = [one.name for one in schema.arguments[1:] if not one.has_default_value()]
    else:
        found = inspect.signature(module.forward).parameters.values()
        names = [one.name for one in found if one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD]
    return tuple(map(Slot, names))


def _slots_of_program(program: Any) -> tuple[Slot, ...]:
    import torch

    given = set(program.graph_signature.user_inputs)
    made: list[Slot] = []
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name in given:
            found = node.meta.get("val")
            if not isinstance(found, torch.Tensor):
                return ()
            shape = tuple(size if isinstance(size, int) else -1 for size in found.shape)
            made.append(Slot(node.name, str(torch.empty(0, dtype=found.dtype).numpy().dtype.str), shape))
    return tuple(made)


def _plain(made: Any) -> Any:
    """Arrays by name where there are several outputs."""
    if isinstance(made, tuple | list):
        return {f"output_{at}": one for at, one in enumerate(made)} if len(made) != 1 else made[0]
    if isinstance(made, dict) or not hasattr(made, "to_tuple"):
        return made
    return dict(made)  # outputs of transformers
