//! Scans directories into a tree in memory, twice, and prints what each scan found:
//! `cargo run --release --example count --features testing -- /usr`.
use fsscan::{NoObserver, NoRecords, RootRequest, ScanRequest, scan, testing::MemoryTree};
use std::{error::Error, io::Write, path::absolute, sync::atomic::AtomicBool};

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    let paths: Vec<_> = std::env::args_os().skip(1).collect();
    let paths = if paths.is_empty() { vec![".".into()] } else { paths };
    let roots: Result<Vec<_>, _> = paths.iter().map(|path| absolute(path).map(RootRequest::new)).collect();
    let request = ScanRequest::new(roots?);
    let mut tree = MemoryTree::default();
    let stop = AtomicBool::new(false);
    for pass in ["first", "second"] {
        let now = chrono::Utc::now();
        let found = scan(&mut tree, &request, &mut NoRecords, &NoObserver, now, &stop)?;
        let megabytes = found.bytes / (1024 * 1024);
        writeln!(
            out,
            "{pass} scan: {} files, {megabytes} MB, {} directories in {:.1?}",
            found.files, found.dirs, found.duration
        )?;
        writeln!(
            out,
            "  {} created, {} updated, {} moved, {} deleted, {} errors",
            found.created,
            found.updated,
            found.moved,
            found.deleted,
            found.error_count()
        )?;
        for root in found.roots.iter().filter(|root| !root.outcome.is_scanned()) {
            writeln!(out, "  {}: {}", root.path.display(), root.outcome)?;
        }
        for error in found.first_errors.iter().take(10) {
            writeln!(out, "  {error}")?;
        }
    }
    Ok(())
}
