//! What the agent writes down of itself: its scans and what they found, beside the outbox.
pub(crate) mod by_hand;
pub(crate) mod detections;
pub(crate) mod scans;

use state_sqlite::Component;

/// The agent's own tables.
pub(crate) const COMPONENT: Component = Component {
    name: "reef",
    migrations: &[
        "CREATE TABLE scan (
         id TEXT PRIMARY KEY NOT NULL,
         rule TEXT NOT NULL,
         cause TEXT NOT NULL,
         started_ms INTEGER NOT NULL,
         ended_ms INTEGER,
         body TEXT,
         is_told INTEGER NOT NULL DEFAULT 0
     ) STRICT, WITHOUT ROWID;
     CREATE INDEX scan_by_rule ON scan (rule, started_ms);
     CREATE INDEX scan_by_start ON scan (started_ms);
     CREATE TABLE rule (
         name TEXT PRIMARY KEY NOT NULL,
         since_ms INTEGER NOT NULL
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE event (
         id INTEGER PRIMARY KEY,
         detection TEXT NOT NULL,
         kind TEXT NOT NULL,
         at_ms INTEGER NOT NULL,
         body TEXT NOT NULL,
         is_told INTEGER NOT NULL DEFAULT 0
     ) STRICT;
     CREATE UNIQUE INDEX event_once ON event (kind, detection, at_ms);
     CREATE INDEX event_by_time ON event (at_ms);
     CREATE INDEX event_untold ON event (id) WHERE is_told = 0;",
        // What was watched or asked for may have been a part: nobody wrote that down.
        "ALTER TABLE scan ADD COLUMN is_part INTEGER NOT NULL DEFAULT 0;
     ALTER TABLE scan ADD COLUMN is_cut_off INTEGER NOT NULL DEFAULT 0;
     UPDATE scan SET is_part = 1 WHERE cause NOT IN ('schedule', 'catch_up', 'resume', 'local');",
    ],
};
