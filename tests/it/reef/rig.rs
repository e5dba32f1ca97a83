//! A clamd, an agent, and a tree.
use serde_json::Value;
use std::{
    fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};
use tempfile::TempDir;
use testkit::{Clamd, ClamdOptions, Daemon, Output, Program, eicar};

pub(super) struct Rig {
    pub(super) clamd: Clamd,
    folder: TempDir,
}

impl Rig {
    pub(super) fn new() -> Self {
        Self::with(ClamdOptions::default())
    }

    pub(super) fn with(options: ClamdOptions) -> Self {
        let rig = Self {
            clamd: Clamd::start(options).unwrap(),
            folder: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(rig.tree()).unwrap();
        rig
    }

    /// The folder with the configuration and the state.
    pub(super) fn home(&self) -> &Path {
        self.folder.path()
    }

    /// What is scanned.
    pub(super) fn tree(&self) -> PathBuf {
        self.folder.path().join("tree")
    }

    /// Writes a file of the tree, whose name may be any bytes.
    pub(super) fn write(&self, name: impl AsRef<std::ffi::OsStr>, content: &[u8]) {
        let path = self.tree().join(Path::new(name.as_ref()));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// So many small files without harm, no two alike.
    pub(super) fn fill(&self, files: usize) {
        for n in 0..files {
            self.write(
                format!("d{}/f{n}", n % 7),
                format!("harmless {n} ").repeat(200).as_bytes(),
            );
        }
    }

    pub(super) fn infect(&self, name: impl AsRef<std::ffi::OsStr>) {
        self.write(name, &eicar());
    }

    fn program(&self, args: &[&str]) -> Program {
        let endpoint = format!("clamd.endpoint=unix:{}", self.clamd.socket().display());
        Program::named("reef-agent")
            .unwrap()
            .args(args)
            .args(["--data-dir", "data"])
            // What a test says of clamd itself holds.
            .args(if args.iter().any(|arg| arg.starts_with("clamd.endpoint=")) {
                vec![]
            } else {
                vec!["--set", endpoint.as_str()]
            })
            .home(self.folder.path())
    }

    /// Gives it a configuration, with a rule `tree` over the tree that takes malware away; `more` follows in that rule's
    /// section, and may begin others.
    pub(super) fn configure(&self, more: &str) {
        let text = format!(
            "[clamd]\nendpoint = \"unix:{}\"\n[health]\nenabled = true\nport = 0\n[[rules]]\nname = \"tree\"\n\
             paths = [\"{}\"]\naction = \"quarantine\"\n{more}",
            self.clamd.socket().display(),
            self.tree().display()
        );
        fs::write(self.folder.path().join("reef.toml"), text).unwrap();
    }

    /// A command of the agent that goes by its configuration.
    pub(super) fn configured(&self, args: &[&str]) -> Program {
        Program::named("reef-agent")
            .unwrap()
            .args(args)
            .args(["--config", "reef.toml", "--data-dir", "data"])
            .home(self.folder.path())
    }

    /// The daemon, once it is up.
    pub(super) fn daemon(&self) -> Daemon {
        let daemon = self.configured(&["run"]).start().unwrap();
        daemon.wait_for_text("reef-agent is up").unwrap();
        daemon
    }

    /// What one of the agent's commands prints as a document.
    pub(super) fn json(&self, args: &[&str]) -> Value {
        let args = [args, &["--output", "json"]].concat();
        self.configured(&args).run().unwrap().success().unwrap().json().unwrap()
    }

    pub(super) fn run(&self, args: &[&str]) -> Output {
        self.program(args).run().unwrap()
    }

    pub(super) fn start(&self, args: &[&str]) -> Daemon {
        self.program(args).start().unwrap()
    }

    /// A scan of the tree, as a document.
    pub(super) fn scan(&self, code: i32, more: &[&str]) -> Value {
        let args = [&["scan", "tree", "--output", "json"], more].concat();
        let output = self.run(&args).assert_code(code);
        output.json().unwrap()
    }
}

/// Files that ended so.
pub(super) fn files(report: &Value, end: &str) -> u64 {
    report["account"][end]["files"].as_u64().unwrap()
}

/// The paths in which malware was found, and by what signature, sorted.
pub(super) fn detections(report: &Value) -> Vec<(Vec<u8>, String)> {
    use base64::Engine as _;
    let found = report["detections"].as_array().unwrap().iter().map(|detection| {
        let raw = detection["path_raw"].as_str();
        let raw = raw.map(|raw| base64::engine::general_purpose::STANDARD.decode(raw).unwrap());
        let path = raw.unwrap_or_else(|| detection["path"].as_str().unwrap().as_bytes().to_vec());
        (path, detection["signatures"][0].as_str().unwrap().to_owned())
    });
    let mut found: Vec<_> = found.collect();
    found.sort();
    found
}

/// The path of a name in the tree.
pub(super) fn bytes(path: &Path) -> Vec<u8> {
    path.as_os_str().as_bytes().to_vec()
}
