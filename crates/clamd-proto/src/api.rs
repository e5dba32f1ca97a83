//! What a scanning agent is written against.
use crate::{content::Content, error::ClamError, stats::Stats, verdict::Verdict, version::Version};
use std::{fs::File, future::Future, path::PathBuf, sync::Arc};

/// A clamd, as whoever scans sees it. [`Client`](crate::Client) is the real one; the feature `mock` has one that answers as
/// a test tells it to. Any number of its futures may run at once; code is generic over it.
///
/// ```
/// use clamd_proto::{ClamAvClient, ClamError, Verdict};
/// use std::{fs::File, sync::Arc};
///
/// async fn is_infected(clamd: &impl ClamAvClient, file: Arc<File>) -> Result<bool, ClamError> {
///     Ok(clamd.scan_file(file).await?.is_infected())
/// }
/// ```
pub trait ClamAvClient: Send + Sync {
    /// Whether clamd is there and comes to its connections; quick, however much it scans.
    ///
    /// # Errors
    /// When it does not answer.
    fn ping(&self) -> impl Future<Output = Result<(), ClamError>> + Send;

    /// The engine, and the signatures by which it judges now. Replies do not say by which they were judged: whoever keeps
    /// verdicts asks before and after a batch.
    ///
    /// # Errors
    /// When it does not answer.
    fn version(&self) -> impl Future<Output = Result<Version, ClamError>> + Send;

    /// What clamd does. May wait for long while it scans.
    ///
    /// # Errors
    /// When it does not answer.
    fn stats(&self) -> impl Future<Output = Result<Stats, ClamError>> + Send;

    /// Has the signatures loaded anew.
    ///
    /// # Errors
    /// When it does not answer.
    fn reload(&self) -> impl Future<Output = Result<(), ClamError>> + Send;

    /// Scans an open file, from its beginning, without moving where it is read at.
    ///
    /// # Errors
    /// When there is no verdict.
    fn scan_file(&self, file: Arc<File>) -> impl Future<Output = Result<Verdict, ClamError>> + Send;

    /// Has clamd open and scan the file at an absolute path, which must be no symbolic link.
    ///
    /// # Errors
    /// When there is no verdict.
    fn scan_path(&self, path: PathBuf) -> impl Future<Output = Result<Verdict, ClamError>> + Send;

    /// Streams a content to clamd.
    ///
    /// # Errors
    /// When there is no verdict.
    fn scan_stream(&self, content: Content) -> impl Future<Output = Result<Verdict, ClamError>> + Send;
}
