"""Pickles: only where both who writes and who reads have said `trust`, because reading one runs its writer's code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fairway.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Pickled:
    """Anything <-> pickle protocol 5. Refuses to write or read unless trusted."""

    format, suffix = "pickle", ".pkl"
    types: tuple[str, ...] = ()

    def write(self, value: Any, path: Path) -> Mapping[str, Any]:
        raise DefinitionError("a pickle is written only with trust", hint="@fw.step(trust=True)")

    def read(self, path: Path, wanted: str, meta: Mapping[str, Any]) -> Any:
        raise DefinitionError("a pickle is read only with trust", hint="@fw.step(trust=True), or .load(trust=True)")

    def write_trusted(self, value: Any, path: Path) -> Mapping[str, Any]:
        import pickle

        from fairway.step.serializers.hashed import HashedFile
        from fairway.step.serializers.versions import of_class

        try:
            with HashedFile(path) as file:
                pickle.Pickler(file, protocol=5).dump(value)  # type: ignore[arg-type]
        except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
            raise DefinitionError(
                f"a {type(value).__qualname__} cannot even be pickled: {error}",
                hint="return plain data, a table or a fw.File, and make the object in the step that needs it",
            ) from error
        return {"digest": file.digest, "versions": of_class(type(value))}

    def read_trusted(self, path: Path, wanted: str, meta: Mapping[str, Any]) -> Any:
        import pickle

        with path.open("rb") as file:
            return pickle.load(file)  # noqa: S301 - said to be trusted
