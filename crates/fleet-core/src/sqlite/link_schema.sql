-- Claims, the agent link, commands and the configuration of agents.

-- An agent that was claimed joined by no token.
ALTER TABLE agent ALTER COLUMN join_token_id DROP NOT NULL;
-- The machine that the agent last said it runs on, hashed by the agent.
ALTER TABLE agent ADD COLUMN machine TEXT;
-- The commands that it last said it takes, as a JSON array of texts; NULL before its first HELLO.
ALTER TABLE agent ADD COLUMN verbs TEXT;
-- Its last sample of the host, as JSON.
ALTER TABLE agent ADD COLUMN sample TEXT;
-- It is being removed with all that it told: a step at a time, because that may be millions of rows.
ALTER TABLE agent ADD COLUMN removed_at INTEGER;
CREATE INDEX agent_removed ON agent (id) WHERE removed_at IS NOT NULL;

CREATE TABLE claim (
    id           BLOB PRIMARY KEY,
    code         TEXT NOT NULL,
    token_hash   BLOB NOT NULL UNIQUE,
    network      TEXT NOT NULL, -- where it came from: many of one network are refused
    name         TEXT NOT NULL,
    kind         TEXT NOT NULL,
    hostname     TEXT NOT NULL,
    version      TEXT NOT NULL,
    capabilities TEXT NOT NULL, -- JSON array of texts
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    accepted_at  INTEGER,
    accepted_by  BLOB REFERENCES user_account (id),
    agent        INTEGER REFERENCES agent (id),
    -- Half of the agent's key; the other half is the claim token, which is not kept here. Erased as the key is first used.
    secret       BLOB,
    used_at      INTEGER
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX claim_code ON claim (code);
CREATE INDEX claim_by_end ON claim (expires_at);
CREATE INDEX claim_by_agent ON claim (agent) WHERE agent IS NOT NULL;

-- What stood here before had no methods and so no rows.
DROP TABLE delivery;
DROP TABLE command;

CREATE TABLE command (
    id              INTEGER PRIMARY KEY,
    uuid            BLOB NOT NULL UNIQUE,
    verb            TEXT NOT NULL,
    args            TEXT NOT NULL, -- JSON
    priority        INTEGER NOT NULL, -- 0 low to 3 critical
    target          TEXT NOT NULL, -- JSON, as it was asked
    issued_at       INTEGER NOT NULL,
    issued_by       BLOB NOT NULL REFERENCES user_account (id),
    deadline        INTEGER NOT NULL,
    idempotency_key TEXT,
    fingerprint     BLOB
) STRICT;
CREATE UNIQUE INDEX command_by_key ON command (issued_by, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX command_by_age ON command (issued_at);

-- One row for each agent that a command is for. The epoch is that of the session it was last handed to: what a session
-- before that one says of it counts no more, whichever controller holds it.
CREATE TABLE delivery (
    command     INTEGER NOT NULL REFERENCES command (id) ON DELETE CASCADE,
    agent       INTEGER NOT NULL REFERENCES agent (id),
    state       INTEGER NOT NULL, -- 0 queued, 1 sent, 2 acked, 3 running; 4 done, 5 failed, 6 expired, 7 cancelled, 8 unknown
    priority    INTEGER NOT NULL, -- the command's
    deadline    INTEGER NOT NULL, -- the command's
    attempt     INTEGER NOT NULL DEFAULT 0,
    epoch       INTEGER NOT NULL DEFAULT 0,
    queued_at   INTEGER NOT NULL,
    sent_at     INTEGER,
    acked_at    INTEGER,
    started_at  INTEGER,
    ended_at    INTEGER,
    reported_at INTEGER, -- when the agent's own result was stored
    cancel_at   INTEGER, -- when an operator took it back
    cancel_sent INTEGER, -- when the agent was last told so
    progress    TEXT,    -- JSON of the latest
    code        TEXT,
    detail      TEXT,
    result      TEXT,    -- JSON
    PRIMARY KEY (command, agent)
) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_open ON delivery (agent, priority DESC, command) WHERE state < 4;
CREATE INDEX delivery_by_state ON delivery (state, deadline);

-- The latest session of each agent; the epoch rises with each and never falls.
CREATE TABLE agent_session (
    agent             INTEGER PRIMARY KEY REFERENCES agent (id),
    epoch             INTEGER NOT NULL,
    instance          BLOB NOT NULL,
    previous_instance BLOB,
    transport         INTEGER NOT NULL, -- 0 WebSocket, 1 polling
    remote            TEXT NOT NULL,
    connected_at      INTEGER NOT NULL,
    last_seen         INTEGER NOT NULL,
    ended_at          INTEGER,
    -- The version of the configuration last sent in this session, 0 for a withdrawal, and when.
    config_sent       INTEGER,
    config_sent_at    INTEGER
) STRICT;

-- Somebody else came with the agent's key while the agent was there.
CREATE TABLE agent_clone (
    agent     INTEGER PRIMARY KEY REFERENCES agent (id),
    instance  BLOB NOT NULL,
    hostname  TEXT NOT NULL,
    machine   TEXT,
    remote    TEXT NOT NULL,
    first_at  INTEGER NOT NULL,
    last_at   INTEGER NOT NULL,
    refusals  INTEGER NOT NULL
) STRICT;

-- Versions are never written anew; a row without text is a withdrawal.
CREATE TABLE agent_config (
    agent   INTEGER NOT NULL REFERENCES agent (id),
    version INTEGER NOT NULL,
    text    TEXT,
    sha256  TEXT NOT NULL,
    comment TEXT NOT NULL,
    set_at  INTEGER NOT NULL,
    set_by  BLOB NOT NULL REFERENCES user_account (id),
    PRIMARY KEY (agent, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE agent_config_report (
    agent       INTEGER PRIMARY KEY REFERENCES agent (id),
    -- What the agent knows of: the version that it runs with or has refused; NULL for none.
    known       INTEGER,
    report      TEXT, -- JSON of the latest CONFIG_REPORT
    reported_at INTEGER NOT NULL
) STRICT;
