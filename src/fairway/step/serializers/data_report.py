"""What `fw.validate`, `fw.drift` and `fw.measure` found, as a page that the dashboard shows and that is read back as what it was."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class DataReport:
    """Validation, DriftReport, TableStatistics <-> one self-contained HTML page with its data in it."""

    format, suffix, types = "data-report", ".html", ("fairway.data.Validation", "fairway.data.DriftReport", "fairway.data.TableStatistics")

    def write(self, value: Any, path: Path) -> Mapping[str, Any]:
        path.write_text(import_module("fairway.data.report.stored").write_page(value), encoding="utf-8")
        return {"ok": value.ok} if hasattr(value, "ok") else {"rows": value.rows}

    def read(self, path: Path, wanted: str, meta: Mapping[str, Any]) -> Any:
        return import_module("fairway.data.report.stored").read_page(path.read_text(encoding="utf-8"), path.name)
