//! What the walk does with each directory: what is known to be clean is counted, the rest goes to clamd.
use super::{
    account::{Account, End},
    ageing::Ageing,
    failures::Failures,
    handing::{Hand, Refused},
    job::{By, end_of, job, told, too_long},
    links::{Claim, Links, Other},
    plan::{Named, TRAP},
    progress::Progress,
    throttle,
};
use fsscan::{Coverage, Directory, Enter, Entering, FileStat, NotWalked, PathError, Reason, Visitor, WalkedFile};
use state_sqlite::{DirKey, KnownVerdicts, VerdictReader, Verdicts};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

/// What the threads of a walk share.
#[derive(Clone, Copy)]
pub(super) struct Shared<'s> {
    pub(super) by: &'s Arc<By>,
    /// What was named itself.
    pub(super) named: &'s Named,
    /// Where verdicts are remembered.
    pub(super) verdicts: Option<&'s Verdicts>,
    /// Whether what is known counts, and for how long.
    pub(super) ageing: Option<&'s Ageing>,
    pub(super) links: &'s Links,
    pub(super) progress: &'s Progress,
    pub(super) stop: &'s AtomicBool,
    /// Whether walking threads get the lowest priority.
    pub(super) is_background: bool,
}

/// One thread's part of a walk.
pub(super) struct Visit<'s> {
    judge: Hand,
    shared: Shared<'s>,
    reader: Option<VerdictReader>,
    is_begun: bool,
    pub(super) coverage: Coverage,
    pub(super) account: Account,
    pub(super) failures: Failures,
    /// Files that were named themselves, and that nobody can judge.
    pub(super) named_unjudged: u64,
}

impl<'s> Visit<'s> {
    pub(super) fn new(judge: Hand, shared: Shared<'s>) -> Self {
        Self {
            judge,
            shared,
            reader: shared.verdicts.filter(|_| shared.ageing.is_some()).and_then(reader),
            is_begun: false,
            coverage: Coverage::default(),
            account: Account::default(),
            failures: Failures::default(),
            named_unjudged: 0,
        }
    }

    /// A file over a limit, which is nobody's failure.
    fn over_limit(&mut self, path: &[u8], reason: &str) {
        self.failures.add(End::OverLimit, path, reason);
        self.named_unjudged += u64::from(self.shared.named.has(path));
    }

    fn fail(&mut self, end: End, size: u64, path: &[u8], reason: &str) {
        self.account.count(end, size);
        self.failures.add(end, path, reason);
        self.shared.progress.failures.fetch_add(1, Relaxed);
    }

    /// A file for clamd: opened, and sent unless another name of it was.
    fn ask(&mut self, dir: &Directory<'_>, listed: &WalkedFile<'_>, key: Option<DirKey>) {
        let size = listed.stat.size;
        if listed.stat.links > 1 && !self.is_first(&self.claim(dir, listed, key, None), dir, listed) {
            return;
        }
        let mut job = match job(dir, listed, key, self.shared) {
            Ok(job) => job,
            Err(error) => {
                self.fail(end_of(&error), size, &dir.path_of(listed.name), &told(&error));
                return;
            }
        };
        if job.stat.links > 1 {
            let claim = self.claim(dir, listed, key, Some(&job.stat));
            if !self.is_first(&claim, dir, listed) {
                return;
            }
            job.is_shared = claim == Claim::First;
        }
        let given = self.judge.give(Box::new(job));
        self.expect_taken(given);
    }

    /// Nobody takes files any more where clamd is given up: what is met then is told as failed.
    fn expect_taken(&mut self, given: Result<(), Refused>) {
        let Err(Refused(jobs)) = given else { return };
        for job in jobs {
            let others = if job.is_shared {
                self.shared.links.settle(&job.stat, End::Failed, Some(GIVEN_UP), None)
            } else {
                Vec::new()
            };
            let paths = std::iter::once(&job.path).chain(others.iter().map(|other| &other.path));
            for path in paths {
                self.fail(End::Failed, job.stat.size, path, GIVEN_UP);
            }
        }
    }

    /// Gives what is left to the judge, when there is nothing more to be met.
    pub(super) fn end(&mut self) {
        let given = self.judge.give_all();
        self.expect_taken(given);
    }

    /// What is to be done with a name of a file that has several. `opened` is how it looks when it is open.
    fn claim(
        &self,
        dir: &Directory<'_>,
        listed: &WalkedFile<'_>,
        key: Option<DirKey>,
        opened: Option<&FileStat>,
    ) -> Claim {
        let other = || Other {
            path: dir.path_of(listed.name).into(),
            dir: key,
        };
        let stat = opened.unwrap_or(&listed.stat);
        self.shared.links.claim(stat, opened.is_some(), other)
    }

