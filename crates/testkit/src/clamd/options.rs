//! How a test's clamd is configured.
use std::fmt::Write;
use std::path::Path;

/// How a test's clamd is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClamdOptions {
    /// `MaxThreads`: how many scans run at once.
    pub max_threads: u32,
    /// `MaxQueue`: how many connections and scans there may be. clamd raises it to twice `max_threads`.
    pub max_queue: u32,
    /// `StreamMaxLength`, in bytes.
    pub stream_max: u64,
    /// `MaxFileSize`, in bytes: what is larger is called clean unread.
    pub max_file_size: u64,
    /// `CommandReadTimeout`, in seconds: how long a connection may be silent before its first command.
    pub command_read_timeout: u32,
    /// `ReadTimeout`, in seconds: how long a session may be silent.
    pub read_timeout: u32,
    /// Whether clamd remembers what it found clean.
    pub cache: bool,
    /// The number of an official daily database, so that VERSION tells one.
    pub database_version: Option<u32>,
    /// Who runs it, where the test is run by root; otherwise whoever runs the test.
    pub user: Option<String>,
    /// Further lines of its configuration.
    pub extra: Vec<String>,
}

impl Default for ClamdOptions {
    fn default() -> Self {
        Self {
            max_threads: 2,
            max_queue: 200,
            stream_max: 64 << 20,
            max_file_size: 100 << 20,
            command_read_timeout: 30,
            read_timeout: 30,
            cache: true,
            database_version: None,
            user: None,
            extra: Vec::new(),
        }
    }
}

impl ClamdOptions {
    /// The configuration file.
    pub(super) fn text(&self, folder: &Path, port: u16) -> String {
        let folder = folder.display();
        let no_cache = if self.cache { "no" } else { "yes" };
        let mut text = format!(
            "LocalSocket {folder}/clamd.sock\nLocalSocketMode 666\nFixStaleSocket yes\n\
             TCPSocket {port}\nTCPAddr 127.0.0.1\n\
             DatabaseDirectory {folder}/db\nTemporaryDirectory {folder}/tmp\nPidFile {folder}/clamd.pid\n\
             Foreground yes\nSelfCheck 0\nConcurrentDatabaseReload yes\nMaxScanSize 400M\n\
             MaxThreads {}\nMaxQueue {}\nStreamMaxLength {}\nMaxFileSize {}\nCommandReadTimeout {}\nReadTimeout {}\n\
             DisableCache {no_cache}\n",
            self.max_threads,
            self.max_queue,
            self.stream_max,
            self.max_file_size,
            self.command_read_timeout,
            self.read_timeout,
        );
        let user = self.user.iter().map(|user| format!("User {user}"));
        for line in user.chain(self.extra.iter().cloned()) {
            // Writing to a text cannot fail.
            writeln!(text, "{line}").ok();
        }
        text
    }
}
