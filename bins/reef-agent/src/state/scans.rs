//! Scans that were made: when each rule was last gone through, and what was cut off.
use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use core_model::EventId;
use fleet_wire::{MalwareScan, ScanCause, ScanScope, ScanStatus};
use serde::Serialize;
use state_sqlite::{Database, rusqlite};

/// So long scans are kept.
const KEPT: TimeDelta = TimeDelta::days(90);

/// A scan as it is written down.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Written {
    pub(crate) id: EventId,
    pub(crate) rule: String,
    pub(crate) cause: String,
    /// Whether it is of all of the rule.
    pub(crate) scope: ScanScope,
    pub(crate) started_at: DateTime<Utc>,
    /// How it ended; none while it lasts, or where it was cut off.
    pub(crate) ended: Option<MalwareScan>,
    /// The process that made it ended before it did.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_cut_off: bool,
}

/// Writes down that a scan begins.
pub(crate) fn begin(
    database: &Database,
    id: EventId,
    (rule, scope): (&str, ScanScope),
    cause: ScanCause,
    now: DateTime<Utc>,
) -> anyhow::Result<()> {
    database
        .with_writer(|connection| -> rusqlite::Result<()> {
            let transaction = connection.transaction()?;
            transaction.execute(
                "DELETE FROM scan WHERE started_ms < ?1",
                [(now - KEPT).timestamp_millis()],
            )?;
            transaction.execute(
                "INSERT INTO scan (id, rule, cause, started_ms, is_part) VALUES (?1, ?2, ?3, ?4, ?5)",
                (
                    id.to_string(),
                    rule,
                    cause.name(),
                    now.timestamp_millis(),
                    scope != ScanScope::Whole,
                ),
            )?;
            transaction.commit()
        })
        .context("could not write down the scan")
}

/// Writes down how it ended.
pub(crate) fn end(database: &Database, scan: &MalwareScan) -> anyhow::Result<()> {
    let body = serde_json::to_string(scan)?;
    let values = (
        scan.id.to_string(),
        &scan.rule,
        scan.cause.name(),
        scan.started_at.timestamp_millis(),
        scan.ended_at.timestamp_millis(),
        body,
        !scan.is_whole(),
    );
    // On a full disk its beginning could not be written down.
    let sql = "INSERT INTO scan (id, rule, cause, started_ms, ended_ms, body, is_part)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
               ON CONFLICT (id) DO UPDATE SET ended_ms = excluded.ended_ms, body = excluded.body";
    database
        .with_writer(|connection| connection.execute(sql, values))
        .context("could not write down the scan")?;
    Ok(())
}

/// The newest scan of all of a rule, whether or not it came to an end, by which its schedule counts: not one that a
/// controller asked for.
pub(crate) fn newest(database: &Database, rule: &str) -> anyhow::Result<Option<Written>> {
    let which = "WHERE rule = ?1 AND is_part = 0 AND cause IN ('schedule', 'catch_up', 'resume', 'local')
         ORDER BY started_ms DESC LIMIT 1";
    read(database, which, [rule]).map(|mut scans| scans.pop())
}

/// The scan of all of a rule that ended last.
pub(crate) fn last_whole(database: &Database, rule: &str) -> anyhow::Result<Option<MalwareScan>> {
    let which = "WHERE rule = ?1 AND is_part = 0 AND body IS NOT NULL ORDER BY ended_ms DESC LIMIT 1";
    ended(database, which, [rule])
}

/// The same of those that looked at everything.
pub(crate) fn last_complete(database: &Database, rule: &str) -> anyhow::Result<Option<MalwareScan>> {
    let which = "WHERE rule = ?1 AND is_part = 0 AND body ->> '$.status' = ?2 ORDER BY ended_ms DESC LIMIT 1";
    ended(database, which, [rule, ScanStatus::Completed.name()])
}

