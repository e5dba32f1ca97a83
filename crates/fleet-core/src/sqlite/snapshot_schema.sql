-- A full snapshot within a stream: where it begins and ends, and how far what it did not name was dropped.
CREATE TABLE snapshot (
    stream     INTEGER PRIMARY KEY REFERENCES stream (id),
    begin_seq  INTEGER,          -- NULL while only the end has arrived
    reason     TEXT,
    detail     TEXT,
    begun_at   INTEGER,
    end_seq    INTEGER,
    ended_at   INTEGER,
    unseen     TEXT,             -- JSON array of arrays of bytes: paths that the agent could not look into
    swept_to   BLOB,             -- the last path looked at; NULL before the first
    dropped    INTEGER NOT NULL DEFAULT 0,
    done_at    INTEGER
) STRICT;
