-- One document for each endpoint. A name that was deleted keeps its version, so that whoever still holds an old document cannot write it.

CREATE TABLE endpoints (
    name text COLLATE "C" PRIMARY KEY,
    version bigint NOT NULL,
    document text                                 -- JSON of an Endpoint; NULL: deleted
);
