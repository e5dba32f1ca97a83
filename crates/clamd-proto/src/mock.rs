//! A client that answers as a test tells it to.
use crate::{api::ClamAvClient, content::Content, error::ClamError, stats::Stats, verdict::Verdict, version::Version};
use std::{
    collections::VecDeque,
    fmt,
    fs::File,
    future::pending,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::sleep;

/// What was asked of a [`MockClient`].
#[derive(Clone, Debug)]
pub enum Call {
    /// `ping`.
    Ping,
    /// `version`.
    Version,
    /// `stats`.
    Stats,
    /// `reload`.
    Reload,
    /// `scan_file`.
    File(Arc<File>),
    /// `scan_path`.
    Path(PathBuf),
    /// `scan_stream` of what can be had again; `None` where it can be read only once.
    Stream(Option<Arc<Content>>),
}

impl Call {
    /// Whether it is a scan.
    pub const fn is_scan(&self) -> bool {
        matches!(self, Self::File(_) | Self::Path(_) | Self::Stream(_))
    }
}

/// How a scan ends.
#[derive(Clone, Debug)]
pub enum Scripted {
    /// With a verdict.
    Verdict(Verdict),
    /// With an error.
    Error(ClamError),
    /// Never, as with a clamd that hangs.
    Hang,
    /// As the inner one, after a time of tokio's clock.
    After(Duration, Box<Self>),
}

type Rule = Box<dyn Fn(&Call) -> Option<Scripted> + Send + Sync>;

/// A client that answers as it is told, and keeps what it was asked. It calls everything clean until it is told otherwise.
///
/// ```
/// use clamd_proto::{ClamAvClient, Verdict};
/// use clamd_proto::mock::{MockClient, Scripted, lost};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let clamd = MockClient::default();
/// clamd.then(Scripted::Error(lost()));
/// assert!(clamd.scan_path("/srv/a".into()).await.unwrap_err().is_passing());
/// assert_eq!(clamd.scan_path("/srv/a".into()).await.unwrap(), Verdict::Clean);
/// assert_eq!(clamd.calls().len(), 2);
/// # });
/// ```
#[derive(Default)]
pub struct MockClient {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: VecDeque<Scripted>,
    rule: Option<Rule>,
    down: Option<ClamError>,
    version: Option<Version>,
    stats: Option<Stats>,
    calls: Vec<Call>,
}

/// A connection that was lost, as when clamd is killed.
pub fn lost() -> ClamError {
    ClamError::lost(None, None)
}

impl MockClient {
    /// Has the next scan that no earlier one of these is for end so. Goes before every rule.
    pub fn then(&self, scripted: Scripted) {
        self.state().next.push_back(scripted);
    }

    /// Has scans end as `rule` says; where it says nothing they end clean.
    pub fn answer(&self, rule: impl Fn(&Call) -> Option<Scripted> + Send + Sync + 'static) {
        self.state().rule = Some(Box::new(rule));
    }

    /// Has everything end in this error from now on, or no longer.
    pub fn set_down(&self, error: Option<ClamError>) {
        self.state().down = error;
    }

    /// Tells this version from now on; before that, an engine 1.4.6 without a database.
    pub fn set_version(&self, version: Version) {
        self.state().version = Some(version);
    }

    /// Tells these statistics from now on; before that there are none, and asking is an error.
    pub fn set_stats(&self, stats: Stats) {
        self.state().stats = Some(stats);
    }

    /// What it was asked, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, call: Call) -> Result<(), ClamError> {
        let mut state = self.state();
        state.calls.push(call);
        state.down.clone().map_or(Ok(()), Err)
    }

    async fn scan(&self, call: Call) -> Result<Verdict, ClamError> {
        self.note(call.clone())?;
        let mut scripted = {
            let mut state = self.state();
            let next = state.next.pop_front();
            next.or_else(|| state.rule.as_ref().and_then(|rule| rule(&call)))
        };
        loop {
            match scripted {
                None => return Ok(Verdict::Clean),
                Some(Scripted::Verdict(verdict)) => return Ok(verdict),
                Some(Scripted::Error(error)) => return Err(error),
                Some(Scripted::Hang) => pending().await,
                Some(Scripted::After(time, then)) => {
                    sleep(time).await;
                    scripted = Some(*then);
                }
            }
        }
    }
}

impl ClamAvClient for MockClient {
    async fn ping(&self) -> Result<(), ClamError> {
        self.note(Call::Ping)
    }

    async fn version(&self) -> Result<Version, ClamError> {
        self.note(Call::Version)?;
        let version = self.state().version.clone();
        Ok(version.unwrap_or(Version {
            engine: "1.4.6".to_owned(),
            database: None,
        }))
    }

    async fn stats(&self) -> Result<Stats, ClamError> {
        self.note(Call::Stats)?;
        self.state().stats.clone().ok_or_else(lost)
    }

    async fn reload(&self) -> Result<(), ClamError> {
        self.note(Call::Reload)
    }

    async fn scan_file(&self, file: Arc<File>) -> Result<Verdict, ClamError> {
        self.scan(Call::File(file)).await
    }

    async fn scan_path(&self, path: PathBuf) -> Result<Verdict, ClamError> {
        self.scan(Call::Path(path)).await
    }

    async fn scan_stream(&self, content: Content) -> Result<Verdict, ClamError> {
        self.scan(Call::Stream(content.again().map(Arc::new))).await
    }
}

impl fmt::Debug for MockClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockClient")
            .field("calls", &self.state().calls)
            .finish_non_exhaustive()
    }
}
