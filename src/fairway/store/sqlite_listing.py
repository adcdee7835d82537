"""What runs are found by, written into SQLite: only what has changed."""

from __future__ import annotations

import sqlite3

from fairway.spec.summary import RunSummary
from fairway.store import wire
from fairway.store.listing import COLUMNS, list_summary

_UPSERT = (
    f"INSERT INTO listed (no, {', '.join(COLUMNS)}) VALUES (?{', ?' * len(COLUMNS)})"
    f" ON CONFLICT (no) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in COLUMNS)}"
)


def write_listing(db: sqlite3.Connection, no: int, summary: RunSummary, before: RunSummary | None) -> None:
    """Bring what the run is found by from `before` (None: whatever there is) to `summary`."""
    new = list_summary(summary)
    old = list_summary(before) if before else None
    if old is None:
        db.execute(_UPSERT, (no, *new.columns))
    elif old.columns != new.columns:
        changed = [(name, value) for name, value, was in zip(COLUMNS, new.columns, old.columns, strict=True) if value != was]
        sets = ", ".join(f"{name} = ?" for name, _ in changed)
        db.execute(f"UPDATE listed SET {sets} WHERE no = ?", (*(value for _, value in changed), no))
    archived = int(summary.archived)
    if before is None or before.archived != summary.archived:
        old = None
    if old is None or old.tags != new.tags:
        db.execute("DELETE FROM run_tags WHERE no = ?", (no,))
        db.executemany("INSERT INTO run_tags (tag, no, archived) VALUES (?, ?, ?)", [(tag, no, archived) for tag in new.tags])
    if old is None:
        db.execute("DELETE FROM run_values WHERE no = ?", (no,))
    were = old.values if old else {}
    rows = [(no, _name_id(db, key), *value, archived) for key, value in new.values.items() if were.get(key) != value]
    db.executemany("INSERT OR REPLACE INTO run_values (no, name, number, text, archived) VALUES (?, ?, ?, ?, ?)", rows)
    gone = [(no, _name_id(db, key)) for key in were.keys() - new.values.keys()]
    db.executemany("DELETE FROM run_values WHERE no = ? AND name = ?", gone)


def _name_id(db: sqlite3.Connection, key: tuple[str, str]) -> int:
    found = db.execute("SELECT id FROM value_names WHERE kind = ? AND name = ?", key).fetchone()
    return found[0] if found else db.execute("INSERT INTO value_names (kind, name) VALUES (?, ?)", key).lastrowid or 0


def remove_listing(db: sqlite3.Connection, no: int) -> None:
    """The run is no longer found."""
    for table in ("listed", "run_tags", "run_values"):
        db.execute(f"DELETE FROM {table} WHERE no = ?", (no,))


def fill_listings(db: sqlite3.Connection) -> None:
    """List all runs of a journal that was written before there were listings."""
    for no, text in db.execute("SELECT no, summary FROM runs WHERE summary IS NOT NULL ORDER BY no"):
        try:
            summary = wire.parse_summary(text)
        except (ValueError, KeyError, TypeError):
            continue  # one that nobody can read keeps nobody from the rest
        write_listing(db, no, summary, None)
