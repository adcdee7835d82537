-- By what runs are found. An append writes here only what has changed; what it always writes (head, summary) stays alone in `runs`.

CREATE TABLE listed (
    no INTEGER PRIMARY KEY,                       -- runs.no
    run TEXT NOT NULL,
    pipeline TEXT NOT NULL,
    status TEXT NOT NULL,
    archived INTEGER NOT NULL,
    project TEXT NOT NULL,
    target TEXT NOT NULL,
    created_by TEXT NOT NULL,
    name TEXT NOT NULL,
    started_at REAL NOT NULL,
    duration_s REAL,                              -- NULL until it has ended
    words TEXT NOT NULL                           -- all that free words are looked for in, in small letters
);
CREATE UNIQUE INDEX listed_by_run ON listed (run, archived, status, pipeline, project, target, created_by);
CREATE INDEX listed_by_pipeline ON listed (pipeline, run, archived, status, project);
CREATE INDEX listed_by_status ON listed (status, archived);
CREATE INDEX listed_by_user ON listed (created_by, project, archived);
CREATE INDEX listed_by_target ON listed (target, project, archived);
CREATE INDEX listed_by_project ON listed (project, archived);
CREATE INDEX listed_by_started ON listed (started_at, archived);
CREATE INDEX listed_by_duration ON listed (duration_s, archived);
CREATE INDEX listed_by_kind ON listed (pipeline, status, archived, run, project);
CREATE INDEX listed_by_name ON listed (name) WHERE name <> '';
CREATE INDEX listed_archived ON listed (run) WHERE archived = 1;

CREATE TABLE run_tags (
    tag TEXT NOT NULL,
    no INTEGER NOT NULL,
    archived INTEGER NOT NULL,                    -- as in `listed`, so that it need not be asked
    PRIMARY KEY (tag, no)
) WITHOUT ROWID;
CREATE INDEX run_tags_by_run ON run_tags (no);

CREATE TABLE value_names (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,                           -- param, metric
    name TEXT NOT NULL,
    UNIQUE (kind, name)
);
CREATE TABLE run_values (
    no INTEGER NOT NULL,
    name INTEGER NOT NULL,                        -- value_names.id
    number REAL,
    text TEXT,
    archived INTEGER NOT NULL,
    PRIMARY KEY (no, name)
) WITHOUT ROWID;
CREATE INDEX run_values_by_number ON run_values (name, number, no, archived) WHERE number IS NOT NULL;
CREATE INDEX run_values_by_text ON run_values (name, text, no, archived) WHERE text IS NOT NULL;

-- The columns that moved go; a table made anew, as DROP COLUMN is not in every SQLite there is.
CREATE TABLE runs_2 (
    no INTEGER PRIMARY KEY AUTOINCREMENT,
    run TEXT NOT NULL UNIQUE,
    head INTEGER NOT NULL,
    summary TEXT                                  -- JSON of a RunSummary
);
INSERT INTO runs_2 (no, run, head, summary) SELECT no, run, head, summary FROM runs;
DELETE FROM sqlite_sequence WHERE name = 'runs_2';
UPDATE sqlite_sequence SET name = 'runs_2' WHERE name = 'runs';  -- a number is never given twice
DROP TABLE runs;
DROP TABLE tags;
ALTER TABLE runs_2 RENAME TO runs;
