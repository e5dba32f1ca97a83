-- How many groups of writes were committed, ever: held against the mark beside the file, it tells a store that went back
-- in time.
CREATE TABLE progress (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    commits INTEGER NOT NULL
) STRICT;
INSERT INTO progress (id, commits) VALUES (1, 0);

-- A closed stream is one whose records may have been lost here after they were taken: its agent is asked for a snapshot.
ALTER TABLE stream ADD COLUMN closed_at INTEGER;

-- A newer stream began to name everything before this snapshot was whole.
ALTER TABLE snapshot ADD COLUMN superseded_at INTEGER;
UPDATE snapshot SET superseded_at = COALESCE(begun_at, ended_at, 0)
WHERE done_at IS NULL
  AND EXISTS (SELECT 1 FROM stream AS own
              JOIN stream AS newer ON newer.agent = own.agent AND newer.ordinal > own.ordinal
              JOIN snapshot AS its ON its.stream = newer.id AND its.begin_seq IS NOT NULL
              WHERE own.id = snapshot.stream);
CREATE INDEX snapshot_due ON snapshot (ended_at)
WHERE done_at IS NULL AND superseded_at IS NULL AND end_seq IS NOT NULL AND begin_seq IS NOT NULL;
