//! Walks a directory twice and "judges" every file of which no verdict holds, by reading it: the second walk reads
//! nothing. `cargo run --release -p state-sqlite --example verdicts -- /usr`
use chrono::Utc;
use fsscan::{Coverage, Directory, FileStat, RootRequest, Visitor, WalkRequest, walk};
use state_sqlite::{
    Basis, DirKey, FileFacts, Judged, Judgement, Recalled, StateError, VerdictOptions, VerdictReader, Verdicts,
};
use std::{error::Error, fs::File, io, path::PathBuf, sync::atomic::AtomicBool};

/// What one walking thread has.
struct Judges {
    verdicts: Verdicts,
    reader: VerdictReader,
    coverage: Coverage,
    held: u64,
    read: u64,
    failed: Option<StateError>,
}

impl Visitor for Judges {
    fn directory(&mut self, dir: &Directory<'_>) {
        self.coverage.add(dir);
        if let Err(error) = self.judge(dir) {
            self.failed = Some(error);
        }
    }
}

impl Judges {
    fn judge(&mut self, dir: &Directory<'_>) -> Result<(), StateError> {
        let key = DirKey {
            volume: dir.file_system().volume,
            inode: dir.inode(),
        };
        let is_trusted = dir.file_system().shows_changes();
        let mut known = self.reader.directory(key)?;
        let mut judged = Vec::new();
        for listed in dir.files() {
            // A file can be a mount of its own; its directory's key would then say nothing of it.
            let may_remember = is_trusted && listed.stat.device == dir.device();
            if may_remember && matches!(known.recall(&facts(&listed.stat)), Recalled::Holds(_)) {
                self.held += 1;
                continue;
            }
            let began_ns = Utc::now().timestamp_nanos_opt().unwrap_or_default();
            let Ok(file) = dir.open(&listed) else { continue };
            let synced = self.verdicts.wants_sync(&facts(&listed.stat), began_ns) && file.sync_data().is_ok();
            self.read += 1;
            if let (true, Ok((before, after)), Some(basis)) = (may_remember, read(&file), self.verdicts.basis()) {
                judged.push(Judged {
                    before: facts(&before),
                    after: facts(&after),
                    began_ns,
                    synced,
                    judgement: Judgement::Clean,
                    basis,
                });
            }
        }
        // What a rule leaves out may be of interest to another walk.
        for stat in dir.left_out().filter_map(|left| left.stat().copied()) {
            known.is_there(stat.inode);
        }
        known.seen(Utc::now())?;
        self.verdicts.remember(key, &judged, Utc::now()).map(drop)
    }
}

fn facts(stat: &FileStat) -> FileFacts {
    FileFacts {
        inode: stat.inode,
        size: stat.size,
        mtime_ns: stat.mtime_ns,
        ctime_ns: stat.ctime_ns,
        btime_ns: stat.btime_ns,
    }
}

fn read(mut file: &File) -> io::Result<(FileStat, FileStat)> {
    let before = FileStat::of(file)?;
    io::copy(&mut file, &mut io::sink())?;
    Ok((before, FileStat::of(file)?))
}

fn main() -> Result<(), Box<dyn Error>> {
    let top = std::env::args_os()
        .nth(1)
        .map_or_else(|| PathBuf::from("/usr"), PathBuf::from);
    let path = std::env::temp_dir().join(format!("verdicts-{}.db", std::process::id()));
    let verdicts = Verdicts::open_file(&path, VerdictOptions::default())?;
    let basis = Basis {
        engine: "an example that finds nothing".to_owned(),
        signatures: "0".to_owned(),
        limits: String::new(),
    };
    verdicts.use_basis(&basis, Utc::now())?;
    let request = WalkRequest::new(vec![RootRequest::new(top)]);
    for _ in 0..2 {
        let judges = || {
            Ok::<_, StateError>(Judges {
                verdicts: verdicts.clone(),
                reader: verdicts.reader()?,
                coverage: Coverage::default(),
                held: 0,
                read: 0,
                failed: None,
            })
        };
        let (summary, judges) = walk(&request, vec![judges()?], &AtomicBool::new(false))?;
        verdicts.flush(Utc::now())?;
        for judge in judges {
            if let Some(error) = judge.failed {
                return Err(error.into());
            }
            let (visited, met) = (judge.coverage.visited.files, judge.coverage.met().files);
            println!(
                "{met} files met, {visited} visited, {} verdicts held, {} files read, {:?}",
                judge.held, judge.read, summary.duration
            );
        }
    }
    println!("{} KB of verdicts", verdicts.database().size() >> 10);
    drop(verdicts);
    state_sqlite::remove(&path)?;
    Ok(())
}
