//! One scan from its plan to its summary.
use crate::{
    Encoder, Observer, ScanRequest, Summary, begin,
    context::{Context, Ground, Volumes},
    finish::Ending,
    links::Links,
    names::Owners,
    out::Out,
    record::{Counts, Recorder, Sink},
    resolve,
    rules::PatternError,
    table::Table,
    walker::Walker,
    worker::Worker,
    writer::{self, Start},
};
use chrono::{DateTime, Utc};
use core_model::KnownTree;
use std::{
    io,
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Instant,
};

/// Directories on their way from the workers to the writer.
const IN_FLIGHT: usize = 128;
const MOST_THREADS: usize = 50;

/// Why no scan took place, or why it ended early. What was committed until then holds, and the next scan goes on.
#[derive(Debug, thiserror::Error)]
pub enum ScanError<E: std::error::Error + 'static> {
    /// A root's path is relative or holds `..`.
    #[error("`{}` cannot be scanned: a root is an absolute path without `..`", .path.display())]
    Path {
        /// The path.
        path: PathBuf,
    },
    /// A root lies in another, so that its files would be told twice.
    #[error("`{}` lies in `{}`: name only one of them", .inner.display(), .outer.display())]
    Nested {
        /// The root that contains the other.
        outer: PathBuf,
        /// The root inside it.
        inner: PathBuf,
    },
    /// An ignore pattern is none.
    #[error("could not read the ignore patterns")]
    Pattern(#[from] PatternError),
    /// A walking thread could not be started.
    #[error("could not start a walking thread")]
    Thread(#[source] io::Error),
    /// What is remembered of the file system could not be read or stored.
    #[error("could not read or store the known state of the file system")]
    Tree(#[source] E),
}

/// Walks the roots of `request`, tells what differs from `tree`, and makes `tree` what was found.
///
/// Changes and their records are committed together, in many steps; whenever the process dies, the next scan goes on
/// from there and tells the rest. Raising `stop` ends the scan within a directory of each thread. `now` is the time
/// that is stored with records and roots.
///
/// # Errors
///
/// See [`ScanError`]. A path that cannot be read is no error of the scan: it is counted in the [`Summary`].
pub fn scan<T: KnownTree>(
    tree: &mut T,
    request: &ScanRequest,
    encoder: &mut dyn Encoder,
    observer: &dyn Observer,
    now: DateTime<Utc>,
    stop: &AtomicBool,
) -> Result<Summary, ScanError<T::Error>> {
    let started = Instant::now();
    let known = tree.roots().map_err(ScanError::Tree)?;
    let mut plans = begin::plan(request, &known)?;
    let volumes = Volumes::default();
    let key = tree.key();
    let progress = &request.progress;
    let counted = [&progress.dirs, &progress.ignored].map(|count| count.load(Ordering::Relaxed));
    let mut out = Out::new(tree, recorder(request, encoder, observer, &volumes), now).map_err(ScanError::Tree)?;

    if request.name_all {
        out.name_waiting().map_err(ScanError::Tree)?;
    }
    begin::release(&mut out, &plans, &known).map_err(ScanError::Tree)?;
    let waiting = resolve::tally(&*out.tree).map_err(ScanError::Tree)?;
    let start = Start {
        is_first: waiting.is_empty() && known.iter().all(|root| root.files == 0),
        has_undecided: !waiting.is_empty(),
    };
    let told = begin::told(&out, &plans, &waiting);
    begin::introduce(&mut out, &plans).map_err(ScanError::Tree)?;
    let table = Table::load(&*out.tree).map_err(ScanError::Tree)?;
    let roots = plans
        .iter_mut()
        .filter_map(|plan| begin::open(plan, &volumes))
        .collect();
    let context = Context {
        request,
        ground: Ground::new(roots, &request.ignore_files, &volumes, stop),
        next_dir: AtomicU64::new(table.next_id()),
        table,
        key,
        links: Links::default(),
    };

    let mut summary = Summary::default();
    let touched = walk(&mut out, &context, start, &mut summary)?;
    let ending = Ending {
        plans: &plans,
        known: &known,
        context: &context,
        told: &told,
        start,
    };
    ending.finish(&mut out, &mut summary).map_err(ScanError::Tree)?;
    let counts = out.recorder.counts;
    summary.created = counts.created;
    summary.updated = counts.updated;
    summary.moved = counts.moved;
    summary.deleted = counts.deleted;
    // What an interrupted scan stored and this one tells was not touched by it.
    let told = counts.created + counts.updated + counts.moved;
    summary.unchanged = summary.files.saturating_sub(touched.max(told));
    summary.dirs = progress.dirs.load(Ordering::Relaxed).saturating_sub(counted[0]);
    summary.ignored = progress.ignored.load(Ordering::Relaxed).saturating_sub(counted[1]);
    summary.duration = started.elapsed();
    Ok(summary)
}

/// Walks all roots and stores what differs. Gives back how many of the files seen are not as they were.
fn walk<T: KnownTree>(
    out: &mut Out<'_, T>,
    context: &Context<'_>,
    start: Start,
    summary: &mut Summary,
) -> Result<u64, ScanError<T::Error>> {
    let threads = context.request.threads.clamp(1, MOST_THREADS);
    let readers: Result<Vec<_>, _> = (0..threads).map(|_| out.tree.reader()).collect();
    let readers = readers.map_err(ScanError::Tree)?;
    thread::scope(|scope| {
        let (sender, found) = crossbeam_channel::bounded(IN_FLIGHT);
        let begun: io::Result<()> = readers.into_iter().try_for_each(|reader| {
            let walker = Walker::new(&context.ground, Worker::new(context, reader, sender.clone()));
            let thread = thread::Builder::new().name("walk".to_owned());
            thread.spawn_scoped(scope, move || drop(walker.run())).map(drop)
        });
        drop(sender);
        let written = match begun {
            Ok(()) => writer::write(out, context, start, &found, summary).map_err(ScanError::Tree),
            Err(error) => Err(ScanError::Thread(error)),
        };
        if written.is_err() {
            context.ground.queue.close();
        }
        written
    })
}

pub(crate) fn recorder<'a>(
    request: &'a ScanRequest,
    encoder: &'a mut dyn Encoder,
    observer: &'a dyn Observer,
    volumes: &'a Volumes,
) -> Recorder<'a> {
    Recorder {
        request,
        encoder,
        observer,
        volumes,
        owners: Owners::default(),
        counts: Counts::default(),
        sink: Sink::default(),
    }
}
