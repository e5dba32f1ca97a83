//! `scanner scan`: a look at directories, with a state of its own and no server.
use crate::{
    changes::Printer,
    cli::{Output, ScanArgs, Which},
    context::{Context, mended_by},
    progress::Bar,
    report::{self, Report, Text},
    request, session, stop,
};
use anyhow::Context as _;
use chrono::Utc;
use core_model::KnownTree;
use daemon_kit::Exit;
use fsscan::{NoRecords, Summary};
use state_sqlite::{Database, OpenOptions, RunLock, SqliteTree};
use std::{fs, path::Path, sync::atomic::AtomicBool};

pub(crate) fn run(context: &Context, args: &ScanArgs) -> anyhow::Result<Exit> {
    let file = args
        .state_file
        .clone()
        .unwrap_or_else(|| context.state_file_of(Which::Scan));
    let _lock = RunLock::acquire(&file)?;
    if args.fresh {
        forget(&file)?;
    }
    let database = match Database::open(&file, OpenOptions::default()) {
        Err(error) if error.is_damage() => return Err(anyhow::Error::new(error).context(mended_by(Which::Scan))),
        opened => opened?,
    };
    database.migrate(&[session::COMPONENT])?;
    let mut tree = SqliteTree::open(&database)?;
    let started = Utc::now();
    let rotation = session::history(&database, 1)?.first().map_or(0, |last| last.id);
    let request = request::of_options(args, &context.live().scanner, rotation.unsigned_abs())?;
    let paths: Vec<_> = request.roots.iter().map(|root| root.path.clone()).collect();
    let session = session::begin(&database, &paths, started)?;

    let stop = stop::on_signal()?;
    let printer = Printer::new(
        context.output,
        args.summary,
        context.live().scanner.mime_detection,
        &stop.flag,
    );
    printer.begin();
    let expected = tree.roots()?.iter().map(|root| root.files).sum();
    let bar = Bar::start(request.progress.clone(), expected, context.quiet);
    let scanned = fsscan::scan(&mut tree, &request, &mut NoRecords, &printer, started, &stop.flag);
    drop(bar);
    let mut summary = match scanned {
        Ok(summary) => summary,
        Err(error) => {
            session::end(&database, session, "failed", &Summary::default(), Utc::now())?;
            return Err(error).context("the scan could not go on");
        }
    };
    // Each look has paths of its own; those of another are not given up.
    summary.unconfigured.clear();
    let exit = report::exit(&summary);
    session::end(
        &database,
        session,
        session_status(exit, &stop.flag),
        &summary,
        Utc::now(),
    )?;
    printer.end(&Report::new(&summary));
    if !context.quiet && (context.output == Output::Table || !args.summary) {
        eprint!("{}", Text(&summary));
    }
    if printer.was_cut_off() && !args.summary {
        eprintln!(
            "the output was closed before the end: changes that were not shown are remembered all the same; --fresh lists every file anew"
        );
    }
    Ok(exit)
}

/// How a scan is written down.
pub(crate) fn session_status(exit: Exit, stop: &AtomicBool) -> &'static str {
    match exit {
        _ if stop.load(std::sync::atomic::Ordering::Relaxed) => "interrupted",
        Exit::Done => "completed",
        Exit::Partial => "partial",
        _ => "failed",
    }
}

/// Removes a state with what SQLite keeps beside it: a log left behind would be replayed into the next file.
fn forget(file: &Path) -> anyhow::Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = file.as_os_str().to_owned();
        name.push(suffix);
        match fs::remove_file(Path::new(&name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("could not remove `{}`", Path::new(&name).display()));
            }
            _ => {}
        }
    }
    Ok(())
}
