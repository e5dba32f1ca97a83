-- Where and on what agents run, what operators say of them, and names for many of them.

-- JSON of what it last told; NULL before it told anything.
ALTER TABLE agent ADD COLUMN profile TEXT;
-- JSON of the site and the labels that operators gave it.
ALTER TABLE agent ADD COLUMN assigned TEXT;
-- JSON: since when, until when, why and by whom; NULL where nobody works on its host.
ALTER TABLE agent ADD COLUMN maintenance TEXT;

CREATE TABLE agent_group (
    name       TEXT PRIMARY KEY,
    selector   TEXT NOT NULL, -- JSON
    comment    TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    changed_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;