    /// Whether it is for this name to be judged; otherwise it ends as another does.
    fn is_first(&mut self, claim: &Claim, dir: &Directory<'_>, listed: &WalkedFile<'_>) -> bool {
        match claim {
            Claim::First | Claim::Alone => return true,
            Claim::Joined => {}
            Claim::Ended(end, None) => self.account.count(*end, listed.stat.size),
            Claim::Ended(end, Some(reason)) => {
                self.fail(*end, listed.stat.size, &dir.path_of(listed.name), reason);
            }
        }
        false
    }
}

/// Why a file is not judged that is met after its judge has gone.
const GIVEN_UP: &str = "clamd was given up";

/// A reader of what is known, for one thread.
pub(super) fn reader(verdicts: &Verdicts) -> Option<VerdictReader> {
    match verdicts.reader() {
        Ok(reader) => Some(reader),
        Err(error) => {
            tracing::warn!(%error, "what is known of files cannot be read: all of them are scanned");
            None
        }
    }
}

impl Visitor for Visit<'_> {
    fn enter(&mut self, dir: &Entering<'_>) -> Enter {
        enter(self.shared.by.wanted.is_recursive, dir)
    }

    fn directory(&mut self, dir: &Directory<'_>) {
        if !std::mem::replace(&mut self.is_begun, true) && self.shared.is_background {
            throttle::yield_to_others();
        }
        let progress = self.shared.progress;
        self.coverage.add(dir);
        progress.directories.fetch_add(1, Relaxed);
        let file_system = dir.file_system();
        let key = file_system.shows_changes().then(|| DirKey {
            volume: file_system.volume,
            inode: dir.inode(),
        });
        let mut reader = self.reader.take();
        let mut known = key.and_then(|key| recall(reader.as_mut()?, key));
        let key = key.filter(|_| self.shared.verdicts.is_some());
        for listed in dir.files() {
            let size = listed.stat.size;
            progress.met(size);
            let ageing = self.shared.ageing;
            let ended = known.as_mut().and_then(|known| ageing?.recall(known, &listed.stat));
            if let Some(end) = ended {
                progress.remembered.fetch_add(1, Relaxed);
                self.account.count(end, size);
                if end == End::OverLimit {
                    self.over_limit(&dir.path_of(listed.name), "more than a limit of clamd's, as before");
                }
            } else if size == 0 {
                // There is nothing in it that clamd could look at.
                self.account.count(End::Clean, 0);
            } else {
                self.ask(dir, &listed, key);
            }
        }
        for left in dir.left_out().filter(|left| !left.is_directory()) {
            progress.met(left.bytes());
            // It is there, and known by a rule that does not leave it out.
            if let (Some(known), Some(stat)) = (known.as_mut(), left.stat()) {
                known.is_there(stat.inode);
            }
        }
        over_limit(dir, self.shared.by.most, |path, reason| self.over_limit(path, reason));
        if let Some(known) = known
            && !self.shared.stop.load(Relaxed)
            && let Err(error) = known.seen(chrono::Utc::now())
        {
            tracing::debug!(%error, "that a directory was seen could not be written down");
        }
        self.reader = reader;
        let given = self.judge.give_if_wanted();
        self.expect_taken(given);
    }

    fn not_walked(&mut self, dir: &NotWalked<'_>) {
        self.coverage.add_not_walked(dir);
        self.failures.not_walked(dir);
    }

    fn error(&mut self, error: &PathError) {
        self.failures.unread(error);
    }
}

/// Names the files of a directory that are left out for being longer than `most` bytes.
pub(super) fn over_limit(dir: &Directory<'_>, most: u64, mut name: impl FnMut(&[u8], &str)) {
    let left = dir.left_out().filter(|left| left.bytes() > most);
    for left in left.filter(|left| left.reason() == Reason::TooLarge) {
        name(&dir.path_of(left.name()), &too_long(most));
    }
}

/// Below the path itself only where a rule wants that.
pub(super) fn enter(is_recursive: bool, dir: &Entering<'_>) -> Enter {
    let name = dir.relative.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    // Where a file lies for the moment in which it is taken away.
    if name.starts_with(TRAP) {
        return Enter::Skip;
    }
    if is_recursive || dir.relative.is_empty() {
        Enter::Visit
    } else {
        Enter::Skip
    }
}

/// What is known of the files in a directory.
pub(super) fn recall(reader: &mut VerdictReader, key: DirKey) -> Option<KnownVerdicts<'_>> {
    match reader.directory(key) {
        Ok(known) => Some(known),
        Err(error) => {
            tracing::debug!(%error, "what is known of a directory cannot be read: all of it is scanned");
            None
        }
    }
}
