"""What was found, as an artifact: the page for people, and in it the same as data."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fairway.data.report.page import render
from fairway.data.wholefiles import parse_object
from fairway.errors import DefinitionError

if TYPE_CHECKING:
    from fairway.data.anomalies import Validation
    from fairway.data.drift import DriftReport
    from fairway.data.statistics import TableStatistics

_BEGIN, _END = '<script type="application/json" id="fairway-data">', "</script>"


def write_page(found: Validation | DriftReport | TableStatistics) -> str:
    """A report of it that `read_page` reads back; of a validation without its statistics, which the page shows."""
    from fairway.data.anomalies import Validation
    from fairway.data.statistics import TableStatistics

    if isinstance(found, Validation):
        kind, page, data = "validation", render(validation=found), json.loads(found.to_json())
    elif isinstance(found, TableStatistics):
        kind, page, data = "statistics", render(statistics=found), json.loads(found.to_json())
    else:
        kind, page, data = "drift", render(drift=found), found.to_json()
    kept = json.dumps({"kind": kind, "data": data}, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return page.replace("</main>", f"</main>{_BEGIN}{kept}{_END}", 1)


def read_page(page: str, where: str = "the report") -> Validation | DriftReport | TableStatistics:
    """What `write_page` wrote. Raises DefinitionError for a page that holds no data."""
    from fairway.data.anomalies import Validation
    from fairway.data.drift import DriftReport
    from fairway.data.statistics import TableStatistics

    _, found, rest = page.partition(_BEGIN)
    if not found:
        raise DefinitionError(
            f"{where} holds no data to read back", hint="a step that returns a Validation or a DriftReport writes pages that do"
        )
    kept = parse_object(rest.partition(_END)[0], where=where, hint="make the report again")
    data: Any = kept.get("data")
    if kept.get("kind") == "validation":
        return Validation.from_json(json.dumps(data), where=where)
    if kept.get("kind") == "statistics":
        return TableStatistics.from_json(json.dumps(data), where=where)
    return DriftReport.from_json(data)
