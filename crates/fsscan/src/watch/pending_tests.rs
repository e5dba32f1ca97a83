//! When files are told, by instants that are made up.
use super::*;
use crate::{RootRequest, summary::ErrorKind};

struct Table {
    pending: Pending,
    begun: Instant,
}

impl Table {
    fn new(most: usize) -> Self {
        let mut request = WatchRequest::new(vec![RootRequest::new("/r")]);
        request.max_pending = most;
        Self {
            pending: Pending::new(&request, vec![b"/r".to_vec()]),
            begun: Instant::now(),
        }
    }

    fn at(&self, ms: u64) -> Instant {
        self.begun + Duration::from_millis(ms)
    }

    fn write(&mut self, path: &str, ms: u64) -> bool {
        let note = Note {
            root: 0,
            path: path.as_bytes().to_vec(),
            sign: Sign::Closed,
            file: None,
        };
        self.pending.note(note, self.at(ms))
    }

    fn lose(&mut self, path: &str, why: LostWhy, ms: u64) {
        let path = path.as_bytes().to_vec();
        self.pending.lose(LostBelow { root: 0, path, why }, self.at(ms));
    }

    /// What is told at the first instants that the table asks for, up to and with one: files, and directories with a slash.
    fn told_until(&mut self, ms: u64) -> Vec<(u64, String)> {
        let mut told = Vec::new();
        while let Some(at) = self.pending.alarm().filter(|at| *at <= self.at(ms)) {
            let (before, after) = (self.pending.len(), at - self.begun);
            while let Some(due) = self.pending.take(at) {
                let name = match due {
                    Due::File { path, .. } => String::from_utf8_lossy(&path).into_owned(),
                    Due::Lost(lost) => format!("{}/ {}", String::from_utf8_lossy(&lost.path), lost.why.name()),
                };
                told.push((after.as_millis() as u64, name));
            }
            assert!(self.pending.len() <= before);
        }
        told
    }
}

fn told(ms: u64, name: &str) -> (u64, String) {
    (ms, name.to_owned())
}

#[test]
fn a_file_is_told_when_it_has_rested() {
    let mut table = Table::new(10);
    assert!(table.write("/r/a", 0));
    assert!(!table.write("/r/a", 60));
    assert!(table.write("/r/b", 70));
    assert_eq!(table.told_until(159), []);
    assert_eq!(table.told_until(400), [told(160, "/r/a"), told(170, "/r/b")]);
}

#[test]
fn a_file_that_never_rests_is_told_every_half_second() {
    let mut table = Table::new(10);
    let mut times = Vec::new();
    for ms in (0..2000).step_by(20) {
        table.write("/r/a", ms);
        times.extend(table.told_until(ms).into_iter().map(|(at, _)| at));
    }
    assert_eq!(
        times,
        [500, 1020, 1540],
        "half a second after the first write since it was told"
    );
    assert_eq!(
        table.told_until(5000),
        [told(2060, "/r/a")],
        "and once after its last write"
    );
    assert_eq!(
        (table.pending.len(), table.pending.alarm()),
        (0, None),
        "nothing is kept"
    );
}

#[test]
fn a_file_written_again_soon_after_it_was_told_waits_until_half_a_second_is_over() {
    let mut table = Table::new(10);
    table.write("/r/a", 0);
    assert_eq!(table.told_until(100), [told(100, "/r/a")]);
    table.write("/r/a", 120);
    assert_eq!(table.told_until(5000), [told(600, "/r/a")]);
    table.write("/r/a", 6000);
    assert_eq!(table.told_until(7000), [told(6100, "/r/a")]);
}

#[test]
fn more_files_than_may_wait_are_told_as_their_directory() {
    let mut table = Table::new(4);
    table.write("/r/other/a", 0);
    for number in 0..10 {
        table.write(&format!("/r/full/{number}"), 10);
    }
    assert!(table.pending.len() <= 4);
    let mut all = table.told_until(90);
    assert_eq!(all, [], "not before what comes next could be covered too");
    all = table.told_until(5000);
    assert_eq!(all, [told(100, "/r/other/a"), told(510, "/r/full/ backlog")]);
}

#[test]
fn where_no_directory_holds_many_the_one_above_is_lost() {
    let mut table = Table::new(4);
    for number in 0..10 {
        table.write(&format!("/r/wide/{number}/file"), 0);
    }
    assert_eq!(table.told_until(5000), [told(500, "/r/wide/ backlog")]);
}

#[test]
fn files_that_were_told_make_room_first() {
    let mut table = Table::new(4);
    for number in 0..4 {
        table.write(&format!("/r/{number}"), 0);
    }
    assert_eq!(table.told_until(100).len(), 4);
    for number in 4..8 {
        table.write(&format!("/r/{number}"), 150);
    }
    let names: Vec<String> = table.told_until(5000).into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, ["/r/4", "/r/5", "/r/6", "/r/7"]);
}

#[test]
fn a_lost_directory_swallows_what_is_below_and_nothing_beside_it() {
    let mut table = Table::new(100);
    for path in ["/r/a/x", "/r/a-b", "/r/a/b/y", "/r/ab/z"] {
        table.write(path, 0);
    }
    table.lose("/r/a", LostWhy::Overflow, 10);
    assert!(!table.write("/r/a/later", 20), "the scan comes later still");
    let told_all = table.told_until(5000);
    assert_eq!(
        told_all,
        [told(100, "/r/a-b"), told(100, "/r/ab/z"), told(510, "/r/a/ overflow")]
    );
    assert!(table.write("/r/a/later", 5100), "it was told, and this came after");
}

#[test]
fn what_stays_unwatched_is_told_though_a_scan_is_due() {
    let mut table = Table::new(100);
    let why = LostWhy::Unreadable(ErrorKind::Permission);
    table.lose("/r/a/b", LostWhy::Backlog, 0);
    table.lose("/r", LostWhy::Overflow, 10);
    table.lose("/r/a", why, 20);
    table.lose("/r/a/below", why, 30);
    let names: Vec<String> = table.told_until(5000).into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, ["/r/a/b/ backlog", "/r/ overflow", "/r/a/ unreadable"]);
}

#[test]
fn many_lost_directories_become_the_root() {
    let mut table = Table::new(100);
    for number in 0..1000 {
        table.lose(&format!("/r/{number}"), LostWhy::WatchLimit, number);
    }
    assert_eq!(table.told_until(5000), [told(500, "/r/ watch_limit")]);
}

#[test]
fn the_alarms_of_forgotten_files_do_not_pile_up() {
    let mut table = Table::new(1000);
    for round in 0..100 {
        for number in 0..200 {
            table.write(&format!("/r/{round}/{number}"), 0);
        }
        table.pending.forget_below(format!("/r/{round}").as_bytes());
    }
    assert!(table.pending.alarms.len() < 2000, "{}", table.pending.alarms.len());
}
