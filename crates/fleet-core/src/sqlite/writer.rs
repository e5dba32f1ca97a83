//! Group commit: one thread takes all that waits, runs it in one transaction, and answers when that is on disk.
//!
//! A commit that waits for the disk takes milliseconds whether it carries one job or five hundred, so those who write at
//! the same time share it. There is no lingering for more: while one group commits the next one gathers.
use super::{mark::Mark, writes::Writes};
use crate::StoreError;
use rusqlite::{Connection, ErrorCode};
use state_sqlite::Database;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Instant,
};
use tokio::sync::{mpsc, oneshot};

/// The most jobs that one transaction carries.
const GROUP: usize = 500;
/// So many jobs may wait; then those who bring more wait to get in.
const WAITING: usize = 2_000;

/// The one who writes.
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread, which writes to `database`, counts its commits in `mark`, and tells `writes` how it goes.
    pub(super) fn start(database: Database, mark: Mark, writes: Writes) -> std::io::Result<Self> {
        let (jobs, waiting) = mpsc::channel(WAITING);
        let thread = thread::Builder::new()
            .name("fleet-store".to_owned())
            .spawn(move || write(&database, waiting, mark, &writes))?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    /// Runs `work` in a transaction and returns what it returned once that is on disk. When `work` fails, all that it
    /// wrote is undone and nobody else's. Once handed over it runs even if the caller goes away.
    pub(super) async fn run<T, F>(&self, doing: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let closed = || StoreError::Closed { doing };
        let (answer, answered) = oneshot::channel();
        let job = Box::new(Work {
            doing,
            work: Some(work),
            outcome: None,
            answer,
        });
        let jobs = self.jobs.as_ref().ok_or_else(closed)?;
        jobs.send(job).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }
}

impl Drop for Writer {
    /// Waits until all that was handed over is on disk.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's writer died");
        }
    }
}

/// What failed, in the words of whoever asked for it.
pub(super) fn failed(doing: &'static str, source: Arc<rusqlite::Error>) -> StoreError {
    match trouble(&source) {
        Some(Trouble::Full) => StoreError::Full { doing, source },
        Some(Trouble::Disk) => StoreError::Disk { doing, source },
        None => StoreError::Backend { doing, source },
    }
}

/// What the disk has to do with a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Full,
    Disk,
}

fn trouble(error: &rusqlite::Error) -> Option<Trouble> {
    match error.sqlite_error_code()? {
        ErrorCode::DiskFull => Some(Trouble::Full),
        // A file system that met an error is often mounted read-only from then on.
        ErrorCode::SystemIoFailure | ErrorCode::ReadOnly | ErrorCode::CannotOpen => Some(Trouble::Disk),
        _ => None,
    }
}

/// A job with its answer's type forgotten.
trait Job: Send {
    /// Does the work; whether what it wrote may stay.
    fn run(&mut self, connection: &Connection) -> bool;
    /// What the database said, where the work failed by it.
    fn failure(&self) -> Option<Arc<rusqlite::Error>>;
    /// Answers: by the work's own outcome, or by why the group was lost.
    fn answer(self: Box<Self>, lost: Option<&Arc<rusqlite::Error>>);
}

/// Why a job came to nothing by itself.
enum Failure {
    Error(Arc<rusqlite::Error>),
    Panic,
}

