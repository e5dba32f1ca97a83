-- The latest time that a record of this stream bears, by its agent's clock: a repeat never bears a later one, so a record
-- that does, under a number that was seen, is of an agent whose state went back in time.
ALTER TABLE stream ADD COLUMN latest INTEGER NOT NULL DEFAULT 0;
