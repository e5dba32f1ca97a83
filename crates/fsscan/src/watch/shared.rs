//! What the watching thread and the task that is told share.
use super::{
    GoneWhy, Lost, LostWhy, WatchCounters, WatchRequest, Watched, Written,
    pending::{Due, LostBelow, Note, Pending, Sign},
    request::Rooted,
};
use crate::{
    RootRequest,
    entry::FileKind,
    summary::ErrorKind,
    sys::{self, path_of},
    walk::FileStat,
};
use std::{
    fs::File,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};
use tokio::sync::Notify;

/// What became of a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RootNews {
    Watching,
    Gone(GoneWhy),
}

#[derive(Debug)]
struct Table {
    pending: Pending,
    /// The last news of each root that were not told.
    news: Vec<Option<RootNews>>,
    /// When the task wakes by itself; `None` while it sleeps until it is woken.
    wakes: Option<Instant>,
    ended: bool,
}

/// What the watching thread and the task that is told share.
#[derive(Debug)]
pub(super) struct Shared {
    table: Mutex<Table>,
    wake: Notify,
    roots: Vec<RootRequest>,
    pub(super) counters: Arc<WatchCounters>,
}

/// What the task does next.
pub(super) enum Step {
    Tell(Watched),
    Wait(Option<Instant>),
    End,
}

impl Shared {
    pub(super) fn new(request: &WatchRequest, rooted: &[Rooted]) -> Self {
        // Of roots that were named twice only the first is rooted.
        let mut paths = vec![Vec::new(); request.roots.len()];
        for root in rooted {
            paths[root.place].clone_from(&root.path);
        }
        let table = Table {
            pending: Pending::new(request, paths),
            news: vec![None; request.roots.len()],
            wakes: None,
            ended: false,
        };
        Self {
            table: Mutex::new(table),
            wake: Notify::new(),
            roots: request.roots.clone(),
            counters: Arc::default(),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands writes over, all at once.
    pub(super) fn note(&self, notes: &mut Vec<Note>) {
        if notes.is_empty() {
            return;
        }
        let now = Instant::now();
        let count = notes.len();
        let mut table = self.table();
        let new = notes
            .drain(..)
            .filter_map(|note| table.pending.note(note, now).then_some(()));
        let new = new.count();
        WatchCounters::add(&self.counters.noticed, count);
        WatchCounters::add(&self.counters.coalesced, count - new);
        WatchCounters::set(&self.counters.pending, table.pending.len());
        self.ring(table);
    }

    pub(super) fn lose(&self, root: usize, path: Vec<u8>, why: LostWhy) {
        let mut table = self.table();
        table.pending.lose(LostBelow { root, path, why }, Instant::now());
        self.ring(table);
    }

    pub(super) fn news(&self, root: usize, news: RootNews) {
        self.table().news[root] = Some(news);
        self.wake.notify_one();
    }

    /// Nothing more will be noticed.
    pub(super) fn end(&self) {
        self.table().ended = true;
        self.wake.notify_one();
    }

    /// Wakes the task if something is due before it wakes by itself.
    fn ring(&self, mut table: MutexGuard<'_, Table>) {
        let alarm = table.pending.alarm();
        if alarm.is_some_and(|alarm| table.wakes.is_none_or(|wakes| alarm < wakes)) {
            table.wakes = alarm;
            drop(table);
            self.wake.notify_one();
        }
    }

    /// Completes when `step` is worth a call, without regard to time.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// What is to be told now, or how long to wait.
    pub(super) fn step(&self) -> Step {
        loop {
            let now = Instant::now();
            let mut table = self.table();
            if let Some((root, news)) = table.take_news() {
                return Step::Tell(self.tell_news(root, news));
            }
            let Some(due) = table.pending.take(now) else {
                table.wakes = table.pending.alarm();
                return if table.ended {
                    Step::End
                } else {
                    Step::Wait(table.wakes)
                };
            };
            // A look at a file may take long, and the watching thread wants the table.
            drop(table);
            if let Some(watched) = self.tell(due) {
                return Step::Tell(watched);
            }
        }
    }

    fn tell_news(&self, root: usize, news: RootNews) -> Watched {
        let path = self.roots[root].path.clone();
        match news {
            RootNews::Watching => Watched::Watching { root, path },
            RootNews::Gone(why) => Watched::Gone { root, path, why },
        }
    }

    fn tell(&self, due: Due) -> Option<Watched> {
        match due {
            Due::Lost(LostBelow { root, path, why }) => {
                WatchCounters::one(&self.counters.lost);
                let below = path_of(&path).to_owned();
                Some(Watched::Lost(Lost { root, below, why }))
            }
            Due::File {
                root,
                path,
                sign,
                noticed,
                file,
            } => {
                let path = path_of(&path).to_owned();
                self.look(root, path, sign, noticed, file)
            }
        }
    }

    /// Tells of a file, if it is one.
    fn look(&self, root: usize, path: PathBuf, sign: Sign, noticed: Instant, file: Option<File>) -> Option<Watched> {
        let (path, stat) = match look_at(path, file.as_ref()) {
            Ok(found) => found,
            Err((path, error)) if is_unknown(&error) => {
                WatchCounters::one(&self.counters.lost);
                let below = path.parent().unwrap_or(&path).to_owned();
                let why = LostWhy::Unreadable(ErrorKind::of(&error));
                return Some(Watched::Lost(Lost { root, below, why }));
            }
            Err(_) => {
                WatchCounters::one(&self.counters.dropped);
                return None;
            }
        };
        // A name that appeared is told if there is something in it, and else when it is closed after writing.
        let is_told = stat.kind() == FileKind::File && (sign != Sign::Named || stat.size > 0);
        if !is_told {
            WatchCounters::one(&self.counters.dropped);
            return None;
        }
        if self.roots[root].max_file_size.is_some_and(|limit| stat.size > limit) {
            WatchCounters::one(&self.counters.too_large);
            return None;
        }
        WatchCounters::one(&self.counters.written);
        Some(Watched::Written(Written {
            root,
            path,
            stat,
            noticed,
            file,
        }))
    }
}

/// How a file looks now: by its descriptor, if there is one, and with the name that it has now.
fn look_at(path: PathBuf, file: Option<&File>) -> Result<(PathBuf, FileStat), (PathBuf, io::Error)> {
    let Some(file) = file else {
        return match sys::look_by_path(&path) {
            Ok(look) => Ok((path, FileStat::from(&look))),
            Err(error) => Err((path, error)),
        };
    };
    match FileStat::of(file) {
        Ok(stat) if stat.links == 0 => Err((path, io::ErrorKind::NotFound.into())),
        Ok(stat) => Ok((path, stat)),
        Err(error) => Err((path, error)),
    }
}

/// Whether an error leaves it open what is there.
fn is_unknown(error: &io::Error) -> bool {
    !sys::is_absent(error)
}

impl Table {
    fn take_news(&mut self) -> Option<(usize, RootNews)> {
        let news = self.news.iter_mut().enumerate();
        news.filter_map(|(root, news)| news.take().map(|news| (root, news)))
            .next()
    }
}
