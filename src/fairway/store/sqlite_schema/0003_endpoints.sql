-- One document for each endpoint. A name that was deleted keeps its version, so that whoever still holds an old document cannot write it.

CREATE TABLE endpoints (
    name TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    document TEXT                                 -- JSON of an Endpoint; NULL: deleted
) WITHOUT ROWID;
