//! One command a connection: what sessions do not have, and what need not be quick.
use crate::{
    command::Command,
    connection::Connection,
    decoder::Decoder,
    endpoint::Endpoint,
    error::ClamError,
    refusal::RefusalKind,
    reply::{Reply, ReplyError, Subject},
    session::{Request, Session, SessionOptions, refused},
    stats::Stats,
    verdict::{Finding, Verdict},
    version::Version,
};
use std::{future::poll_fn, path::Path, time::Duration};
use tokio::time::{Instant, timeout_at};

/// How long single commands may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Connecting.
    pub connect: Duration,
    /// An answer that clamd has at once: PING, VERSION, VERSIONCOMMANDS, RELOAD, SHUTDOWN.
    pub answer: Duration,
    /// STATS, which waits for a thread of clamd that has nothing to scan.
    pub stats: Duration,
    /// The whole of a scan of a directory.
    pub tree: Duration,
}

impl Default for Timeouts {
    /// Five seconds to connect and to answer, a minute for STATS, a day for a directory.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(5),
            stats: Duration::from_secs(60),
            tree: Duration::from_secs(24 * 3600),
        }
    }
}

/// Asks clamd one thing a connection.
///
/// ```no_run
/// # async fn shown() -> Result<(), clamd_proto::ClamError> {
/// use clamd_proto::Daemon;
///
/// let clamd = Daemon::new("unix:/run/clamav/clamd.ctl".parse().unwrap());
/// clamd.ping().await?;
/// println!("{}", clamd.version().await?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Daemon {
    endpoint: Endpoint,
    timeouts: Timeouts,
}

/// How a directory is scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreeScan {
    /// SCAN: up to the first hit.
    UntilFound,
    /// CONTSCAN: all of it, with one thread.
    Whole,
    /// MULTISCAN: all of it, with many threads.
    Parallel,
    /// ALLMATCHSCAN: all of it, and each signature that matches.
    AllMatches,
}

