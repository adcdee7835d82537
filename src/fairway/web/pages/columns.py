"""Columns of the runs' table that one can choose, and how they are written in an address. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fairway.spec.query import Facets, render_sort
from fairway.spec.record import Record, record

PLAIN = {
    "params": "Parameters",
    "tags": "Tags",
    "note": "Note",
    "who": "Who",
    "target": "Where",
    "project": "Project",
    "tasks": "Tasks",
}
"""Columns that every run has, with their heads."""
NONE = "-"
"""How "no columns at all" is written; an empty text stands for the usual ones."""
COLUMNS_LIMIT = 24
USUAL_METRICS = 3


@record
class Column(Record):
    """`kind` is one of PLAIN, or "metric" or "param" with the `name` of one."""

    kind: str
    name: str = ""

    @property
    def key(self) -> str:
        """As in the address: "metric:auc"."""
        return f"{self.kind}:{_escape(self.name)}" if self.kind in ("metric", "param") else self.kind

    @property
    def title(self) -> str:
        """The column's head."""
        return self.name or PLAIN[self.kind]

    @property
    def sort(self) -> str:
        """What runs are sorted by if the head is pressed; "" if they cannot be."""
        return f"{self.kind}:{self.name}" if self.kind in ("metric", "param") else ""


def parse_columns(text: str) -> tuple[Column, ...]:
    """The columns that `text` names, each once; what is none is left out."""
    found: dict[Column, None] = {}
    for part in text.split(","):
        kind, colon, name = part.partition(":")
        if colon and kind in ("metric", "param") and name:
            found[Column(kind, _unescape(name))] = None
        elif not colon and kind in PLAIN:
            found[Column(kind)] = None
    return tuple(found)[:COLUMNS_LIMIT]


def render_columns(columns: Iterable[Column]) -> str:
    """The text that `parse_columns` reads as these."""
    return ",".join(column.key for column in columns) or NONE


def usual_columns(facets: Facets) -> tuple[Column, ...]:
    """What is shown unless something else is asked for: parameters, the first metrics, and who and where if there are several."""
    found = [Column("params"), *(Column("metric", name) for name in facets.metrics[:USUAL_METRICS])]
    found += [Column("tags")] if facets.tags else []
    found += [Column("who")] if len(facets.users) > 1 else []
    found += [Column("target")] if len(facets.targets) > 1 else []
    found += [Column("project")] if len(facets.projects) > 1 else []
    return tuple(found)


def sort_steps(sort: str) -> tuple[str, str, str]:
    """The orders that pressing a head goes through, as in the address: largest first, smallest first, newest first again."""
    return render_sort(sort), render_sort(sort, True), ""


def next_sort(sort: str, now: str, ascending: bool) -> str:
    """The order after the head of `sort` is pressed, while runs are sorted by `now`. "started" is newest first, then oldest first."""
    if sort == "started":
        return render_sort("", True) if now in ("", "started") and not ascending else ""
    down, up, none = sort_steps(sort)
    if now != sort:
        return down
    return none if ascending else up


def offered(facets: Facets, chosen: Sequence[Column]) -> list[tuple[str, list[Column]]]:
    """All columns to choose from, in groups, with those that are chosen though no run has them any more."""
    groups = [
        ("Run", [Column(kind) for kind in PLAIN]),
        ("Metrics", [Column("metric", name) for name in facets.metrics]),
        ("Parameters", [Column("param", name) for name in facets.params]),
    ]
    for column in chosen:
        group = groups[{"metric": 1, "param": 2}.get(column.kind, 0)][1]
        if column not in group:
            group.append(column)
    return [(title, columns) for title, columns in groups if columns]


def _escape(name: str) -> str:
    return name.replace("%", "%25").replace(",", "%2C")


def _unescape(name: str) -> str:
    return name.replace("%2C", ",").replace("%25", "%")