/// Of all of a rule, the scan that ended last, and the one that ended last of those that looked at everything.
pub(crate) fn last(database: &Database, rule: &str) -> anyhow::Result<Vec<MalwareScan>> {
    let last = [last_complete(database, rule)?, last_whole(database, rule)?];
    Ok(last.into_iter().flatten().collect())
}

fn ended(database: &Database, which: &str, values: impl rusqlite::Params) -> anyhow::Result<Option<MalwareScan>> {
    let mut scans = read(database, which, values)?;
    Ok(scans.pop().and_then(|scan| scan.ended))
}

/// The scans by a rule that are under way, where the agent runs.
pub(crate) fn under_way(database: &Database, rule: &str) -> anyhow::Result<Vec<Written>> {
    let which = "WHERE rule = ?1 AND body IS NULL AND is_cut_off = 0 ORDER BY started_ms";
    read(database, which, [rule])
}

/// No process runs that could end what has begun.
pub(crate) fn cut_off(database: &Database) -> anyhow::Result<()> {
    let sql = "UPDATE scan SET is_cut_off = 1 WHERE body IS NULL AND is_cut_off = 0";
    database
        .with_writer(|connection| connection.execute(sql, []))
        .context("could not write down which scans were cut off")?;
    Ok(())
}

/// A scan by its id.
pub(crate) fn by_id(database: &Database, id: EventId) -> anyhow::Result<Option<Written>> {
    read(database, "WHERE id = ?1", [id.to_string()]).map(|mut scans| scans.pop())
}

/// Since when a rule is known: its schedule counts from then until it was gone through once, over restarts, too.
pub(crate) fn known_since(database: &Database, rule: &str, now: DateTime<Utc>) -> anyhow::Result<DateTime<Utc>> {
    let since: i64 = database
        .with_writer(|connection| -> rusqlite::Result<i64> {
            connection.execute(
                "INSERT INTO rule (name, since_ms) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING",
                (rule, now.timestamp_millis()),
            )?;
            connection.query_row("SELECT since_ms FROM rule WHERE name = ?1", [rule], |row| row.get(0))
        })
        .context("could not write down since when a rule is known")?;
    Ok(DateTime::from_timestamp_millis(since).unwrap_or(now))
}

/// Which scans are shown. What is not set does not narrow.
#[derive(Clone, Debug, Default)]
pub(crate) struct Which {
    /// By this rule.
    pub(crate) rule: Option<String>,
    /// That ended so.
    pub(crate) status: Option<ScanStatus>,
    /// That began at this time or later.
    pub(crate) since: Option<DateTime<Utc>>,
    /// At most so many; 0 for all.
    pub(crate) limit: u32,
}

/// The newest scans first.
pub(crate) fn history(database: &Database, which: &Which) -> anyhow::Result<Vec<Written>> {
    let limit = if which.limit == 0 { -1 } else { i64::from(which.limit) };
    read(
        database,
        "WHERE (?1 IS NULL OR rule = ?1) AND (?2 IS NULL OR body ->> '$.status' = ?2) AND started_ms >= ?3
         ORDER BY started_ms DESC LIMIT ?4",
        (
            &which.rule,
            which.status.map(ScanStatus::name),
            which.since.map_or(i64::MIN, |since| since.timestamp_millis()),
            limit,
        ),
    )
}

/// Those that ended and that nobody was told of: a process ended in between.
pub(crate) fn untold(database: &Database, limit: u32) -> anyhow::Result<Vec<Written>> {
    read(
        database,
        "WHERE is_told = 0 AND body IS NOT NULL ORDER BY started_ms LIMIT ?1",
        [limit],
    )
}

/// Its end lies in the outbox, or there is nobody who is to be told.
pub(crate) fn told(database: &Database, scans: &[EventId]) -> anyhow::Result<()> {
    database
        .with_writer(|connection| -> rusqlite::Result<()> {
            let transaction = connection.transaction()?;
            for id in scans {
                transaction.execute("UPDATE scan SET is_told = 1 WHERE id = ?1", [id.to_string()])?;
            }
            transaction.commit()
        })
        .context("could not write down what was told")
}

