//! Which files are found, and who is told to have named them.
use daemon_kit::{ConfigFinder, FindError, Found, NamedBy, Surroundings};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

const FINDER: ConfigFinder = ConfigFinder {
    product: "scanner",
    prefix: "SCANNER",
};

/// A machine of its own: `etc`, `var` and `home` in a temporary directory.
struct Machine {
    dir: TempDir,
    around: Surroundings,
}

impl Machine {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut around = Surroundings {
            system_config: dir.path().join("etc"),
            system_state: dir.path().join("var"),
            hostname: "host-1".to_owned(),
            ..Surroundings::default()
        };
        around
            .variables
            .insert("HOME".to_owned(), dir.path().join("home").display().to_string());
        Self { dir, around }
    }

    fn file(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        path
    }

    fn set(&mut self, name: &str, path: &Path) {
        self.around
            .variables
            .insert(name.to_owned(), path.display().to_string());
    }

    fn find(&self, option: Option<&Path>) -> Result<Found, FindError> {
        FINDER.find(option, &self.around)
    }

    fn found(&self, option: Option<&Path>) -> (PathBuf, NamedBy) {
        let file = self.find(option).unwrap().config.unwrap();
        (file.path, file.named_by)
    }
}

#[test]
fn the_first_of_five_places_wins() {
    let mut machine = Machine::new();
    assert_eq!(
        machine.find(None).unwrap(),
        Found::default(),
        "nothing there is no error"
    );
    let system = machine.file("etc/scanner/config.json");
    assert_eq!(machine.found(None), (system, NamedBy::SystemDirectory));
    let user = machine.file("home/.config/scanner/config.yml");
    assert_eq!(machine.found(None), (user, NamedBy::UserDirectory));
    let xdg = machine.file("xdg/scanner/config.yaml");
    machine.set("XDG_CONFIG_HOME", &machine.dir.path().join("xdg"));
    assert_eq!(machine.found(None), (xdg, NamedBy::UserDirectory));
    let second = machine.file("b.toml");
    machine.set("SCANNER_CONFIG_PATH", &second);
    assert_eq!(
        machine.found(None),
        (second, NamedBy::Variable("SCANNER_CONFIG_PATH".to_owned()))
    );
    let first = machine.file("a.toml");
    machine.set("SCANNER_CONFIG", &first);
    assert_eq!(
        machine.found(None),
        (first, NamedBy::Variable("SCANNER_CONFIG".to_owned()))
    );
    let option = machine.file("o.toml");
    assert_eq!(machine.found(Some(&option)), (option.clone(), NamedBy::Option));
}

#[test]
fn an_empty_variable_and_a_relative_xdg_directory_name_nothing() {
    let mut machine = Machine::new();
    machine.set("SCANNER_CONFIG", Path::new(""));
    machine.set("XDG_CONFIG_HOME", Path::new("relative"));
    let user = machine.file("home/.config/scanner/config.toml");
    assert_eq!(machine.found(None).0, user);
}

#[test]
fn a_named_file_that_is_missing_says_who_named_it() {
    let mut machine = Machine::new();
    machine.file("etc/scanner/config.toml");
    let gone = machine.dir.path().join("gone.toml");
    let error = machine.find(Some(&gone)).unwrap_err().to_string();
    assert!(
        error.contains("gone.toml") && error.contains("named by --config"),
        "{error}"
    );
    machine.set("SCANNER_CONFIG_PATH", &gone);
    let error = machine.find(None).unwrap_err().to_string();
    assert!(error.contains("named by SCANNER_CONFIG_PATH"), "{error}");
}

#[test]
fn two_files_side_by_side_are_refused() {
    let machine = Machine::new();
    machine.file("etc/scanner/config.toml");
    machine.file("etc/scanner/config.yaml");
    let error = machine.find(None).unwrap_err();
    assert!(matches!(&error, FindError::Two { .. }), "{error}");
    assert!(
        error.to_string().contains("config.toml") && error.to_string().contains("config.yaml"),
        "{error}"
    );
}

#[test]
fn a_directory_or_an_unknown_extension_is_no_configuration() {
    let machine = Machine::new();
    let odd = machine.file("scanner.conf");
    for path in [machine.dir.path(), odd.as_path()] {
        assert!(matches!(machine.find(Some(path)), Err(FindError::Format { .. })));
    }
}

#[test]
fn the_env_file_beside_the_configuration_counts_and_no_other() {
    let machine = Machine::new();
    fs::write(machine.file("etc/scanner/env"), "SCANNER_LOG_LEVEL=debug\n").unwrap();
    let alone = machine.find(None).unwrap();
    assert!(alone.config.is_none(), "an env file needs no configuration file");
    assert_eq!(alone.env.unwrap().variables["SCANNER_LOG_LEVEL"], "debug");
    machine.file("home/.config/scanner/config.toml");
    assert!(
        machine.find(None).unwrap().env.is_none(),
        "that of another configuration is left alone"
    );
}

#[test]
fn values_of_an_env_file_are_not_shown() {
    let machine = Machine::new();
    let env = machine.file("etc/scanner/env");
    fs::write(&env, "SCANNER_NAME=hunter2\n").unwrap();
    let shown = format!("{:?}", machine.find(None).unwrap());
    assert!(shown.contains("SCANNER_NAME") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn the_data_directory_is_named_or_the_user_s_or_the_system_s() {
    let mut machine = Machine::new();
    let dir = |machine: &Machine, option: Option<&Path>| {
        let found = FINDER
            .data_dir("scanner", option, &machine.around.variables, &machine.around)
            .unwrap();
        (
            found.path.strip_prefix(machine.dir.path()).unwrap().to_owned(),
            found.is_named,
        )
    };
    assert_eq!(dir(&machine, None), (PathBuf::from("home/.local/state/scanner"), false));
    machine.around.is_root = true;
    assert_eq!(dir(&machine, None), (PathBuf::from("var/scanner"), false));
    machine.set("SCANNER_DATA_DIR", &machine.dir.path().join("d"));
    assert_eq!(dir(&machine, None), (PathBuf::from("d"), true));
    assert_eq!(
        dir(&machine, Some(&machine.dir.path().join("o"))),
        (PathBuf::from("o"), true)
    );
    let bare = Surroundings::default();
    let error = FINDER
        .data_dir("scanner", None, &bare.variables, &bare)
        .unwrap_err()
        .to_string();
    assert!(error.contains("SCANNER_DATA_DIR") && error.contains("HOME"), "{error}");
}

#[test]
fn this_process_has_surroundings() {
    let around = Surroundings::of_this_process();
    assert!(!around.hostname.is_empty());
    assert!(around.variable("PATH").is_some());
}
