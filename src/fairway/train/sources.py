"""What `fw.shard` can read, each in one of two ways: by number (`Numbered`), or from the front (`Streamed`)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, cast

from fairway.errors import DefinitionError
from fairway.step.types import Directory

_ROWS = 8192


class Numbered:
    """Items that can be had by their numbers. `take(numbers)` gives a batch of them, `get(number)` one.

    `window`: shuffled only among so many that lie side by side, as those of a `Streamed` are; 0: all among themselves.
    """

    def __init__(
        self, size: int, take: Callable[[Sequence[int]], Any], get: Callable[[int], Any], dataset: Any = None, *, window: int = 0
    ) -> None:
        self.size, self.take, self.get, self.dataset, self.window = size, take, get, dataset, window


class Ranged:
    """Items in pieces, of which any stretch can be read without the rest: `read(piece, start, stop)` gives its items. `sizes`: of the
    pieces, in order."""

    def __init__(
        self,
        sizes: Sequence[int],
        read: Callable[[int, int, int], Iterator[Any]],
        join: Callable[[list[Any]], Any],
        get: Callable[[Any], Any],
    ) -> None:
        self.sizes, self.size = sizes, sum(sizes)
        self.read, self.join, self.get = read, join, get


class Streamed:
    """Items that come one after the other. `begin(skip)` starts anew behind the first `skip` items; `join(items)` makes a batch of some,
    `get(item)` what one is to its user.

    `again`: it can be begun more than once. `by_number(window, epochs)`: the same items by their numbers, where the ranks of this machine
    can have them so; else None.
    """

    def __init__(
        self,
        begin: Callable[[int], Iterator[Any]],
        join: Callable[[list[Any]], Any],
        get: Callable[[Any], Any] = lambda item: item,
        *,
        again: bool = True,
        by_number: Callable[[int, int | None], Numbered | None] = lambda window, epochs: None,
    ) -> None:
        self.begin, self.join, self.get, self.again, self.by_number = begin, join, get, again, by_number


def open_dataset(dataset: Any) -> Numbered | Ranged | Streamed:
    """The way to read it. Raises DefinitionError for what cannot be read."""
    kind = type(dataset)
    if isinstance(dataset, Directory):
        files = list(dataset.files())
        return Numbered(len(files), lambda numbers: [files[number] for number in numbers], files.__getitem__)
    if getattr(kind, "fairway_type", "") == "fairway.data.Table":
        return _of_table(dataset)
    if (
        isinstance(dataset, tuple | dict)
        and dataset
        and all(map(_is_columnar, dataset if isinstance(dataset, tuple) else dataset.values()))
    ):
        return _of_several(dataset)
    found = _of_array(dataset)
    if found is not None:
        return found
    if _is_torch_dataset(dataset) or (hasattr(kind, "__len__") and hasattr(kind, "__getitem__") and not isinstance(dataset, dict)):
        return Numbered(len(dataset), lambda numbers: [dataset[number] for number in numbers], dataset.__getitem__, dataset)
    if isinstance(dataset, Iterable) and not isinstance(dataset, dict):
        return Streamed(lambda skip: _skipped(dataset, skip), list, again=iter(dataset) is not dataset)
    raise DefinitionError(
        f"fw.shard cannot read a {kind.__module__}.{kind.__qualname__}",
        hint="give it a list, arrays or tensors, a frame, fw.read(…), a fw.Directory, a PyTorch dataset, or anything that can be iterated",
    )


def _is_columnar(value: Any) -> bool:
    return _of_column(value) is not None


def _of_column(value: Any) -> Numbered | None:
    """One of several that lie side by side, as texts and labels do: an array, a frame, or a list."""
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return Numbered(len(items), lambda numbers: [items[number] for number in numbers], items.__getitem__)
    return _of_array(value)


def _of_array(value: Any) -> Numbered | None:
    """Arrays, tensors and frames: a batch is of the same kind."""
    kind = type(value)
    library = kind.__module__.partition(".")[0]
    if library == "pandas" and hasattr(value, "iloc"):
        return Numbered(len(value), lambda numbers: value.iloc[list(numbers)], lambda number: value.iloc[number])
    if library == "polars" and hasattr(value, "gather_every"):
        return Numbered(len(value), lambda numbers: value[list(numbers)], lambda number: value[number])
    if library == "polars":
        raise DefinitionError("fw.shard needs to know the rows of a LazyFrame", hint="give it frame.collect()")
    if library == "pyarrow" and hasattr(value, "take"):
        return Numbered(len(value), lambda numbers: value.take(list(numbers)), lambda number: value.slice(number, 1))
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor) and value.ndim:
        return Numbered(len(value), lambda numbers: value[torch.as_tensor(list(numbers), dtype=torch.long)], lambda number: value[number])
    if library == "scipy" and hasattr(value, "tocsr"):
        rows = value.tocsr()
        return Numbered(rows.shape[0], lambda numbers: rows[list(numbers)], lambda number: rows[number])
    if library in ("numpy", "jaxlib", "jax") and getattr(value, "ndim", 0):
        import numpy as np

        return Numbered(len(value), lambda numbers: value[np.asarray(numbers, dtype=np.int64)], lambda number: value[number])
    return None


def _of_several(columns: tuple[Any, ...] | dict[Any, Any]) -> Numbered:
    """(x, y) or {"x": x, "y": y}: a batch holds the same rows of each."""
    names = list(range(len(columns))) if isinstance(columns, tuple) else list(columns)
    found = {name: _of_column(columns[name]) for name in names}
    parts = {name: part for name, part in found.items() if part is not None}
    sizes = {part.size for part in parts.values()}
    if len(sizes) != 1:
        raise DefinitionError(
            "the parts of a data set are of different lengths: " + ", ".join(f"{name}: {part.size:,}" for name, part in parts.items()),
            hint="each row of one belongs to the row of the same number of the others",
        )

    def whole(pieces: dict[Any, Any]) -> Any:
        return tuple(pieces.values()) if isinstance(columns, tuple) else pieces

    return Numbered(
        sizes.pop(),
        lambda numbers: whole({name: part.take(numbers) for name, part in parts.items()}),
        lambda number: whole({name: part.get(number) for name, part in parts.items()}),
    )


def _of_table(table: Any) -> Ranged | Streamed:
    """A table of `fw.read`, from its batches: in pieces where its source has some; else one rank of a machine reads it for all, or each
    reads it all, and keeps a window of it. An item is (batch, number of the row)."""
    from fairway.data.pieces import find_pieces, read_piece

    def begin(skip: int) -> Iterator[Any]:
        for batch in table.batches(rows=_ROWS):
            if skip < batch.rows:
                yield from ((batch, row) for row in range(skip, batch.rows))
            skip = max(0, skip - batch.rows)

    def join(items: list[tuple[Any, int]]) -> dict[str, Any]:
        places: dict[int, tuple[dict[str, Any], list[int], list[int]]] = {}
        for place, (batch, row) in enumerate(items):
            _, ours, rows = places.setdefault(id(batch), (batch.columns, [], []))
            ours.append(place)
            rows.append(row)
        return joined_columns(list(places.values()), table.columns, len(items))

    def get(item: tuple[Any, int]) -> dict[str, Any]:
        return {name: item[0].columns[name].value(item[1]) for name in table.columns}

    def by_number(window: int, epochs: int | None) -> Numbered | None:
        from fairway.train.shardrows import find_rows

        return find_rows(table, window, epochs)

    pieces = find_pieces(table)
    if not pieces:
        return Streamed(begin, join, get, by_number=by_number)

    def read(number: int, start: int, stop: int) -> Iterator[Any]:
        for batch in read_piece(table, pieces[number], start, stop):
            yield from ((batch, row) for row in range(batch.rows))

    return Ranged([piece.rows for piece in pieces], read, join, get)


def joined_columns(parts: list[tuple[dict[str, Any], list[int], list[int]]], names: Sequence[str], size: int) -> dict[str, Any]:
    """A batch of `size` items, from (columns, places in the batch, rows of the columns)."""
    return {name: _joined([(columns[name], ours, rows) for columns, ours, rows in parts], size) for name in names}


def _joined(parts: list[tuple[Any, list[int], list[int]]], size: int) -> Any:
    """One column of a batch, from (column, places in the batch, rows of the column): a NumPy array of numbers or booleans, in which null is
    NaN; else a list."""
    import numpy as np

    if all(column.kind in ("float", "integer", "boolean", "decimal") for column, _, _ in parts):
        nulls = any(column.valid is not None and not column.valid[rows].all() for column, _, rows in parts)
        dtype = np.result_type(*(column.data.dtype for column, _, _ in parts), *([np.float64] if nulls else []))
        made = np.empty(size, dtype)
        for column, ours, rows in parts:
            made[ours] = column.data[rows]
            if column.valid is not None and nulls:
                made[np.asarray(ours)[~column.valid[rows]]] = np.nan
        return made
    values: list[Any] = [None] * size
    for column, ours, rows in parts:
        for place, value in zip(ours, column.values(rows), strict=True):
            values[place] = value
    return values


def _is_torch_dataset(dataset: Any) -> bool:
    """A map-style one: it has a length and gives items by number."""
    data = sys.modules.get("torch.utils.data")
    return (
        data is not None
        and isinstance(dataset, data.Dataset)
        and hasattr(dataset, "__len__")
        and not isinstance(dataset, data.IterableDataset)
    )


def _skipped(dataset: Iterable[Any], skip: int) -> Iterator[Any]:
    items = iter(dataset)
    for _ in range(skip):
        next(items, None)
    return items
