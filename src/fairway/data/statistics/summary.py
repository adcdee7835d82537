"""Statistics as plain figures: what programs read and people look at, without the sketches."""

from __future__ import annotations

import math
from typing import Any

from fairway.data.statistics.cadence import Cadence
from fairway.data.statistics.column import ColumnStatistics
from fairway.data.statistics.table import TableStatistics

_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_BARS = "▁▂▃▄▅▆▇█"


def summarise(made: TableStatistics) -> dict[str, Any]:
    """Everything as JSON has it; what is not known is None."""
    repeated = made.duplicate_rows
    pairs = sorted(made.correlations.items(), key=lambda item: -abs(item[1]))
    return {
        "uri": made.uri,
        "measured_at": made.measured_at,
        "rows": made.rows,
        "duplicate_rows": {"value": _known(repeated.value), "low": repeated.low, "high": repeated.high, "exact": repeated.is_exact},
        "columns": [summarise_column(one) for one in made.columns.values()],
        "cadences": [summarise_cadence(one) for one in made.cadences.values()],
        "correlations": [{"columns": list(pair), "value": value} for pair, value in pairs],
    }


def summarise_column(one: ColumnStatistics) -> dict[str, Any]:
    """Of one column."""
    made: dict[str, Any] = {name: getattr(one, name) for name in ("name", "kind", "arrow", "rows", "nulls", "nans", "infinities", "unlike")}
    made |= {"distinct": one.distinct, "distinct_is_exact": one.distinct_is_exact, "distinct_error": one.distinct_error}
    made |= {"unique_share": one.unique_share, "minimum": _json(one.minimum), "maximum": _json(one.maximum)}
    if one.has_ranks:
        made |= {name: _known(getattr(one, name)) for name in ("mean", "std", "skewness", "kurtosis")}
        made |= {"zeros": one.zeros, "negatives": one.negatives, "whole": one.whole, "rank_error": one.rank_error}
        made["quantiles"] = dict(zip(map(str, _QUANTILES), one.quantile(_QUANTILES).tolist(), strict=True))
    made["top"] = [{"value": _json(top.value), "count": top.count, "error": top.error} for top in one.top]
    made["top_is_complete"] = one.top_is_complete
    if one.kind == "string":
        made |= {"shapes": [{"shape": top.value, "count": top.count} for top in one.shapes[:20]]}
        made |= {"numeric_texts": one.numeric_texts, "date_texts": one.date_texts}
        made["encoding"] = {name: getattr(one.encoding, name) for name in type(one.encoding).__slots__}
    for name in ("lengths", "elements"):
        if (part := getattr(one, name)) is not None:
            made[name] = summarise_column(part)
    return made


def summarise_cadence(one: Cadence) -> dict[str, Any]:
    """Of one time column."""
    names = ("period_s", "period_share", "jitter_s", "largest_gap_s", "phase_s", "phase_spread")
    made: dict[str, Any] = {"column": one.column, "by": list(one.by), "zone": one.zone, "rows": one.rows}
    made |= {name: _known(getattr(one, name)) for name in names}
    made |= {name: getattr(one, name) for name in ("gap_count", "duplicates", "backwards", "groups", "first_at", "last_at")}
    made["gaps"] = [{"row": gap.row, "begin": gap.begin, "end": gap.end, "seconds": gap.seconds} for gap in one.gaps]
    return made | {"hours": list(one.hours), "weekdays": list(one.weekdays)}


def bars(one: ColumnStatistics, count: int = 10) -> str:
    """A histogram as signs: of numbers and times in equal bins between the 1st and 99th percentile, so that one far value does not hide the
    others; of anything else its most frequent values. "" where there is nothing to show."""
    if one.has_ranks and one.kind != "boolean":
        low, high = one.quantile([0.01, 0.99]).tolist()
        if not high > low:
            return ""
        heights = one.histogram([low + (high - low) * place / count for place in range(count + 1)]).tolist()
    else:
        heights = [float(top.count) for top in one.top[:count]]
    most = max(heights, default=0)
    return "".join(" " if not height else _BARS[min(7, int(8 * height / most))] for height in heights) if most else ""


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _json(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value
