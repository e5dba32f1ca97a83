//! Group commit: one thread takes all that waits, runs it in one transaction, and answers when that is on disk.
//!
//! A commit that waits for the disk takes milliseconds whether it carries one job or five hundred, so those who write at
//! the same time share it. There is no lingering for more: while one group commits the next one gathers.
use crate::StoreError;
use rusqlite::Connection;
use state_sqlite::Database;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::{self, JoinHandle},
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
    /// Starts the thread, which writes to `database`.
    pub(super) fn start(database: Database) -> std::io::Result<Self> {
        let (jobs, waiting) = mpsc::channel(WAITING);
        let thread = thread::Builder::new()
            .name("fleet-store".to_owned())
            .spawn(move || write(&database, waiting))?;
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

pub(super) fn failed(doing: &'static str, source: rusqlite::Error) -> StoreError {
    if is_full(&source) {
        return StoreError::Full { doing };
    }
    StoreError::Backend {
        doing,
        source: Arc::new(source),
    }
}

fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
}

/// A job with its answer's type forgotten.
trait Job: Send {
    /// Does the work; whether what it wrote may stay.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Answers: by the work's own outcome, or by why the group was lost.
    fn answer(self: Box<Self>, lost: Option<&Arc<rusqlite::Error>>);
}

struct Work<T, F> {
    doing: &'static str,
    work: Option<F>,
    outcome: Option<Result<T, StoreError>>,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Work<T, F>
where
    T: Send + 'static,
    F: FnOnce(&Connection) -> rusqlite::Result<T> + Send,
{
    fn run(&mut self, connection: &Connection) -> bool {
        let doing = self.doing;
        let Some(work) = self.work.take() else { return false };
        let outcome = match catch_unwind(AssertUnwindSafe(|| work(connection))) {
            Ok(outcome) => outcome.map_err(|source| failed(doing, source)),
            Err(_) => Err(StoreError::Panicked { doing }),
        };
        let stays = outcome.is_ok();
        self.outcome = Some(outcome);
        stays
    }

    fn answer(self: Box<Self>, lost: Option<&Arc<rusqlite::Error>>) {
        let doing = self.doing;
        let outcome = match (self.outcome, lost) {
            // A job's own failure says more than the group's.
            (Some(Err(error)), _) => Err(error),
            (_, Some(source)) if is_full(source) => Err(StoreError::Full { doing }),
            (_, Some(source)) => Err(StoreError::Backend {
                doing,
                source: Arc::<rusqlite::Error>::clone(source),
            }),
            (Some(outcome), None) => outcome,
            (None, None) => Err(StoreError::Closed { doing }),
        };
        // Whoever asked may have gone away; the work is done all the same.
        let _ = self.answer.send(outcome);
    }
}

fn write(database: &Database, mut waiting: mpsc::Receiver<Box<dyn Job>>) {
    while let Some(first) = waiting.blocking_recv() {
        let mut group = vec![first];
        while group.len() < GROUP
            && let Ok(job) = waiting.try_recv()
        {
            group.push(job);
        }
        let lost = database.with_writer(|connection| commit(connection, &mut group)).err();
        let lost = lost.map(|error| {
            tracing::error!(jobs = group.len(), %error, "a group of writes was lost");
            Arc::new(error)
        });
        for job in group {
            job.answer(lost.as_ref());
        }
    }
}

fn commit(connection: &Connection, group: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
    run(connection, group).inspect_err(|_| {
        // After some failures SQLite has rolled back by itself, and this finds nothing to do.
        let _ = connection.execute_batch("ROLLBACK");
    })
}

fn run(connection: &Connection, group: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
    let statement = |sql| connection.prepare_cached(sql).and_then(|mut sql| sql.execute([]));
    statement("BEGIN IMMEDIATE")?;
    for job in group {
        statement("SAVEPOINT job")?;
        if !job.run(connection) {
            // Fails when the job's error (a full disk, say) made SQLite roll back the whole group: then it is lost.
            statement("ROLLBACK TO job")?;
        }
        statement("RELEASE job")?;
    }
    statement("COMMIT")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use state_sqlite::OpenOptions;
    use tokio::task::JoinSet;

    fn writer(dir: &tempfile::TempDir) -> (Arc<Writer>, std::path::PathBuf) {
        let path = dir.path().join("w.db");
        let database = Database::open(&path, OpenOptions::default()).unwrap();
        let create = |connection: &mut Connection| connection.execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY)");
        database.with_writer(create).unwrap();
        (Arc::new(Writer::start(database).unwrap()), path)
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
        let (writer, path) = writer(&dir);
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
        let (writer, path) = writer(&dir);
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
}
