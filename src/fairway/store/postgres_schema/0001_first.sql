-- Runs, their events (one row per appended batch), their inboxes, and the cache index. JSON is kept as text: a journal gives back what it was given.

CREATE TABLE runs (
    run text COLLATE "C" PRIMARY KEY,
    head bigint NOT NULL,
    pipeline text NOT NULL DEFAULT '',
    status text NOT NULL DEFAULT '',
    name text NOT NULL DEFAULT '',
    archived boolean NOT NULL DEFAULT false,
    tags text[] NOT NULL DEFAULT '{}',
    summary text                                  -- JSON of a RunSummary
);
CREATE INDEX runs_by_pipeline ON runs (pipeline, run);
CREATE INDEX runs_by_status ON runs (status, run);
CREATE INDEX runs_by_name ON runs (name) WHERE name <> '';
CREATE INDEX runs_by_tag ON runs USING gin (tags);

CREATE TABLE batches (
    run text COLLATE "C" NOT NULL,
    last bigint NOT NULL,                         -- the number of its last event
    first bigint NOT NULL,
    batch text NOT NULL,
    events text NOT NULL,                         -- JSON: [[name, fields], ...]
    PRIMARY KEY (run, last)
);

CREATE TABLE inbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run text NOT NULL,
    kind text NOT NULL,
    body text NOT NULL
);
CREATE INDEX inbox_by_run ON inbox (run, id);

CREATE TABLE cache (
    key text COLLATE "C" PRIMARY KEY,
    run text NOT NULL,
    entry text NOT NULL                           -- JSON of a CacheEntry
);
CREATE INDEX cache_by_run ON cache (run);
