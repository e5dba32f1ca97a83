//! Scans a file, or all files below a directory, by passed descriptors in one pipelined session:
//! `cargo run --example scan -- unix:/run/clamav/clamd.ctl /srv`
//!
//! Prints what is not clean and a summary, and exits like clamscan: 1 where something was found, 2 after an error.
use clamd_proto::{ClamError, Endpoint, Request, Session, SessionOptions, Verdict};
use std::{
    error::Error,
    fs::{self, File},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

#[derive(Default)]
struct Summary {
    scanned: u64,
    infected: u64,
    failed: u64,
}

impl Summary {
    fn take(&mut self, path: &Path, outcome: Result<Verdict, ClamError>) {
        self.scanned += 1;
        match outcome {
            Ok(Verdict::Clean) => {}
            Ok(Verdict::Infected { signatures }) => {
                self.infected += 1;
                println!("{}: {} FOUND", path.display(), signatures.join(", "));
            }
            Ok(Verdict::LimitExceeded { limit }) => {
                self.failed += 1;
                println!("{}: not scanned whole, above clamd's {limit}", path.display());
            }
            Err(error) => {
                self.failed += 1;
                println!("{}: {error}", path.display());
            }
        }
    }
}

async fn scan(endpoint: &Endpoint, root: PathBuf) -> Result<Summary, Box<dyn Error>> {
    let mut session: Session<PathBuf> = Session::open(endpoint, SessionOptions::default()).await?;
    let (mut summary, mut rest) = (Summary::default(), vec![root]);
    while let Some(path) = rest.pop() {
        let kind = fs::symlink_metadata(&path)?.file_type();
        if kind.is_dir() {
            rest.extend(
                fs::read_dir(&path)?
                    .map(|entry| entry.map(|entry| entry.path()))
                    .collect::<Result<Vec<_>, _>>()?,
            );
        }
        if !kind.is_file() {
            continue;
        }
        // Replies are taken only while there is no room for more requests, and at the end.
        while !session.has_room() {
            match session.next().await {
                Some((path, outcome)) => summary.take(&path, outcome),
                None => return Err("the session has ended".into()),
            }
        }
        let file = Arc::new(File::open(&path)?);
        if session.submit(path, Request::File(file)).is_err() {
            return Err("the session has ended".into());
        }
    }
    session.end();
    while let Some((path, outcome)) = session.next().await {
        summary.take(&path, outcome);
    }
    Ok(summary)
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let (Some(endpoint), Some(root)) = (words.next(), words.next()) else {
        eprintln!("usage: scan unix:/run/clamav/clamd.ctl PATH");
        return Ok(ExitCode::from(2));
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let summary = runtime.block_on(scan(&endpoint.parse()?, root.into()))?;
    println!(
        "{} scanned, {} infected, {} failed",
        summary.scanned, summary.infected, summary.failed
    );
    Ok(match summary {
        Summary { infected: 1.., .. } => ExitCode::from(1),
        Summary { failed: 1.., .. } => ExitCode::from(2),
        _ => ExitCode::SUCCESS,
    })
}