/// Nobody is to be told.
pub(crate) fn all_told(database: &Database) -> anyhow::Result<()> {
    let sql = "UPDATE scan SET is_told = 1 WHERE is_told = 0 AND body IS NOT NULL";
    database
        .with_writer(|connection| connection.execute(sql, []))
        .context("could not write down what was told")?;
    Ok(())
}

/// All are to be told anew.
pub(crate) fn forget_told(database: &Database) -> anyhow::Result<()> {
    database
        .with_writer(|connection| connection.execute("UPDATE scan SET is_told = 0", []))
        .context("could not write down what was told")?;
    Ok(())
}

fn read(database: &Database, which: &str, values: impl rusqlite::Params) -> anyhow::Result<Vec<Written>> {
    let sql = format!("SELECT id, rule, cause, started_ms, body, is_part, is_cut_off FROM scan {which}");
    database
        .with_writer(|connection| -> rusqlite::Result<Vec<Option<Written>>> {
            let mut statement = connection.prepare(&sql)?;
            let rows = statement.query_map(values, |row| {
                let (id, body): (String, Option<String>) = (row.get(0)?, row.get(4)?);
                let Ok(id) = id.parse() else { return Ok(None) };
                Ok(Some(Written {
                    id,
                    rule: row.get(1)?,
                    cause: row.get(2)?,
                    scope: if row.get(5)? { ScanScope::Part } else { ScanScope::Whole },
                    started_at: DateTime::from_timestamp_millis(row.get(3)?).unwrap_or_default(),
                    ended: body.and_then(|body| serde_json::from_str(&body).ok()),
                    is_cut_off: row.get(6)?,
                }))
            })?;
            rows.collect()
        })
        .map(|scans| scans.into_iter().flatten().collect())
        .context("could not read the scans that were made")
}

#[cfg(test)]
mod tests {
    use super::{super::COMPONENT, *};
    use fleet_wire::{FileCount, ScanProof};
    use state_sqlite::{Component, OpenOptions};
    use std::collections::BTreeMap;

    fn database(folder: &tempfile::TempDir) -> Database {
        Database::open(
            &folder.path().join("state.db"),
            OpenOptions {
                check: false,
                ..OpenOptions::default()
            },
        )
        .unwrap()
    }

