//! The log of a daemon, read on from where it was last read.
use std::cell::Cell;
use testkit::Daemon;

/// What a daemon says of its configuration, one event after another.
pub(crate) struct DaemonLog<'a> {
    daemon: &'a Daemon,
    /// How many lines were read.
    read: usize,
}

impl<'a> DaemonLog<'a> {
    /// From here on: what was said before is passed over.
    pub(crate) fn new(daemon: &'a Daemon) -> Self {
        let read = daemon.lines().len();
        Self { daemon, read }
    }

    /// The next line for which `find` gives something.
    pub(crate) fn next<T>(&mut self, what: &str, mut find: impl FnMut(&str) -> Option<T>) -> T {
        let (number, read) = (Cell::new(0), self.read);
        let found = self.daemon.wait_for(what, |line| {
            number.set(number.get() + 1);
            if number.get() <= read { None } else { find(line) }
        });
        self.read = number.get();
        found.unwrap()
    }

    /// The cause and the changed keys of the next configuration that took effect.
    pub(crate) fn reloaded(&mut self) -> (String, Vec<String>) {
        self.next("a configuration in force", |line| {
            let (_, fields) = line.split_once("the configuration was loaded anew")?;
            let (_, cause) = fields.split_once("cause=")?;
            Some((cause.split_whitespace().next()?.to_owned(), list(fields, "changed=")?))
        })
    }

    /// The keys that are said to need a restart.
    pub(crate) fn needs_restart(&mut self) -> Vec<String> {
        self.next("keys that need a restart", |line| {
            let (_, fields) = line.split_once("in force after a restart only")?;
            list(fields, "keys=")
        })
    }

    /// What the next refusal of a configuration says.
    pub(crate) fn refused(&mut self) -> String {
        self.next("a refusal", |line| {
            line.contains("the running one stays").then(|| line.to_owned())
        })
    }
}

/// The words of a list of text, which a line of the log holds as `name=["a","b"]`.
fn list(fields: &str, name: &str) -> Option<Vec<String>> {
    let (_, list) = fields.split_once(name)?;
    let (list, _) = list.strip_prefix('[')?.split_once(']')?;
    let words = list.split(',').filter(|word| !word.is_empty());
    Some(words.map(|word| word.trim_matches('"').to_owned()).collect())
}
