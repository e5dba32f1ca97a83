//! A log file that rotates by size and age, packs what it rotated, and keeps so many.
use crate::FileSettings;
use chrono::{DateTime, Utc};
use flate2::{Compression, write::GzEncoder};
use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

/// Belongs to one thread, which also rotates: what arrives meanwhile waits in that thread's queue.
pub(crate) struct RotatingFile {
    settings: FileSettings,
    file: BufWriter<File>,
    size: u64,
    begun: DateTime<Utc>,
    /// Set when rotating failed, so that it is not tried again for every line.
    not_before: Option<DateTime<Utc>>,
}

/// How long to go on with the old file after it could not be rotated.
const RETRY: chrono::TimeDelta = chrono::TimeDelta::minutes(1);

impl RotatingFile {
    /// Continues the file, or begins it (readable by its owner alone) with the directories above it.
    pub(crate) fn open(settings: FileSettings, now: DateTime<Utc>) -> io::Result<Self> {
        if let Some(parent) = settings.path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            fs::create_dir_all(parent)?;
        }
        let file = open(&settings.path)?;
        let metadata = file.metadata()?;
        // Without a time of birth an old file counts as new: it rotates by size, and by age after the next start at latest.
        let begun = metadata.created().map_or(now, DateTime::from);
        Ok(Self {
            settings,
            file: BufWriter::new(file),
            size: metadata.len(),
            begun: if metadata.len() == 0 { now } else { begun },
            not_before: None,
        })
    }

    /// Writes one line, into a new file if the old one is full or old at `now`.
    pub(crate) fn write_line(&mut self, line: &[u8], now: DateTime<Utc>) -> io::Result<()> {
        if self.is_due(line.len() as u64, now) && self.not_before.is_none_or(|time| time <= now) {
            match self.rotate(now) {
                Ok(()) => self.not_before = None,
                Err(error) => {
                    self.not_before = Some(now + RETRY);
                    let path = self.settings.path.display();
                    // The log cannot tell about itself here; stderr is the other place where lines go.
                    writeln!(io::stderr(), "could not rotate the log file `{path}`: {error}").ok();
                }
            }
        }
        self.file.write_all(line)?;
        self.size += line.len() as u64;
        Ok(())
    }

    fn is_due(&self, more: u64, now: DateTime<Utc>) -> bool {
        let FileSettings { max_size, max_age, .. } = self.settings;
        let full = max_size.bytes() > 0 && self.size + more > max_size.bytes();
        let old = !max_age.is_zero() && (now - self.begun).to_std().is_ok_and(|age| age >= max_age);
        self.size > 0 && (full || old)
    }

    fn rotate(&mut self, now: DateTime<Utc>) -> io::Result<()> {
        self.file.flush()?;
        let path = &self.settings.path;
        let kept = self.settings.max_backups;
        if kept == 0 {
            absent_is_fine(fs::remove_file(path))?;
        } else {
            for packed in [false, true] {
                absent_is_fine(fs::remove_file(backup(path, kept, packed)))?;
            }
            for number in (1..kept).rev() {
                for packed in [false, true] {
                    absent_is_fine(fs::rename(
                        backup(path, number, packed),
                        backup(path, number + 1, packed),
                    ))?;
                }
            }
            // It may be gone: by hand, or because the last attempt failed after this step.
            absent_is_fine(fs::rename(path, backup(path, 1, false)))?;
        }
        self.file = BufWriter::new(open(path)?);
        self.size = 0;
        self.begun = now;
        if kept > 0 && self.settings.compress {
            pack(&self.settings.path)?;
        }
        Ok(())
    }
}

/// For the writing thread: it hands over whole lines.
impl Write for RotatingFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.write_line(line, Utc::now())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Packs the newest backup beside itself and puts it in place whole, so that a crash leaves one or the other.
fn pack(path: &Path) -> io::Result<()> {
    let (plain, packed) = (backup(path, 1, false), backup(path, 1, true));
    let unfinished = with_suffix(&packed, ".tmp");
    absent_is_fine(fs::remove_file(&unfinished))?;
    if let Err(error) = pack_into(&plain, &unfinished) {
        // A full disk is the likely cause: do not add to it.
        fs::remove_file(&unfinished).ok();
        return Err(error);
    }
    fs::rename(unfinished, packed)?;
    fs::remove_file(plain)
}

fn pack_into(plain: &Path, packed: &Path) -> io::Result<()> {
    let mut source = File::open(plain)?;
    let mut packer = GzEncoder::new(BufWriter::new(open(packed)?), Compression::default());
    io::copy(&mut source, &mut packer)?;
    let file = packer.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    // Whoever may read the log may read its past.
    file.set_permissions(source.metadata()?.permissions())?;
    file.sync_data()
}

