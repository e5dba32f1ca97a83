//! Files that somebody was told of, such as by a watch: judged one by one for as long as the process lives.
use super::{
    account::End,
    ageing,
    detection::Detection,
    engine::Engine,
    error::ScanError,
    handing::{Batch, InHand},
    job::{By, Job, end_of, now_ns, open_now, told, too_long},
    judge::{Bench, Judge, Sent, Sink},
    plan,
    progress::Progress,
    queue::{Watched, WatchedFiles},
    visit,
};
use crate::{
    quarantine::Quarantine,
    settings::{Action, ThrottleSettings},
};
use core_model::chain;
use fsscan::{FileKind, FileStat, KeptDir, OpenFileError};
use state_sqlite::{DirKey, VerdictReader, Verdicts};
use std::{
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt as _,
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
};
use tokio::{sync::mpsc, task::spawn_blocking};
use tokio_util::sync::CancellationToken;

/// So many files wait opened for clamd.
const OPENED: usize = 64;
/// So many are opened together.
const BATCH: usize = 32;

impl Engine {
    /// Judges watched files until `stop` is cancelled or all [`WatchQueue`](super::WatchQueue)s are gone. While there is none to ask about, no
    /// connection to clamd is held; a clamd that is away is waited for, and the queue with it.
    ///
    /// `found` hears of malware when what was to be done about it was done, and `ended` of every file that was taken from
    /// the queue, once: as failed where it was stopped before clamd answered. What still waits stays in the queue.
    ///
    /// # Errors
    /// When the endpoint cannot be understood, or a part of it panicked. It can be called again
    /// with the same queue.
    pub(crate) async fn judge(
        &self,
        files: &mut WatchedFiles,
        progress: Arc<Progress>,
        found: impl FnMut(&Detection),
        ended: impl FnMut(&Path, End),
        stop: CancellationToken,
    ) -> Result<(), ScanError> {
        let engine = self.clone();
        let verdicts = spawn_blocking(move || engine.verdicts()).await?;
        let bench = Bench {
            settings: self.subscribe(),
            verdicts: verdicts.clone(),
            known: verdicts.clone(),
            links: Arc::default(),
            proofs: self.proofs(),
            sights: self.sights(),
            progress: Arc::clone(&progress),
            in_hand: InHand::default(),
            // What is written now is judged now.
            throttle: Box::new(|_| ThrottleSettings::default().over(&ThrottleSettings::default())),
            patience: None,
            halt: Arc::default(),
            stop: stop.clone(),
        };
        let judge = Judge::new(bench, ForWatched { found, ended })?;
        let (jobs, asked) = mpsc::channel(OPENED / BATCH);
        let opener = Opener {
            engine: self.clone(),
            reader: None,
            verdicts,
            progress,
        };
        let (opened, _) = tokio::join!(pump(files, jobs, opener, &stop), judge.run(asked));
        opened
    }
}

/// Opens what is told of, and sends it.
async fn pump(
    files: &mut WatchedFiles,
    jobs: mpsc::Sender<Batch>,
    mut opener: Opener,
    stop: &CancellationToken,
) -> Result<(), ScanError> {
    loop {
        let mut batch = Vec::new();
        let taken = tokio::select! {
            biased;
            () = stop.cancelled() => 0,
            taken = files.0.recv_many(&mut batch, BATCH) => taken,
        };
        if taken == 0 {
            return Ok(());
        }
        let open = move || {
            let opened: Batch = batch.iter().map(|watched| opener.open(watched)).collect();
            (opener, opened)
        };
        let opened;
        (opener, opened) = spawn_blocking(open).await?;
        // The judge takes all there is until this ends.
        if jobs.send(opened).await.is_err() {
            return Ok(());
        }
    }
}

/// Opens files, and knows which of them need not be judged.
struct Opener {
    engine: Engine,
    verdicts: Option<Verdicts>,
    reader: Option<VerdictReader>,
    progress: Arc<Progress>,
}

