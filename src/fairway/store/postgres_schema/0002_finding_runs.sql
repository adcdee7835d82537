-- By what runs are found. An append writes here only what has changed; what it always writes (head, summary) stays alone in `runs`.

CREATE TABLE listed (
    no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run text COLLATE "C" NOT NULL UNIQUE,
    pipeline text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    archived integer NOT NULL,
    project text COLLATE "C" NOT NULL,
    target text COLLATE "C" NOT NULL,
    created_by text COLLATE "C" NOT NULL,
    name text NOT NULL,
    started_at double precision NOT NULL,
    duration_s double precision,                  -- NULL until it has ended
    words text NOT NULL                           -- all that free words are looked for in, in small letters
);
CREATE INDEX listed_by_pipeline ON listed (pipeline, run);
CREATE INDEX listed_by_status ON listed (status, run);
CREATE INDEX listed_by_user ON listed (created_by, run);
CREATE INDEX listed_by_target ON listed (target, run);
CREATE INDEX listed_by_project ON listed (project, run);
CREATE INDEX listed_by_started ON listed (started_at, no);
CREATE INDEX listed_by_duration ON listed (duration_s, no);
CREATE INDEX listed_by_name ON listed (name) WHERE name <> '';
CREATE INDEX listed_archived ON listed (run) WHERE archived = 1;

CREATE TABLE run_tags (
    tag text COLLATE "C" NOT NULL,
    no bigint NOT NULL REFERENCES listed ON DELETE CASCADE,
    PRIMARY KEY (tag, no)
);
CREATE INDEX run_tags_by_run ON run_tags (no);

CREATE TABLE value_names (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,                           -- param, metric
    name text COLLATE "C" NOT NULL,
    UNIQUE (kind, name)
);
CREATE TABLE run_values (
    no bigint NOT NULL REFERENCES listed ON DELETE CASCADE,
    name integer NOT NULL REFERENCES value_names,
    number double precision,
    text text COLLATE "C",
    PRIMARY KEY (no, name)
);
CREATE INDEX run_values_by_number ON run_values (name, number, no) WHERE number IS NOT NULL;
CREATE INDEX run_values_by_text ON run_values (name, text, no) WHERE text IS NOT NULL;

ALTER TABLE runs DROP COLUMN pipeline, DROP COLUMN status, DROP COLUMN name, DROP COLUMN archived, DROP COLUMN tags;
