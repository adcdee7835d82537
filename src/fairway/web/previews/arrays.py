"""Arrays: their shape and numbers, a picture of them. Runs in a process of its own."""

from __future__ import annotations

import math
from typing import Any

from fairway.web.previews.cells import show_cell
from fairway.web.previews.png import data_url, render_png
from fairway.web.previews.sights import CannotSee
from fairway.web.previews.source import Source

LOOK_VALUES = 4_000_000
FAR_LIMIT_BYTES = 256 << 20
GRID = 128
PICTURE = 640
LINE_POINTS = 1_000
CORNER = (20, 12)
BINS = 32
_NONZERO = 20_000_000


def see_array(source: Source, args: dict[str, Any]) -> dict[str, Any]:
    """{"shape", "dtype", "size", "statistics", …} and, as it fits: "line", "grid" (of block means), "picture", "values", "at" (of more than
    two axes: which part is drawn)."""
    array = _open(source)
    shown: dict[str, Any] = {"shape": list(array.shape), "dtype": str(array.dtype), "size": int(array.size)}
    if array.dtype.names or array.dtype.kind not in "biufc":
        flat = array.reshape(-1)[:200]
        return {**shown, "values": [[show_cell(value) for value in (row if isinstance(row, tuple) else (row,))] for row in flat.tolist()],
                "columns": list(array.dtype.names or [])}  # fmt: skip
    if not array.size:
        return shown
    if array.dtype.kind == "c":
        import numpy as np

        array = np.abs(array)
        shown["of"] = "magnitude"
    shown |= _statistics(array)
    return {**shown, **_draw(array, list(args.get("at") or []))}


def see_sparse(source: Source, args: dict[str, Any]) -> dict[str, Any]:
    """{"shape", "dtype", "nonzero", "density", "layout", "statistics", "grid" (how many in each block)} of a stored scipy.sparse matrix."""
    import numpy as np

    with source.open() as file:
        archive = np.load(file, allow_pickle=False)
        names = set(archive.files)
        if "shape" not in names or "data" not in names:
            raise CannotSee("this archive holds no sparse matrix", "download it, and open it with numpy.load")
        shape = [int(n) for n in archive["shape"]]
        data = archive["data"]
        layout = archive["format"].item() if "format" in names else b"?"
        layout = layout.decode() if isinstance(layout, bytes) else str(layout)
        nonzero = int(data.size) if layout in ("csr", "csc", "coo") else int(np.count_nonzero(data))  # others store zeros, too
        every = math.prod(shape)
        shown: dict[str, Any] = {
            "shape": shape, "dtype": str(data.dtype), "nonzero": nonzero, "layout": layout, "density": nonzero / every if every else 0.0,
        }  # fmt: skip
        if data.dtype.kind in "biuf" and nonzero:
            shown |= _statistics(data)
        if len(shape) == 2 and 0 < nonzero <= _NONZERO:
            places = _places(archive, layout)
            if places is not None:
                rows, columns = places
                high, wide = min(GRID, shape[0]), min(GRID, shape[1])
                counts, _, _ = np.histogram2d(rows, columns, bins=(high, wide), range=((0, shape[0]), (0, shape[1])))
                shown["grid"] = {
                    "rows": high,
                    "columns": wide,
                    "values": counts.astype(int).ravel().tolist(),
                    "min": 0,
                    "max": int(counts.max()),
                }
    return shown


def _open(source: Source) -> Any:
    import numpy as np

    if source.path:
        return np.load(source.path, mmap_mode="r", allow_pickle=False)
    if source.size_bytes > FAR_LIMIT_BYTES:
        raise CannotSee("this array is too large to be fetched for a preview", "download it")
    with source.open() as file:
        return np.load(file, allow_pickle=False)


def _places(archive: Any, layout: str) -> Any:
    import numpy as np

    if layout == "coo":
        return (archive["row"], archive["col"]) if "row" in archive.files else tuple(archive["coords"])
    if layout in ("csr", "csc"):
        ends = archive["indptr"]
        outer = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
        return (outer, archive["indices"]) if layout == "csr" else (archive["indices"], outer)
    return None