    fn at(hour: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + hour * 3_600, 0).unwrap()
    }

    fn id(n: u8) -> EventId {
        EventId::new(at(0), [n; 10])
    }

    fn scan(n: u8, (began, ended): (i64, i64), status: ScanStatus, scope: ScanScope) -> MalwareScan {
        MalwareScan {
            id: id(n),
            rule: "web".to_owned(),
            cause: ScanCause::Schedule,
            started_at: at(began),
            ended_at: at(ended),
            status,
            met: FileCount::default(),
            account: BTreeMap::new(),
            unaccounted: 0,
            detections: 0,
            engine: None,
            error: None,
            proof: Box::new(ScanProof {
                scope: Some(scope),
                ..ScanProof::default()
            }),
        }
    }

    #[test]
    fn the_last_scan_of_a_rule_is_the_whole_one_that_ended_last() {
        use ScanScope::{Part, Whole};
        let folder = tempfile::tempdir().unwrap();
        let database = database(&folder);
        database.migrate(&[COMPONENT]).unwrap();
        let begun = |n, scope, began| begin(&database, id(n), ("web", scope), ScanCause::Schedule, at(began)).unwrap();
        // A long one, beside which shorter ones began and ended.
        begun(1, Whole, 0);
        end(&database, &scan(2, (1, 2), ScanStatus::Completed, Whole)).unwrap();
        end(&database, &scan(3, (3, 11), ScanStatus::Completed, Part)).unwrap();
        end(&database, &scan(4, (4, 5), ScanStatus::Failed, Whole)).unwrap();
        let last = || last_whole(&database, "web").unwrap().map(|scan| scan.id);
        let complete = || last_complete(&database, "web").unwrap().map(|scan| scan.id);
        assert_eq!((last(), complete()), (Some(id(4)), Some(id(2))));
        let running = || under_way(&database, "web").unwrap();
        let ids: Vec<EventId> = running().iter().map(|scan| scan.id).collect();
        assert_eq!(ids, [id(1)]);
        end(&database, &scan(1, (0, 10), ScanStatus::Completed, Whole)).unwrap();
        assert_eq!((last(), complete()), (Some(id(1)), Some(id(1))));
        assert_eq!(running().len(), 0);
        // One that has no process any more does not last.
        begun(5, Part, 12);
        assert_eq!((running().len(), running()[0].scope), (1, Part));
        cut_off(&database).unwrap();
        assert_eq!(running().len(), 0);
        assert!(by_id(&database, id(5)).unwrap().unwrap().is_cut_off);
        assert!(by_id(&database, id(9)).unwrap().is_none());
    }

    #[test]
    fn a_history_is_narrowed_and_0_stands_for_all() {
        let folder = tempfile::tempdir().unwrap();
        let database = database(&folder);
        database.migrate(&[COMPONENT]).unwrap();
        for (n, status) in [
            (1, ScanStatus::Completed),
            (2, ScanStatus::Partial),
            (3, ScanStatus::Completed),
        ] {
            let hour = i64::from(n);
            end(&database, &scan(n, (hour, hour), status, ScanScope::Whole)).unwrap();
        }
        let other = MalwareScan {
            rule: "home".to_owned(),
            ..scan(4, (4, 4), ScanStatus::Partial, ScanScope::Whole)
        };
        end(&database, &other).unwrap();
        let found = |which: Which| {
            let found = history(&database, &which).unwrap();
            found.iter().map(|scan| scan.id).collect::<Vec<_>>()
        };
        let all = Which::default();
        assert_eq!(found(all.clone()), [4, 3, 2, 1].map(id));
        assert_eq!(
            found(Which {
                limit: 2,
                ..all.clone()
            }),
            [4, 3].map(id)
        );
        let of = Some("web".to_owned());
        let partial = Some(ScanStatus::Partial);
        assert_eq!(
            found(Which {
                rule: of.clone(),
                status: partial,
                ..all.clone()
            }),
            [id(2)]
        );
        assert_eq!(
            found(Which {
                rule: of,
                since: Some(at(2)),
                ..all
            }),
            [3, 2].map(id)
        );
    }

    #[test]
    fn scans_that_an_agent_of_before_wrote_down_are_whole_where_it_made_them_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let database = database(&folder);
        let older = Component {
            name: COMPONENT.name,
            migrations: &COMPONENT.migrations[..1],
        };
        database.migrate(&[older]).unwrap();
        let causes = [
            ScanCause::Schedule,
            ScanCause::Watch,
            ScanCause::Command,
            ScanCause::Local,
        ];
        for (n, cause) in (1..).zip(causes) {
            let sql = "INSERT INTO scan (id, rule, cause, started_ms) VALUES (?1, 'web', ?2, ?3)";
            let values = (id(n).to_string(), cause.name(), at(n.into()).timestamp_millis());
            database
                .with_writer(|connection| connection.execute(sql, values))
                .unwrap();
        }
        database.migrate(&[COMPONENT]).unwrap();
        let found = history(&database, &Which::default()).unwrap();
        let scopes: Vec<&str> = found.iter().rev().map(|scan| scan.scope.name()).collect();
        assert_eq!(scopes, ["whole", "part", "part", "whole"]);
        assert_eq!(newest(&database, "web").unwrap().unwrap().id, id(4));
    }
}
