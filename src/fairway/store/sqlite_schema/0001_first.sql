-- Runs, their events (one row per appended batch), their inboxes, and the cache index.

CREATE TABLE runs (
    no INTEGER PRIMARY KEY AUTOINCREMENT,
    run TEXT NOT NULL UNIQUE,
    head INTEGER NOT NULL,
    pipeline TEXT NOT NULL DEFAULT '',
    status TEXT NOT NULL DEFAULT '',
    name TEXT NOT NULL DEFAULT '',
    archived INTEGER NOT NULL DEFAULT 0,
    summary TEXT                                  -- JSON of a RunSummary
);
CREATE INDEX runs_by_pipeline ON runs (pipeline, status, run);
CREATE INDEX runs_by_status ON runs (status, run);
CREATE INDEX runs_by_name ON runs (name) WHERE name <> '';
CREATE INDEX runs_archived ON runs (run) WHERE archived = 1;

CREATE TABLE tags (
    tag TEXT NOT NULL,
    run TEXT NOT NULL,
    PRIMARY KEY (tag, run)
) WITHOUT ROWID;
CREATE INDEX tags_by_run ON tags (run);

-- id = runs.no << 32 | the number of the batch's last event: a run's batches lie together and in order, with no second index to write.
CREATE TABLE batches (
    id INTEGER PRIMARY KEY,
    first INTEGER NOT NULL,                       -- the number of its first event
    batch TEXT NOT NULL,
    events TEXT NOT NULL                          -- JSON: [[name, fields], ...]
);

CREATE TABLE inbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run TEXT NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX inbox_by_run ON inbox (run, id);

CREATE TABLE cache (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,                     -- 32 bytes for a SHA-256, else text
    run INTEGER NOT NULL,                         -- runs.no; no such run: it was deleted
    entry TEXT NOT NULL                           -- JSON of a CacheEntry
);
CREATE INDEX cache_by_run ON cache (run);