def _statistics(array: Any) -> dict[str, Any]:
    """Of all values, or of evenly spread ones if there are too many."""
    import numpy as np

    flat = array.reshape(-1)
    step = max(1, -(-flat.size // LOOK_VALUES))
    some = np.asarray(flat[::step])
    numbers = some.astype(np.float64, copy=False) if some.dtype.kind != "b" else some.astype(np.float64)
    finite = numbers[np.isfinite(numbers)]
    about: dict[str, Any] = {"looked": int(some.size), "nan": int(np.isnan(numbers).sum()), "infinite": int(np.isinf(numbers).sum())}
    if finite.size:
        low, high = float(finite.min()), float(finite.max())
        about |= {
            "min": low,
            "max": high,
            "mean": float(finite.mean()),
            "deviation": float(finite.std()),
            "zeros": int((finite == 0).sum()),
        }
        if high > low and math.isfinite(high - low):
            about["bins"] = np.histogram(finite, bins=BINS, range=(low, high))[0].tolist()
    return {
        "statistics": {name: show_cell(value) for name, value in about.items() if name != "bins"}
        | ({"bins": about["bins"]} if "bins" in about else {})
    }


def _draw(array: Any, at: list[int]) -> dict[str, Any]:
    shape = array.shape
    if array.ndim == 0:
        return {"values": [[show_cell(array.item())]]}
    if array.ndim == 1:
        return {"line": _line(array), "values": [[show_cell(value)] for value in array[:200].tolist()]}
    if _is_picture(array):
        return {"picture": _picture(array)}
    if array.ndim > 2:
        chosen = [min(max(0, int(at[n]) if n < len(at) else 0), length - 1) for n, length in enumerate(shape[:-2])]
        array = array[tuple(chosen)]
        drawn = {"at": chosen, "axes": list(shape[:-2])}
    else:
        drawn = {}
    corner = array[: CORNER[0], : CORNER[1]]
    return {**drawn, "grid": _grid(array), "values": [[show_cell(value) for value in row] for row in corner.tolist()]}


def _is_picture(array: Any) -> bool:
    shape = array.shape
    if array.ndim != 3 or shape[2] not in (3, 4) or min(shape[:2]) < 8:
        return False
    return array.dtype.str.endswith("u1") or (
        array.dtype.kind == "f" and float(array[::7, ::7].min()) >= 0 and float(array[::7, ::7].max()) <= 1
    )


def _picture(array: Any) -> dict[str, Any]:
    import numpy as np

    step = max(1, -(-max(array.shape[:2]) // PICTURE))
    small = np.asarray(array[::step, ::step])
    if small.dtype.kind == "f":
        small = (np.nan_to_num(small) * 255).round()
    pixels = np.ascontiguousarray(small.astype("u1"))
    height, width, channels = pixels.shape
    return {"url": data_url(render_png(pixels.tobytes(), width, height, channels)), "width": width, "height": height, "reduced": step > 1}


def _line(array: Any) -> dict[str, Any]:
    """At most LINE_POINTS pieces, each by its lowest and its highest value: no peak is lost."""
    import numpy as np

    if array.size <= LINE_POINTS:
        return {"step": 1, "low": [_number(value) for value in array.tolist()]}
    step = -(-array.size // LINE_POINTS)
    whole = (
        array[: array.size // step * step].reshape(-1, step) if array.size <= LOOK_VALUES * 10 else array[:: max(1, step // 64)].reshape(-1)
    )
    if whole.ndim == 1:
        inner = max(1, -(-whole.size // LINE_POINTS))
        whole = whole[: whole.size // inner * inner].reshape(-1, inner)
    low, high = np.min(whole, 1), np.max(whole, 1)
    return {"step": int(step), "low": [_number(value) for value in low.tolist()], "high": [_number(value) for value in high.tolist()]}


def _grid(array: Any) -> dict[str, Any]:
    """Block means of at most GRID × GRID blocks; of a very large array evenly spread rows and columns stand for all."""
    import numpy as np

    rows, columns = array.shape
    while rows * columns > LOOK_VALUES:
        array = array[:: 2 if rows >= columns else 1, :: 1 if rows >= columns else 2]
        rows, columns = array.shape
    values = np.asarray(array, np.float64)
    high, wide = min(GRID, rows), min(GRID, columns)
    by_row = np.add.reduceat(values, np.linspace(0, rows, high, endpoint=False).astype(int), axis=0)
    sums = np.add.reduceat(by_row, np.linspace(0, columns, wide, endpoint=False).astype(int), axis=1)
    heights: Any = np.diff(np.append(np.linspace(0, rows, high, endpoint=False).astype(int), rows))
    widths: Any = np.diff(np.append(np.linspace(0, columns, wide, endpoint=False).astype(int), columns))
    means = sums / np.outer(heights, widths)
    finite = means[np.isfinite(means)]
    low, top = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    return {"rows": high, "columns": wide, "values": [_number(float(f"{value:.4g}")) for value in means.ravel()], "min": low, "max": top}


def _number(value: Any) -> float | None:
    return value if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)) else None
