//! The tables of the outbox.
use crate::Component;

pub(crate) const COMPONENT: Component = Component {
    name: "outbox",
    migrations: &[
        // The sums stand beside the numbering, so that asking for them reads one row however much is owed.
        "CREATE TABLE outbox_meta (
         id INTEGER PRIMARY KEY CHECK (id = 1),
         stream BLOB NOT NULL,
         next_seq INTEGER NOT NULL,
         records INTEGER NOT NULL DEFAULT 0,
         runs INTEGER NOT NULL DEFAULT 0,
         bytes INTEGER NOT NULL DEFAULT 0
     ) STRICT;
     CREATE TABLE outbox (
         first_seq INTEGER PRIMARY KEY,
         records INTEGER NOT NULL,
         enqueued_ms INTEGER NOT NULL,
         codec INTEGER NOT NULL,
         crc INTEGER NOT NULL,
         body BLOB NOT NULL
     ) STRICT;",
        // An outbox of before goes on in its stream: nothing says that what the server knows is wrong. Its numbering has
        // no checksum until it is written again.
        "ALTER TABLE outbox_meta ADD COLUMN dropped INTEGER NOT NULL DEFAULT 0;
     ALTER TABLE outbox_meta ADD COLUMN damaged INTEGER NOT NULL DEFAULT 0;
     ALTER TABLE outbox_meta ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;
     ALTER TABLE outbox_meta ADD COLUMN resync TEXT NOT NULL DEFAULT '';
     ALTER TABLE outbox_meta ADD COLUMN resync_detail TEXT NOT NULL DEFAULT '';
     ALTER TABLE outbox_meta ADD COLUMN resync_ms INTEGER NOT NULL DEFAULT 0;
     ALTER TABLE outbox_meta ADD COLUMN snapshot INTEGER NOT NULL DEFAULT 0;
     ALTER TABLE outbox_meta ADD COLUMN told INTEGER NOT NULL DEFAULT 0;
     ALTER TABLE outbox_meta ADD COLUMN crc INTEGER;",
    ],
};
