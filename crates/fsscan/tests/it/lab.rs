//! A directory, a tree that knows it, and a model server that hears of it.
use chrono::{DateTime, Utc};
use fsscan::{
    Accepted, PathError, RootRequest, ScanRequest, Summary, accept, scan,
    testing::{Captured, Event, MemoryTree, ModelServer, ServerEncoder, Snapshot},
};
use std::{
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

pub(crate) struct Lab {
    dir: tempfile::TempDir,
    pub(crate) tree: MemoryTree,
    pub(crate) server: ModelServer,
    pub(crate) request: ScanRequest,
}

pub(crate) struct Told {
    pub(crate) summary: Summary,
    pub(crate) events: Vec<Event>,
    pub(crate) errors: Vec<PathError>,
}

impl Lab {
    /// One root, `root`, in a directory of its own.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("root")).unwrap();
        let request = ScanRequest::new(vec![RootRequest::new(dir.path().join("root"))]);
        Self {
            dir,
            tree: MemoryTree::default(),
            server: ModelServer::default(),
            request,
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A path in the root.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join("root").join(name)
    }

    pub(crate) fn path(&self, name: &str) -> Vec<u8> {
        self.at(name).as_os_str().as_bytes().to_vec()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.at(name).parent().unwrap()).unwrap();
        fs::write(self.at(name), text).unwrap();
    }

    pub(crate) fn write_many(&self, dir: &str, count: usize) {
        for number in 0..count {
            self.write(&format!("{dir}/{number}"), "x");
        }
    }

    pub(crate) fn scan_until(&mut self, stop: &AtomicBool) -> Told {
        let captured = Captured::default();
        let now = DateTime::<Utc>::UNIX_EPOCH;
        let summary = scan(&mut self.tree, &self.request, &mut ServerEncoder, &captured, now, stop).unwrap();
        self.server.apply(&self.tree.take_runs()).unwrap();
        Told {
            summary,
            events: captured.events(),
            errors: captured.errors(),
        }
    }

    pub(crate) fn scan(&mut self) -> Told {
        self.scan_until(&AtomicBool::new(false))
    }

    pub(crate) fn accept(&mut self, root: &Path) -> Accepted {
        let now = DateTime::<Utc>::UNIX_EPOCH;
        let accepted = accept(&mut self.tree, root, &self.request, &mut ServerEncoder, now).unwrap();
        self.server.apply(&self.tree.take_runs()).unwrap();
        accepted
    }

    /// The server holds what is in the root, and the tree owes nothing.
    #[track_caller]
    pub(crate) fn assert_true(&self) {
        let truth = Snapshot::take(&self.at("")).unwrap().files();
        let mut held = self.server.files.clone();
        held.values_mut().for_each(|file| file.hash = None);
        assert_eq!(held, truth);
        assert_eq!(self.tree.undecided(), []);
    }
}
