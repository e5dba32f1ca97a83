//! The places that are looked through for secrets.
use e2e::Part;
use flate2::read::MultiGzDecoder;
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
};
use testkit::{Daemon, Output};

/// Something that nobody may see, and where it may stand all the same.
pub(super) struct Secret {
    pub(super) name: &'static str,
    pub(super) value: String,
    /// Endings of the names of places.
    pub(super) allowed: &'static [&'static str],
}

/// What was looked through, by name.
pub(super) struct Places(Vec<(String, Vec<u8>)>);

impl Places {
    /// Nothing yet.
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a place.
    pub(super) fn add(&mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.push((name.into(), bytes.into()));
    }

    /// Adds what a command printed.
    pub(super) fn output(&mut self, output: &Output) {
        let text = format!("{}\n{}", output.stdout(), output.stderr());
        self.add(format!("output {}", self.0.len()), text);
    }

    /// All that a file system holds below `folder`, packed files as they are unpacked.
    pub(super) fn files(&mut self, folder: &Path) {
        for path in files(folder) {
            let bytes = fs::read(&path).unwrap();
            if path.extension().is_some_and(|extension| extension == "gz") {
                let mut plain = Vec::new();
                MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut plain).unwrap();
                self.add(path.display().to_string(), plain);
            } else {
                self.add(path.display().to_string(), bytes);
            }
        }
    }

    /// Adds what passed on the wire.
    pub(super) fn wire(&mut self, parts: Vec<Part>) {
        for Part { route, part, bytes } in parts {
            self.add(format!("wire {route} {part}"), bytes);
        }
    }

    /// Each secret in each place where it may not stand.
    pub(super) fn leaks(&self, secrets: &[Secret]) -> BTreeSet<String> {
        let mut leaks = BTreeSet::new();
        for (place, bytes) in &self.0 {
            let text = String::from_utf8_lossy(bytes);
            for secret in secrets {
                let is_allowed = secret.allowed.iter().any(|ending| place.ends_with(ending));
                if !is_allowed && text.contains(&secret.value) {
                    leaks.insert(format!("{} in {place}", secret.name));
                }
            }
        }
        leaks
    }

    /// Whether a secret stands in a place of this name, so that the look was at the right thing.
    pub(super) fn holds(&self, ending: &str, secret: &str) -> bool {
        let mut places = self.0.iter().filter(|(place, _)| place.ends_with(ending));
        places.any(|(_, bytes)| String::from_utf8_lossy(bytes).contains(secret))
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files(&entry.path()));
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found
}

/// What a daemon has said, from before its end, which removes the files.
pub(super) struct Said(Vec<(&'static str, File)>);

impl Said {
    /// From now on until it is asked for.
    pub(super) fn of(daemon: &Daemon) -> Self {
        let open = |path| File::open(path).unwrap();
        Self(vec![
            ("stdout", open(daemon.stdout_file())),
            ("stderr", open(daemon.stderr_file())),
        ])
    }

    /// Adds it all to `places`.
    pub(super) fn into(self, name: &str, places: &mut Places) {
        for (stream, mut file) in self.0 {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).unwrap();
            places.add(format!("{name} {stream}"), bytes);
        }
    }
}
