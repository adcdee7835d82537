"""Statistics of tables: exact counts and sketches with stated errors, in one pass, mergeable over shards."""

from __future__ import annotations

from fairway.data.statistics.accumulator import Accumulator
from fairway.data.statistics.budget import Budget
from fairway.data.statistics.cadence import Cadence, Gap
from fairway.data.statistics.column import ColumnStatistics, Top
from fairway.data.statistics.measuring import measure
from fairway.data.statistics.table import Estimate, TableStatistics
from fairway.data.statistics.texts import EncodingCounts

__all__ = ["Accumulator", "Budget", "Cadence", "ColumnStatistics", "EncodingCounts", "Estimate", "Gap", "TableStatistics", "Top", "measure"]