impl Daemon {
    /// Speaks to the clamd at `endpoint`. Nothing is connected before there is something to say.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            timeouts: Timeouts::default(),
        }
    }

    /// With other times.
    #[must_use]
    pub const fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Where it speaks to.
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Asks whether clamd is there. clamd answers this at once, however much it scans, so that silence means
    /// [`ClamError::Busy`]: it does not even come to its connections.
    ///
    /// # Errors
    /// When it does not answer, or what answers is not clamd.
    pub async fn ping(&self) -> Result<(), ClamError> {
        let answered = self
            .answer(Command::Ping, |reply| (reply == b"PONG").then_some(()))
            .await;
        answered.map_err(|error| match error {
            ClamError::TimedOut { .. } => ClamError::Busy {
                endpoint: self.endpoint.clone(),
            },
            other => other,
        })
    }

    /// Asks for the version.
    ///
    /// # Errors
    /// When there is no such answer.
    pub async fn version(&self) -> Result<Version, ClamError> {
        self.answer(Command::Version, |reply| Version::parse(reply).ok()).await
    }

    /// Asks for the version and for the words of the commands that there are.
    ///
    /// # Errors
    /// When there is no such answer.
    pub async fn version_commands(&self) -> Result<(Version, Vec<String>), ClamError> {
        self.answer(Command::VersionCommands, |reply| {
            Version::parse_with_commands(reply).ok()
        })
        .await
    }

    /// Asks what clamd does. The answer waits for a thread: it is nothing to judge health by.
    ///
    /// # Errors
    /// When there is no such answer.
    pub async fn stats(&self) -> Result<Stats, ClamError> {
        self.one(Command::Stats, self.timeouts.stats, |reply| Stats::parse(reply).ok())
            .await
    }

    /// Has the signatures loaded anew. clamd answers before it has, and keeps the old ones, with a word in its log alone,
    /// where it cannot.
    ///
    /// # Errors
    /// When there is no such answer.
    pub async fn reload(&self) -> Result<(), ClamError> {
        self.answer(Command::Reload, |reply| (reply == b"RELOADING").then_some(()))
            .await
    }

    /// Ends clamd.
    ///
    /// # Errors
    /// When it cannot be told.
    pub async fn shutdown(&self) -> Result<(), ClamError> {
        // It has no answer but its end.
        self.exchange(Command::Shutdown, self.timeouts.answer, |_| Ok(true))
            .await
            .map(drop)
    }

    /// Scans one thing on a connection of its own.
    ///
    /// # Errors
    /// When there is no verdict.
    pub async fn scan(&self, request: Request, options: SessionOptions) -> Result<Verdict, ClamError> {
        let mut session = Session::single(&self.endpoint, options).await?;
        if session.submit((), request).is_ok()
            && let Some(((), outcome)) = session.next().await
        {
            return outcome;
        }
        Err(ClamError::lost(None, None))
    }

    /// Has clamd walk a directory, or scan a file, and tells each of its replies as it comes: hits and errors, and
    /// nothing about clean files. Whether nothing was found is for the last reply to say.
    ///
    /// # Errors
    /// When clamd cannot be asked, or ends before it is done.
    pub async fn scan_tree(
        &self,
        how: TreeScan,
        path: &Path,
        mut tell: impl FnMut(&Reply<'_>) + Send,
    ) -> Result<(), ClamError> {
        let command = match how {
            TreeScan::UntilFound => Command::Scan(path),
            TreeScan::Whole => Command::ContScan(path),
            TreeScan::Parallel => Command::MultiScan(path),
            TreeScan::AllMatches => Command::AllMatchScan(path),
        };
        let replies = self.exchange(command, self.timeouts.tree, |reply| {
            let reply = Reply::parse(reply, Subject::Path(path))?;
            tell(&reply);
            Ok(false)
        });
        if replies.await? == 0 {
            return Err(ClamError::lost(None, None));
        }
        Ok(())
    }

    /// Scans a file for every signature that matches.
    ///
    /// # Errors
    /// When there is no verdict.
    pub async fn scan_all_matches(&self, path: &Path) -> Result<Verdict, ClamError> {
        let (mut names, mut refusal) = (Vec::new(), None);
        let tell = |reply: &Reply<'_>| match &reply.finding {
            Finding::Found(name) => names.push(name.clone()),
            Finding::Refused(words) => refusal = Some(words.clone()),
            Finding::Clean => {}
        };
        self.scan_tree(TreeScan::AllMatches, path, tell).await?;
        match refusal {
            Some(refusal) if names.is_empty() => Err(refused(refusal)),
            _ => Ok(Verdict::of(names)),
        }
    }

    async fn answer<A>(
        &self,
        command: Command<'_>,
        read: impl Fn(&[u8]) -> Option<A> + Send + Sync,
    ) -> Result<A, ClamError>
    where
        A: Send,
    {
        self.one(command, self.timeouts.answer, read).await
    }

    /// The one reply to a command.
    async fn one<A>(
        &self,
        command: Command<'_>,
        within: Duration,
        read: impl Fn(&[u8]) -> Option<A> + Send + Sync,
    ) -> Result<A, ClamError>
    where
        A: Send,
    {
        let mut answer = None;
        let take = |reply: &[u8]| match read(reply) {
            Some(read) => {
                answer = Some(read);
                Ok(true)
            }
            None => Err(senseless(reply)),
        };
        self.exchange(command, within, take).await?;
        answer.ok_or_else(|| ClamError::lost(None, None))
    }

    /// Sends a command, and hands each reply to `take` until it has enough or clamd closes; how many there were.
    async fn exchange(
        &self,
        command: Command<'_>,
        within: Duration,
        mut take: impl FnMut(&[u8]) -> Result<bool, ClamError> + Send,
    ) -> Result<usize, ClamError> {
        let mut bytes = Vec::new();
        command.encode(&mut bytes)?;
        let mut connection = Connection::open(&self.endpoint, self.timeouts.connect).await?;
        let deadline = Instant::now() + within;
        let talk = async {
            let (mut decoder, mut sent, mut count) = (Decoder::default(), 0, 0);
            while sent < bytes.len() {
                let write = poll_fn(|context| connection.poll_write(context, &bytes[sent..])).await;
                sent += write.map_err(|error| ClamError::lost(None, Some(error)))?;
            }
            loop {
                let read = poll_fn(|context| connection.poll_read(context, decoder.room())).await;
                let read = read.map_err(|error| ClamError::lost(None, Some(error)))?;
                decoder.filled(read);
                while let Some(reply) = decoder.next_reply()? {
                    count += 1;
                    if take(reply)? {
                        return Ok(count);
                    }
                }
                if read == 0 {
                    return match decoder.finish()? {
                        Some(words) => Err(senseless(words)),
                        None => Ok(count),
                    };
                }
            }
        };
        let told = timeout_at(deadline, talk).await;
        told.unwrap_or_else(|_| {
            Err(ClamError::TimedOut {
                what: command.name(),
                after: within,
            })
        })
    }
}

/// What came instead of an answer: clamd's refusal, or nonsense.
fn senseless(reply: &[u8]) -> ClamError {
    match Reply::parse(reply, Subject::Descriptor) {
        Ok(Reply {
            finding: Finding::Refused(refusal),
            ..
        }) if refusal.kind() == RefusalKind::ReadTimedOut => ClamError::lost(Some(reply), None),
        Ok(Reply {
            finding: Finding::Refused(refusal),
            ..
        }) => ClamError::CommandRefused(refusal),
        _ => ReplyError::new(reply).into(),
    }
}