impl Opener {
    /// A file for clamd, or how it ended. Blocks.
    fn open(&mut self, watched: &Watched) -> Sent {
        let path = watched.path.as_os_str().as_bytes();
        match self.job(watched, path) {
            Ok(sent) => sent,
            Err(error) => Sent::ended(path, end_of(&error), 0, Some(told(&error))),
        }
    }

    fn job(&mut self, watched: &Watched, path: &[u8]) -> Result<Sent, OpenFileError> {
        let (Some(parent), Some(name)) = (watched.path.parent(), watched.path.file_name()) else {
            return Err(OpenFileError::NotRegular);
        };
        let name = name.as_bytes();
        let began_ns = now_ns();
        let dir = KeptDir::at(parent).map_err(vanished)?;
        // A device is not even opened.
        let looked = dir.look(name).map_err(vanished)?;
        let ended = |end, bytes, reason| Ok(Sent::ended(path, end, bytes, reason));
        match looked.kind() {
            FileKind::File => {}
            FileKind::Symlink => return ended(End::Symlink, 0, None),
            _ => return ended(End::Special, 0, None),
        }
        let (file, stat) = open_now(&dir, name)?;
        self.progress.met(stat.size);
        if stat.size == 0 {
            return ended(End::Clean, 0, None);
        }
        // What cannot be read as an endpoint is refused with the configuration.
        let most = plan::most(&self.engine.settings().clamd, &watched.rule).unwrap_or(u64::MAX);
        if stat.size > most {
            return ended(End::OverLimit, stat.size, Some(too_long(most)));
        }
        let key = dir.file_system().shows_changes().then(|| DirKey {
            volume: dir.file_system().volume,
            inode: dir.inode(),
        });
        let key = key.filter(|_| self.verdicts.is_some());
        if let Some(end) = key.and_then(|key| self.recall(key, &stat)) {
            self.progress.remembered.fetch_add(1, Relaxed);
            return ended(end, stat.size, None);
        }
        let by = Arc::new(By {
            wanted: Arc::clone(&watched.rule),
            scan: None,
            quarantine: self.quarantine(watched.rule.action),
            most,
        });
        let job = Job::new(file, stat, path.into(), key, self.verdicts.as_ref(), &by, began_ns)?;
        Ok(Sent::Ask(Box::new(job)))
    }

    /// What is known of it by the signatures in use. It was just written, so that an older verdict is no use.
    fn recall(&mut self, key: DirKey, stat: &FileStat) -> Option<End> {
        if self.reader.is_none() {
            self.reader = self.verdicts.as_ref().and_then(visit::reader);
        }
        let mut known = visit::recall(self.reader.as_mut()?, key)?;
        ageing::held(&mut known, stat)
    }

    fn quarantine(&self, action: Action) -> Option<Result<Arc<Quarantine>, String>> {
        let wanted = action != Action::Report;
        wanted.then(|| self.engine.quarantine().map_err(|error| chain(&error)))
    }
}

fn vanished(error: io::Error) -> OpenFileError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => OpenFileError::Vanished,
        _ => OpenFileError::Io(error),
    }
}

/// Tells what became of watched files.
struct ForWatched<F, E> {
    found: F,
    ended: E,
}

impl<F: FnMut(&Detection), E: FnMut(&Path, End)> Sink for ForWatched<F, E> {
    fn ended(&mut self, path: &[u8], end: End, _bytes: u64, reason: Option<&str>) {
        let path = Path::new(OsStr::from_bytes(path));
        if let Some(reason) = reason {
            tracing::debug!(path = %path.display(), end = end.key(), reason, "a watched file has no verdict");
        }
        (self.ended)(path, end);
    }

    fn found(&mut self, detection: Detection) {
        (self.found)(&detection);
    }

    fn moved(&mut self, _files: u64) {}
}