fn backup(path: &Path, number: u32, packed: bool) -> PathBuf {
    with_suffix(path, &format!(".{number}{}", if packed { ".gz" } else { "" }))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn absent_is_fine(done: io::Result<()>) -> io::Result<()> {
    done.or_else(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            Ok(())
        } else {
            Err(error)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use core_model::ByteSize;
    use flate2::read::GzDecoder;
    use std::{io::Read as _, time::Duration};

    struct Log {
        dir: tempfile::TempDir,
        file: RotatingFile,
        now: DateTime<Utc>,
    }

    impl Log {
        fn new(change: impl FnOnce(&mut FileSettings)) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let mut settings = FileSettings::new(dir.path().join("logs/a.log"));
            (settings.max_size, settings.compress) = (ByteSize::new(10), false);
            change(&mut settings);
            let now = Utc::now();
            let file = RotatingFile::open(settings, now).unwrap();
            Self { dir, file, now }
        }

        fn write(&mut self, line: &str) {
            self.file.write_line(line.as_bytes(), self.now).unwrap();
            self.file.flush().unwrap();
        }

        fn reopen(&mut self) {
            self.file = RotatingFile::open(self.file.settings.clone(), self.now).unwrap();
        }

        /// All files with what is in them, unpacked.
        fn files(&self) -> Vec<(String, String)> {
            let read = |entry: io::Result<fs::DirEntry>| {
                let path = entry.unwrap().path();
                let mut text = String::new();
                let mut file = File::open(&path).unwrap();
                match path.extension().is_some_and(|extension| extension == "gz") {
                    true => GzDecoder::new(file).read_to_string(&mut text).unwrap(),
                    false => file.read_to_string(&mut text).unwrap(),
                };
                (path.file_name().unwrap().to_str().unwrap().to_owned(), text)
            };
            let mut files: Vec<_> = fs::read_dir(self.dir.path().join("logs")).unwrap().map(read).collect();
            files.sort();
            files
        }
    }

    fn owned(files: &[(&str, &str)]) -> Vec<(String, String)> {
        files
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect()
    }

    #[test]
    fn a_full_file_is_rotated_and_only_so_many_are_kept() {
        let mut log = Log::new(|settings| settings.max_backups = 2);
        for line in [
            "first\n",
            "abc\n",
            "second\n",
            "third\n",
            "fourth\n",
            "a line longer than a whole file\n",
            "end\n",
        ] {
            log.write(line);
        }
        let long = "a line longer than a whole file\n";
        assert_eq!(
            log.files(),
            owned(&[("a.log", "end\n"), ("a.log.1", long), ("a.log.2", "fourth\n")])
        );
    }

    #[test]
    fn an_old_file_is_rotated_however_small() {
        let mut log = Log::new(|settings| {
            settings.max_size = ByteSize::new(0);
            settings.max_age = Duration::from_secs(3600);
        });
        log.write("a\n");
        log.now += TimeDelta::minutes(59);
        log.write("b\n");
        log.now += TimeDelta::minutes(1);
        log.write("c\n");
        assert_eq!(log.files(), owned(&[("a.log", "c\n"), ("a.log.1", "a\nb\n")]));
        log.now += TimeDelta::hours(2);
        log.reopen();
        log.write("d\n");
        assert_eq!(
            log.files()[0],
            ("a.log".to_owned(), "d\n".to_owned()),
            "its age counts from its birth, not from the start"
        );
    }

    #[test]
    fn a_restart_goes_on_with_the_file() {
        let mut log = Log::new(|_| ());
        log.write("12345\n");
        log.reopen();
        log.write("123\n");
        log.write("x\n");
        assert_eq!(log.files(), owned(&[("a.log", "x\n"), ("a.log.1", "12345\n123\n")]));
    }

    #[test]
    fn packed_files_are_gzip_and_shift_with_plain_ones() {
        let mut log = Log::new(|_| ());
        log.write("plain....\n");
        log.write("packed...\n");
        log.file.settings.compress = true;
        log.write("now\n");
        log.write("1234567\n");
        assert_eq!(
            log.files(),
            owned(&[
                ("a.log", "1234567\n"),
                ("a.log.1.gz", "now\n"),
                ("a.log.2.gz", "packed...\n"),
                ("a.log.3", "plain....\n")
            ])
        );
    }

    #[test]
    fn with_no_backups_the_file_begins_anew() {
        let mut log = Log::new(|settings| settings.max_backups = 0);
        log.write("12345678\n");
        log.write("new\n");
        assert_eq!(log.files(), owned(&[("a.log", "new\n")]));
    }

    #[test]
    fn nothing_is_lost_where_it_cannot_rotate() {
        let mut log = Log::new(|settings| settings.max_backups = 1);
        let in_the_way = log.dir.path().join("logs/a.log.1/x");
        fs::create_dir_all(&in_the_way).unwrap();
        for line in ["12345678\n", "and\n", "more\n"] {
            log.write(line);
        }
        assert_eq!(
            fs::read_to_string(log.dir.path().join("logs/a.log")).unwrap(),
            "12345678\nand\nmore\n"
        );
        fs::remove_dir_all(in_the_way.parent().unwrap()).unwrap();
        log.now += RETRY;
        log.write("new\n");
        assert_eq!(
            log.files(),
            owned(&[("a.log", "new\n"), ("a.log.1", "12345678\nand\nmore\n")])
        );
    }

    #[test]
    fn a_file_that_somebody_took_away_is_begun_again() {
        let mut log = Log::new(|_| ());
        log.write("12345678\n");
        fs::remove_file(log.dir.path().join("logs/a.log")).unwrap();
        log.write("new\n");
        assert_eq!(log.files(), owned(&[("a.log", "new\n")]));
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let mut log = Log::new(|settings| settings.compress = true);
        log.write("12345678\n");
        log.write("new\n");
        for (name, _) in log.files() {
            let mode = fs::metadata(log.dir.path().join("logs").join(&name))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }
}