struct Work<T, F> {
    doing: &'static str,
    work: Option<F>,
    outcome: Option<Result<T, Failure>>,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Work<T, F>
where
    T: Send + 'static,
    F: FnOnce(&Connection) -> rusqlite::Result<T> + Send,
{
    fn run(&mut self, connection: &Connection) -> bool {
        let Some(work) = self.work.take() else { return false };
        let outcome = match catch_unwind(AssertUnwindSafe(|| work(connection))) {
            Ok(outcome) => outcome.map_err(|source| Failure::Error(Arc::new(source))),
            Err(_) => Err(Failure::Panic),
        };
        let stays = outcome.is_ok();
        self.outcome = Some(outcome);
        stays
    }

    fn failure(&self) -> Option<Arc<rusqlite::Error>> {
        match &self.outcome {
            Some(Err(Failure::Error(error))) => Some(Arc::clone(error)),
            _ => None,
        }
    }

    fn answer(self: Box<Self>, lost: Option<&Arc<rusqlite::Error>>) {
        let doing = self.doing;
        let outcome = match (self.outcome, lost) {
            // A job's own failure says more than the group's.
            (Some(Err(Failure::Error(error))), _) => Err(failed(doing, error)),
            (Some(Err(Failure::Panic)), _) => Err(StoreError::Panicked { doing }),
            (_, Some(source)) => Err(failed(doing, Arc::clone(source))),
            (Some(Ok(done)), None) => Ok(done),
            (None, None) => Err(StoreError::Closed { doing }),
        };
        // Whoever asked may have gone away; the work is done all the same.
        let _ = self.answer.send(outcome);
    }
}

fn write(database: &Database, mut waiting: mpsc::Receiver<Box<dyn Job>>, mut mark: Mark, writes: &Writes) {
    while let Some(first) = waiting.blocking_recv() {
        let mut group = vec![first];
        while group.len() < GROUP
            && let Ok(job) = waiting.try_recv()
        {
            group.push(job);
        }
        let lost = match database.with_writer(|connection| commit(connection, &mut group)) {
            Ok(commits) => {
                mark.write(commits);
                None
            }
            Err(error) => {
                tracing::error!(jobs = group.len(), %error, "a group of writes was lost");
                Some(error)
            }
        };
        report(writes, &group, lost.as_deref());
        for job in group {
            job.answer(lost.as_ref());
        }
    }
}

/// Tells whether the disk takes what is written.
fn report(writes: &Writes, group: &[Box<dyn Job>], lost: Option<&rusqlite::Error>) {
    let of_disk = |error: &rusqlite::Error| trouble(error).map(|trouble| (trouble, error.to_string()));
    let mut own = group.iter().filter_map(|job| of_disk(&*job.failure()?));
    let found = lost.and_then(of_disk).or_else(|| own.next());
    match found {
        Some((trouble, detail)) => {
            if writes.failed(trouble == Trouble::Full, detail.clone(), Instant::now()) {
                tracing::error!(
                    error = detail,
                    "the store cannot be written; agents keep what they have and try again"
                );
            }
        }
        // Any other failure says nothing about the disk.
        None if lost.is_some() => {}
        None => {
            if let Some(lasted) = writes.succeeded(Instant::now()) {
                tracing::info!(?lasted, "the store can be written again");
            }
        }
    }
}

fn commit(connection: &Connection, group: &mut [Box<dyn Job>]) -> Result<u64, Arc<rusqlite::Error>> {
    run(connection, group).inspect_err(|_| {
        // After some failures SQLite has rolled back by itself, and this finds nothing to do.
        let _ = connection.execute_batch("ROLLBACK");
    })
}

/// Runs the group in one transaction; how many there were, ever.
fn run(connection: &Connection, group: &mut [Box<dyn Job>]) -> Result<u64, Arc<rusqlite::Error>> {
    let statement = |sql| {
        let done = connection.prepare_cached(sql).and_then(|mut sql| sql.execute([]));
        done.map_err(Arc::new)
    };
    statement("BEGIN IMMEDIATE")?;
    for job in group {
        statement("SAVEPOINT job")?;
        if !job.run(connection) {
            // A full disk, say, may have made SQLite roll back the whole group: then all of it is lost, and by that.
            if let Some(error) = job.failure().filter(|_| connection.is_autocommit()) {
                return Err(error);
            }
            statement("ROLLBACK TO job")?;
        }
        statement("RELEASE job")?;
    }
    // With this every group writes something, so that each tells whether the disk takes it.
    let commits = connection
        .prepare_cached("UPDATE progress SET commits = commits + 1 WHERE id = 1 RETURNING commits")
        .and_then(|mut sql| sql.query_row([], |row| row.get::<_, i64>(0)))
        .map_err(Arc::new)?;
    statement("COMMIT")?;
    Ok(commits.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::mark::Told;
    use state_sqlite::OpenOptions;
    use tokio::task::JoinSet;

    fn writer(dir: &tempfile::TempDir) -> (Arc<Writer>, std::path::PathBuf, Writes) {
        let path = dir.path().join("w.db");
        let database = Database::open(&path, OpenOptions::default()).unwrap();
        database.migrate(&[crate::sqlite::COMPONENT]).unwrap();
        let create = |connection: &mut Connection| connection.execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY)");
        database.with_writer(create).unwrap();
        let writes = Writes::default();
        let writer = Writer::start(database, Mark::beside(&path), writes.clone()).unwrap();
        (Arc::new(writer), path, writes)
    }

    fn numbers(path: &std::path::Path) -> Vec<i64> {
        let connection = Connection::open(path).unwrap();
        let mut statement = connection.prepare("SELECT n FROM t ORDER BY n").unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_job_that_fails_or_panics_hurts_nobody_in_its_group() {
        let dir = tempfile::tempdir().unwrap();
        let (writer, path, _) = writer(&dir);
        // The first job holds the thread until all others wait, so that they make one group.
        let (release, held) = std::sync::mpsc::channel::<()>();
        let mut jobs = JoinSet::new();
        let first = Arc::clone(&writer);
        jobs.spawn(async move {
            let hold = move |_: &Connection| {
                held.recv().ok();
                Ok(())
            };
            first.run("hold", hold).await.map(|()| -1)
        });
        for n in 0..100_i64 {
            let writer = Arc::clone(&writer);
            jobs.spawn(async move {
                let insert = move |connection: &Connection| {
                    connection.execute("INSERT INTO t VALUES (?1)", [n])?;
                    match n % 10 {
                        3 => Err(rusqlite::Error::QueryReturnedNoRows),
                        7 => panic!("a bug"),
                        _ => Ok(n),
                    }
                };
                writer.run("insert", insert).await
            });
        }
        tokio::task::yield_now().await;
        release.send(()).unwrap();
        let answers = jobs.join_all().await;
        let panicked = answers.iter().filter(|a| matches!(a, Err(StoreError::Panicked { .. })));
        assert_eq!(panicked.count(), 10);
        let failed = answers.iter().filter(|a| matches!(a, Err(StoreError::Backend { .. })));
        assert_eq!(failed.count(), 10);
        let expected: Vec<_> = (0..100).filter(|n| n % 10 != 3 && n % 10 != 7).collect();
        assert_eq!(numbers(&path), expected);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_group_that_cannot_be_committed_is_answered_by_the_failure_and_the_next_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let (writer, path, _) = writer(&dir);
        let rolled_back = |connection: &Connection| connection.execute_batch("ROLLBACK");
        assert!(matches!(
            writer.run("roll back", rolled_back).await,
            Err(StoreError::Backend { doing: "roll back", .. })
        ));
        let insert = |connection: &Connection| connection.execute("INSERT INTO t VALUES (1)", []);
        assert_eq!(writer.run("insert", insert).await.unwrap(), 1);
        drop(writer);
        assert_eq!(numbers(&path), [1]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_full_disk_is_told_apart_and_the_whole_group_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let (writer, path, writes) = writer(&dir);
        // SQLite's own bound fails as a full disk does.
        let bound = |connection: &Connection| {
            let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
            connection.query_row(&format!("PRAGMA max_page_count={}", pages + 4), [], |_| Ok(()))
        };
        writer.run("bound", bound).await.unwrap();
        assert_eq!(writes.failure(Instant::now()), None);
        let (release, held) = std::sync::mpsc::channel::<()>();
        let mut jobs = JoinSet::new();
        let first = Arc::clone(&writer);
        jobs.spawn(async move {
            let hold = move |_: &Connection| {
                held.recv().ok();
                Ok(())
            };
            first.run("hold", hold).await
        });
        let large = Arc::clone(&writer);
        jobs.spawn(async move {
            let fill = |connection: &Connection| {
                connection.execute_batch("CREATE TABLE b (x BLOB); INSERT INTO b VALUES (zeroblob(1000000))")
            };
            large.run("fill", fill).await
        });
        tokio::task::yield_now().await;
        release.send(()).unwrap();
        let answers = jobs.join_all().await;
        let full = answers
            .iter()
            .filter(|answer| matches!(answer, Err(StoreError::Full { .. })));
        assert!(full.count() >= 1, "{answers:?}");
        assert!(writes.failure(Instant::now()).unwrap().is_full);
        let insert = |connection: &Connection| connection.execute("INSERT INTO t VALUES (1)", []);
        assert_eq!(
            writer.run("insert", insert).await.unwrap(),
            1,
            "what is small still fits"
        );
        drop(writer);
        assert_eq!(numbers(&path), [1]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_mark_is_never_ahead_of_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let (writer, path, _) = writer(&dir);
        for n in 0..3_i64 {
            let insert = move |connection: &Connection| connection.execute("INSERT INTO t VALUES (?1)", [n]);
            writer.run("insert", insert).await.unwrap();
        }
        drop(writer);
        let connection = Connection::open(&path).unwrap();
        let commits: i64 = connection
            .query_row("SELECT commits FROM progress", [], |row| row.get(0))
            .unwrap();
        assert_eq!((commits, Mark::beside(&path).read()), (3, Told::Commits(3)));
    }
}
