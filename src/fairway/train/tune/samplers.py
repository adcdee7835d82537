"""Optuna's samplers by our names, and their memory: where their random generators stand, as JSON."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from fairway.errors import ConfigError, UnsupportedError
from fairway.train.tune.past import load_optuna, say_settings

_CLASSES = {
    "tpe": "TPESampler",
    "cmaes": "CmaEsSampler",
    "random": "RandomSampler",
    "grid": "GridSampler",
    "qmc": "QMCSampler",
    "nsga2": "NSGAIISampler",
}


def make_sampler(settings: Mapping[str, Any], seed: int, parallel: int) -> Any:
    """The sampler that `settings` ({"kind": …, and Optuna's own settings}) name. Raises ConfigError for settings it does not have."""
    import warnings

    optuna = load_optuna(', "cmaes"' if settings["kind"] == "cmaes" else "")
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    samplers = optuna.samplers
    more = {name: value for name, value in settings.items() if name not in ("kind", "points")}
    try:
        match settings["kind"]:
            case "tpe":
                return samplers.TPESampler(**{"seed": seed, "constant_liar": parallel > 1, **more})
            case "cmaes":
                return _make_cmaes(samplers, seed, more)
            case "random":
                return samplers.RandomSampler(**{"seed": seed, **more})
            case "grid":
                return samplers.GridSampler(settings["points"], **{"seed": seed, **more})
            case "qmc":
                return _make_qmc(samplers, seed, more)
            case "nsga2":
                return samplers.NSGAIISampler(**{"seed": seed, **more})
            case kind:
                raise ConfigError(f"there is no sampler {kind!r}")
    except (TypeError, ValueError) as error:
        made = getattr(samplers, _CLASSES[settings["kind"]])
        raise ConfigError(f"sampler {settings['kind']}: {error}", hint=say_settings(made, more)) from None


def _make_cmaes(samplers: Any, seed: int, more: Mapping[str, Any]) -> Any:
    try:
        import cmaes  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError:
        raise UnsupportedError(
            "CMA-ES needs the library cmaes",
            hint='pip install "fairway[tune]"; a step with packages of its own needs "cmaes" among them',
        ) from None
    return samplers.CmaEsSampler(**{"seed": seed, "warn_independent_sampling": False, **more})


def _make_qmc(samplers: Any, seed: int, more: Mapping[str, Any]) -> Any:
    try:
        import scipy  # noqa: F401  # pyright: ignore[reportUnusedImport, reportMissingTypeStubs]
    except ImportError:
        raise UnsupportedError("quasi-random search needs SciPy", hint="pip install scipy") from None
    return samplers.QMCSampler(
        **{"seed": seed, "scramble": True, "warn_asynchronous_seeding": False, "warn_independent_sampling": False, **more}
    )


def _generators(sampler: Any) -> Iterator[Any]:
    """The random generators of a sampler and of what it is made of, each once, always in the same order."""
    from numpy.random import RandomState

    seen: set[int] = set()
    waiting = [sampler]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        found = getattr(one, "rng", None)
        if isinstance(found, RandomState):
            yield found
            continue
        for value in vars(one).values():
            if type(value).__module__.startswith("optuna.") and hasattr(value, "__dict__"):
                waiting.append(value)


def save_generators(sampler: Any) -> list[list[Any]]:
    """Where they stand: [words of the Mersenne Twister in base 64, position, has a spare normal, that normal] of each."""
    found: list[list[Any]] = []
    for generator in _generators(sampler):
        _, words, position, spare, normal = generator.get_state()
        found.append([base64.b64encode(words.astype("<u4").tobytes()).decode(), int(position), int(spare), float(normal)])
    return found


def load_generators(sampler: Any, saved: list[list[Any]]) -> None:
    """Put them where `save_generators` found them."""
    import numpy

    for generator, (text, position, spare, normal) in zip(_generators(sampler), saved, strict=True):
        words = numpy.frombuffer(base64.b64decode(text), "<u4").astype("uint32")
        generator.set_state(("MT19937", words, position, spare, normal))
