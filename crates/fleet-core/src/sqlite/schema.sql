-- Times are microseconds since 1970 in UTC, but for those of files, which are nanoseconds. Ids are the 16 bytes of
-- their UUID. Within the store an agent and a stream are small integers, which keeps the rows of files lean.

CREATE TABLE user_account (
    id            BLOB PRIMARY KEY,
    name          TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    role          TEXT NOT NULL,
    created_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE session (
    id         BLOB PRIMARY KEY,
    user_id    BLOB NOT NULL REFERENCES user_account (id),
    token_hash BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX session_by_user ON session (user_id);
CREATE INDEX session_by_end ON session (expires_at);

CREATE TABLE join_token (
    id         BLOB PRIMARY KEY,
    name       TEXT NOT NULL,
    token_hash BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    created_by BLOB NOT NULL REFERENCES user_account (id),
    expires_at INTEGER NOT NULL,
    max_uses   INTEGER NOT NULL,
    uses_left  INTEGER NOT NULL CHECK (uses_left >= 0),
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE agent (
    id            INTEGER PRIMARY KEY,
    uuid          BLOB NOT NULL UNIQUE,
    name          TEXT NOT NULL,
    kind          TEXT NOT NULL,
    hostname      TEXT NOT NULL,
    version       TEXT NOT NULL,
    capabilities  TEXT NOT NULL, -- JSON array of texts
    scan_paths    TEXT NOT NULL, -- JSON array of texts
    key_hash      BLOB NOT NULL UNIQUE,
    join_token_id BLOB NOT NULL REFERENCES join_token (id),
    enrolled_at   INTEGER NOT NULL,
    last_seen     INTEGER NOT NULL,
    health        TEXT,          -- JSON of the last heartbeat
    revoked_at    INTEGER
) STRICT;
-- A name is free again when the agent that had it is revoked: a host set up anew joins under its old name.
CREATE UNIQUE INDEX agent_name ON agent (name) WHERE revoked_at IS NULL;
CREATE INDEX agent_list ON agent (name, uuid);

CREATE TABLE stream (
    id         INTEGER PRIMARY KEY,
    agent      INTEGER NOT NULL REFERENCES agent (id),
    uuid       BLOB NOT NULL,
    ordinal    INTEGER NOT NULL,
    face       INTEGER NOT NULL, -- 0: ingest; 1: files-v1, numbered by the controller
    first_seen INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL,
    UNIQUE (agent, uuid),
    UNIQUE (agent, ordinal)
) STRICT;

-- The ranges of a stream never overlap and never lie side by side.
CREATE TABLE stream_range (
    stream INTEGER NOT NULL REFERENCES stream (id),
    first  INTEGER NOT NULL,
    last   INTEGER NOT NULL CHECK (last >= first),
    PRIMARY KEY (stream, first)
) STRICT, WITHOUT ROWID;

-- The two tables with a row for each record name no foreign key: a batch is checked once, not row by row.
-- A row whose kind is NULL is a tombstone: the file is gone, and no older record may bring it back.
CREATE TABLE file (
    agent          INTEGER NOT NULL,
    path           BLOB NOT NULL,
    stream_ordinal INTEGER NOT NULL,
    seq            INTEGER NOT NULL,
    changed_at     INTEGER NOT NULL,
    kind           INTEGER,
    size           INTEGER,
    allocated      INTEGER,
    mtime_ns       INTEGER,
    ctime_ns       INTEGER,
    btime_ns       INTEGER,
    mime           TEXT,
    mode           INTEGER,
    uid            INTEGER,
    gid            INTEGER,
    owner          TEXT,
    group_name     TEXT,
    inode          INTEGER, -- the bits of an unsigned number
    device         INTEGER, -- the bits of an unsigned number
    links          INTEGER,
    sha256         BLOB,
    blake3         BLOB,
    tags           TEXT,    -- JSON array of texts
    PRIMARY KEY (agent, path)
) STRICT, WITHOUT ROWID;

-- Kept up with every batch, because counting a million rows for each look at the fleet would not do.
CREATE TABLE file_total (
    agent       INTEGER PRIMARY KEY REFERENCES agent (id),
    present     INTEGER NOT NULL DEFAULT 0,
    deleted     INTEGER NOT NULL DEFAULT 0,
    bytes       INTEGER NOT NULL DEFAULT 0,
    last_change INTEGER NOT NULL DEFAULT 0
) STRICT;

-- The latest changes of each agent, for people to look at; bounded.
CREATE TABLE file_change (
    agent     INTEGER NOT NULL,
    id        INTEGER NOT NULL,
    time      INTEGER NOT NULL,
    action    INTEGER NOT NULL, -- 0 created, 1 updated, 2 moved, 3 deleted
    path      BLOB NOT NULL,
    from_path BLOB,
    changed   TEXT,             -- JSON array of texts
    PRIMARY KEY (agent, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency (
    agent       INTEGER NOT NULL REFERENCES agent (id),
    key         TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    response    TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (agent, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_age ON idempotency (created_at);

-- Commands have no methods yet. Their tables stand here from the start, because a store that several controllers share
-- must fit: a delivery is leased until a deadline, and its epoch fences off the controller that held the agent before.
CREATE TABLE command (
    id         BLOB PRIMARY KEY,
    verb       TEXT NOT NULL,
    arguments  TEXT NOT NULL,
    priority   INTEGER NOT NULL,
    created_by BLOB NOT NULL REFERENCES user_account (id),
    created_at INTEGER NOT NULL,
    not_before INTEGER,
    deadline   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE delivery (
    command     BLOB NOT NULL REFERENCES command (id),
    agent       INTEGER NOT NULL REFERENCES agent (id),
    state       TEXT NOT NULL,
    attempt     INTEGER NOT NULL DEFAULT 0,
    epoch       INTEGER NOT NULL DEFAULT 0,
    lease_until INTEGER,
    deadline    INTEGER NOT NULL,
    result      TEXT,
    updated_at  INTEGER NOT NULL,
    PRIMARY KEY (command, agent)
) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_due ON delivery (agent, state, deadline);
