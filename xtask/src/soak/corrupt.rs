//! `cargo xtask soak corrupt`: the scanner's state damaged at random places between two runs. The next run must end, and
//! with the server's picture true.
use super::{Soak, host::Host};
use anyhow::{Context, Result, ensure};
use std::{
    fs::{self, OpenOptions},
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    thread,
};
use testkit::Random;

pub(super) const SOAK: Soak = Soak {
    name: "corrupt",
    iteration,
    changes: 4,
};

fn iteration(host: &mut Host, random: &mut Random) -> Result<String> {
    host.change()?;
    host.round(&["run", "--once"])?;
    host.check_server().context("before anything was damaged")?;
    let copy = host.home().join("copy");
    copy_state(&host.state(), &copy)?;
    host.change()?;
    let mut story = "a run".to_owned();
    if random.below(2) == 0 {
        // Killed, it leaves a write-ahead log and records that are still owed.
        let daemon = host.program(&["run", "--once"]).start()?;
        let instant = host.duration(false).mul_f64(random.below(1000) as f64 / 1000.0);
        thread::sleep(instant);
        daemon.kill_hard()?;
        story = format!("a run killed after {} ms", instant.as_millis());
    } else {
        host.round(&["run", "--once"])?;
    }
    host.change()?;
    let damage = damage(&host.state(), &copy, random)?;
    let after = || format!("after {story}, then {damage}");
    host.round(&["run", "--once"]).with_context(after)?;
    host.check_server().with_context(after)?;
    // What was mended stays mended.
    host.change()?;
    host.round(&["run", "--once"]).with_context(after)?;
    host.check_server().with_context(after)?;
    Ok(after())
}

/// The database, what SQLite keeps beside it, and the mark.
fn database_files(state: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(state).context("there is no state")? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        match name.as_str() {
            // Most of what is stored, and so most of what is hit.
            "state.db" => files.extend([entry.path(), entry.path()]),
            "state.db-wal" | "state.db.mark" => files.push(entry.path()),
            // The log's index is made anew after a crash; a lock and ballast hold nothing.
            _ => {}
        }
    }
    files.sort();
    ensure!(!files.is_empty(), "{} holds no state.db", state.display());
    Ok(files)
}

fn copy_state(state: &Path, copy: &Path) -> Result<()> {
    fs::create_dir_all(copy)?;
    for file in database_files(state)? {
        fs::copy(&file, copy.join(file.file_name().unwrap_or_default()))?;
    }
    Ok(())
}

/// Does one thing that disks, people and programs do to files; says which.
fn damage(state: &Path, copy: &Path, random: &mut Random) -> Result<String> {
    let files = database_files(state)?;
    let file = random.pick(&files);
    let name = file.file_name().unwrap_or_default().display();
    let length = fs::metadata(file)?.len();
    let place = random.below(length.max(1));
    let noise = |many: u64, random: &mut Random| (0..many).map(|_| random.next_u64() as u8).collect::<Vec<_>>();
    Ok(match random.below(8) {
        0 | 1 => {
            let many = 1 + random.below(64);
            write_at(file, place, &noise(many, random))?;
            format!("{many} bytes of {name} overwritten at {place} of {length}")
        }
        2 => {
            write_at(file, place / 4096 * 4096, &noise(4096, random))?;
            format!("a page of {name} overwritten at {place} of {length}")
        }
        3 => {
            OpenOptions::new().write(true).open(file)?.set_len(place)?;
            format!("{name} cut at {place} of {length}")
        }
        4 => {
            OpenOptions::new().write(true).open(file)?.set_len(0)?;
            format!("{name} emptied")
        }
        5 => {
            fs::remove_file(file)?;
            format!("{name} removed")
        }
        6 => {
            let log = state.join("state.db-wal");
            let had = fs::remove_file(log).is_ok();
            format!(
                "the write-ahead log removed ({})",
                if had { "it was there" } else { "there was none" }
            )
        }
        _ => {
            // As people do it: the database, and not the mark beside it.
            let is_database = |file: &&PathBuf| !file.to_string_lossy().ends_with(".mark");
            for file in files.iter().filter(is_database).filter(|file| file.exists()) {
                fs::remove_file(file)?;
            }
            for file in database_files(copy)?.iter().filter(is_database) {
                fs::copy(file, state.join(file.file_name().unwrap_or_default()))?;
            }
            "an older copy put back".to_owned()
        }
    })
}

fn write_at(file: &Path, place: u64, bytes: &[u8]) -> Result<()> {
    let mut file = OpenOptions::new().write(true).open(file)?;
    file.seek(SeekFrom::Start(place))?;
    file.write_all(bytes).context("could not damage the state")
}
