"""Keras 3: its own variables of distribution, and those of the backend that computes (TensorFlow, JAX or PyTorch)."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from fairway.spec.gang import Gang, Place
from fairway.train.frameworks.jax import Jax
from fairway.train.frameworks.plain import Plain
from fairway.train.frameworks.tensorflow import TensorFlow
from fairway.train.frameworks.torch import Torch

_BACKENDS = {"tensorflow": TensorFlow, "jax": Jax, "torch": Torch}


class Keras:
    """With `backend` the variables are those of that framework; without, those of all three, and Keras's own settings decide.
    `keras.distribution.initialize()` (JAX) needs no argument."""

    name = "keras"
    title = "Keras 3"
    style = "ranks"
    source = "https://keras.io/api/distribution/"
    options: Mapping[str, str] = {"backend": '"tensorflow", "jax" or "torch": what computes (KERAS_BACKEND)'}

    def environment(self, place: Place, gang: Gang) -> Mapping[str, str]:
        """Variables of one rank."""
        variables = {
            "KERAS_DISTRIBUTION_JOB_ADDRESSES": ",".join(place.endpoint(rank) for rank in range(place.world_size)),
            "KERAS_DISTRIBUTION_NUM_PROCESSES": str(place.world_size),
            "KERAS_DISTRIBUTION_PROCESS_ID": str(place.rank),
        }
        backend = gang.options.get("backend", "")
        if backend:
            variables["KERAS_BACKEND"] = str(backend)
        plain = _plain(gang)
        for name in [backend] if backend else _BACKENDS:
            variables.update(_BACKENDS[name]().environment(place, plain))
        return variables

    def files(self, place: Place, gang: Gang) -> Mapping[str, str]:
        """The hostfile that every row gives."""
        return Plain().files(place, gang)

    def command(self, place: Place, gang: Gang, argv: Sequence[str]) -> Sequence[str]:
        """Every rank runs it."""
        return Torch().command(place, gang, argv)

    @contextmanager
    def around(self, place: Place, gang: Gang) -> Generator[None]:
        """As PyTorch or TensorFlow, where that is what computes."""
        backend, plain = gang.options.get("backend", ""), _plain(gang)
        with ExitStack() as stack:
            if backend in ("torch", ""):
                stack.enter_context(Torch().around(place, plain))
            if backend in ("tensorflow", ""):
                stack.enter_context(TensorFlow().around(place, plain))
            yield

    def serves(self, place: Place, gang: Gang) -> bool:
        """As TensorFlow, which alone has roles."""
        return TensorFlow().serves(place, gang)

    def check(self, gang: Gang) -> str:
        """What is wrong with the backend or the roles, "" if nothing is."""
        backend = gang.options.get("backend", "")
        if backend and backend not in _BACKENDS:
            return f"Keras has no backend {backend!r}; it has {', '.join(_BACKENDS)}"
        return TensorFlow().check(gang)


def _plain(gang: Gang) -> Gang:
    """The gang as the backend's row sees it: `backend` is Keras's option, not PyTorch's."""
    from fairway.spec.record import replace

    return replace(gang, options={})
