//! Looking files up.
use super::{
    registry, rows,
    value::{micros, signed, time, unfit, unsigned},
};
use crate::{
    file::{Candidate, ChangeQuery, FileQuery, LoggedChange, StoredFile},
    page::{Page, PageRequest},
};
use core_model::AgentId;
use rusqlite::{Connection, params, types::Type};

/// So many rows are looked at for one page: a rare name among millions of files is found over several requests, none
/// of which keeps a connection for long.
const EXAMINED: usize = 200_000;

pub(super) fn one(connection: &Connection, agent: AgentId, path: &[u8]) -> rusqlite::Result<Option<StoredFile>> {
    rows::one(connection, registry::row_id(connection, agent)?, path)
}

pub(super) fn list(
    connection: &Connection,
    query: &FileQuery,
    page: &PageRequest<Vec<u8>>,
) -> rusqlite::Result<Page<StoredFile, Vec<u8>>> {
    let agent = registry::row_id(connection, query.agent)?;
    let end = end_of_prefix(&query.prefix);
    let mut statement = connection.prepare_cached(
        "SELECT * FROM file
         WHERE agent = ?1 AND path >= ?2 AND (?3 IS NULL OR path > ?3) AND (?4 IS NULL OR path < ?4)
         ORDER BY path",
    )?;
    // The later of the two bounds leads the search, so that a page far down does not pass over all before it.
    let start = page
        .after
        .as_ref()
        .filter(|after| **after > query.prefix)
        .unwrap_or(&query.prefix);
    let mut rows = statement.query(params![agent, start, page.after, end])?;
    let (mut files, mut examined, mut last) = (Vec::new(), 0, None);
    while let Some(row) = rows.next()? {
        let path = row
            .get_ref("path")?
            .as_blob()
            .map_err(|error| unfit(Type::Blob, Box::new(error)))?;
        if files.len() == page.limit || examined == EXAMINED {
            return Ok(Page {
                items: files,
                next: last,
            });
        }
        examined += 1;
        let gone = row.get::<_, Option<i64>>("kind")?.is_none();
        let candidate = Candidate {
            size: if gone { None } else { Some(unsigned(row, "size")?) },
            mime: row
                .get_ref("mime")?
                .as_str_or_null()
                .map_err(|error| unfit(Type::Text, Box::new(error)))?,
            changed_at: time(row, "changed_at")?,
        };
        if query.filter.wants(path, &candidate) {
            files.push(rows::file(row)?);
        }
        last = Some(path.to_vec());
    }
    Ok(Page {
        items: files,
        next: None,
    })
}

pub(super) fn changes(
    connection: &Connection,
    query: &ChangeQuery,
    page: &PageRequest<u64>,
) -> rusqlite::Result<Page<LoggedChange, u64>> {
    let agent = registry::row_id(connection, query.agent)?;
    let end = end_of_prefix(&query.prefix);
    let mut statement = connection.prepare_cached(
        "SELECT * FROM file_change
         WHERE agent = ?1 AND id < ?2
           AND ((path >= ?3 AND (?4 IS NULL OR path < ?4)) OR (from_path >= ?3 AND (?4 IS NULL OR from_path < ?4)))
           AND (?5 IS NULL OR action = ?5) AND (?6 IS NULL OR time >= ?6)
         ORDER BY id DESC LIMIT ?7",
    )?;
    let found = statement.query_map(
        params![
            agent,
            page.after.map_or(i64::MAX, signed),
            query.prefix,
            end,
            query.action.map(rows::action_code),
            query.since.map(micros),
            signed(page.limit as u64).saturating_add(1),
        ],
        rows::change,
    )?;
    let changes = found.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(Page::from_surplus(changes, page.limit, |change| change.id))
}

/// The least text above all that begin with `prefix`; none when there is no such text.
fn end_of_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let kept = prefix.iter().rposition(|byte| *byte < 0xff)?;
    let mut end = prefix[..=kept].to_vec();
    end[kept] += 1;
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_bounds_of_a_prefix_hold_exactly_what_begins_with_it(
            prefix in prop::collection::vec(prop_oneof![Just(0u8), Just(0xfe), Just(0xff)], 0..4),
            text in prop::collection::vec(prop_oneof![Just(0u8), Just(0xfe), Just(0xff)], 0..6),
        ) {
            let inside = text >= prefix && end_of_prefix(&prefix).is_none_or(|end| text < end);
            prop_assert_eq!(inside, text.starts_with(&prefix));
        }
    }
}
