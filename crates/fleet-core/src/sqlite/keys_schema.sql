-- Keys that take the place of others, and agents that have none because their certificate proves them.

-- 0: nothing opens by `key_hash`, which then is of no key at all.
ALTER TABLE agent ADD COLUMN has_key INTEGER NOT NULL DEFAULT 1;
ALTER TABLE agent ADD COLUMN key_made_at INTEGER NOT NULL DEFAULT 0;
UPDATE agent SET key_made_at = enrolled_at;
-- Handed out and not used yet. The first use makes it the key, and the one before ends.
ALTER TABLE agent ADD COLUMN pending_key BLOB;
CREATE UNIQUE INDEX agent_pending_key ON agent (pending_key) WHERE pending_key IS NOT NULL;
-- When an operator asked for another key, until the agent has used one.
ALTER TABLE agent ADD COLUMN rotate_asked_at INTEGER;
-- 1: it was begun with a key that has ended since, perhaps by somebody who had stolen it, and stands in nobody's way.
ALTER TABLE agent_session ADD COLUMN is_void INTEGER NOT NULL DEFAULT 0;
