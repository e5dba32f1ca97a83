//! `scanner diff`: what the next run would report, changing nothing.
use crate::{
    changes::Printer,
    cli::{Output, StateArgs, Which},
    context::Context,
    progress::Bar,
    report::{self, Report, Text},
    request, session, stop,
};
use anyhow::Context as _;
use chrono::Utc;
use core_model::KnownTree;
use daemon_kit::Exit;
use fsscan::{NoRecords, RootRequest};
use state_sqlite::SqliteTree;
use std::{ffi::OsString, path::PathBuf};

pub(crate) fn run(context: &Context, args: &StateArgs) -> anyhow::Result<Exit> {
    let database = context.open_state(args.state)?;
    let mut tree = SqliteTree::overlay(&database)?;
    let known = tree.roots()?;
    let rotation = session::history(&database, 1)?
        .first()
        .map_or(0, |last| last.id.unsigned_abs());
    let request = match context.which(args.state) {
        Which::Run => request::of_settings(&context.live().scanner, rotation)?,
        // A look's paths stand in its state alone.
        Which::Scan => {
            let mut settings = context.live().scanner.clone();
            settings.scan_paths = known
                .iter()
                .map(|root| crate::settings::ScanPath {
                    path: path_of(&root.path),
                    ..Default::default()
                })
                .collect();
            let mut request = request::of_settings(&settings, rotation)?;
            request
                .roots
                .iter_mut()
                .for_each(|root: &mut RootRequest| root.ignore.clear());
            request
        }
    };
    let stop = stop::on_signal()?;
    let printer = Printer::new(context.output, false, context.live().scanner.mime_detection, &stop.flag);
    printer.begin();
    let bar = Bar::start(
        request.progress.clone(),
        known.iter().map(|root| root.files).sum(),
        context.quiet,
    );
    let scanned = fsscan::scan(&mut tree, &request, &mut NoRecords, &printer, Utc::now(), &stop.flag);
    drop(bar);
    let summary = scanned.context("the look could not go on")?;
    printer.end(&Report::new(&summary));
    if !context.quiet && context.output == Output::Table {
        eprint!("{}", Text(&summary));
    }
    let differs = summary.created + summary.updated + summary.moved + summary.deleted + summary.held > 0;
    Ok(match report::exit(&summary) {
        Exit::Done if differs => Exit::Findings,
        exit => exit,
    })
}

#[cfg(unix)]
pub(crate) fn path_of(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    OsString::from_vec(bytes.to_vec()).into()
}

#[cfg(not(unix))]
pub(crate) fn path_of(bytes: &[u8]) -> PathBuf {
    OsString::from(String::from_utf8_lossy(bytes).into_owned()).into()
}
