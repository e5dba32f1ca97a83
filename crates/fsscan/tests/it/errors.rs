//! Directories that cannot be read, and mounts.
use crate::lab::Lab;
use fsscan::ErrorKind;
use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::Command,
};

const CHILD: &str = "FSSCAN_UNPRIVILEGED";

/// Runs a test of this binary again as a user to whom permissions mean something. True in that run, or where this one
/// already is such a user.
pub(crate) fn is_unprivileged(test: &str) -> bool {
    if std::env::var_os(CHILD).is_some() || !nix::unistd::geteuid().is_root() {
        return true;
    }
    // The binary may lie where nobody else may look, so a copy runs.
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let copy = dir.path().join("it");
    fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let mut command = Command::new(copy);
    command
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1")
        .env("TMPDIR", dir.path());
    let output = command.uid(65534).gid(65534).current_dir("/").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
    false
}

fn chmod(lab: &Lab, name: &str, mode: u32) {
    fs::set_permissions(lab.at(name), fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_cannot_be_read_is_reported_and_kept() {
    if !is_unprivileged("errors::what_cannot_be_read_is_reported_and_kept") {
        return;
    }
    let mut lab = Lab::new();
    for name in [
        "closed/file",
        "closed/deep/file",
        "listed/a",
        "listed/b",
        "listed/deep/c",
        "open/d",
    ] {
        lab.write(name, name);
    }
    assert_eq!(lab.scan().summary.created, 6);
    chmod(&lab, "closed", 0o000);
    // Readable but not searchable: names are seen, files are not.
    chmod(&lab, "listed", 0o444);
    fs::remove_file(lab.at("open/d")).unwrap();
    lab.write("open/e", "e");
    let told = lab.scan();
    assert_eq!(
        (told.summary.created, told.summary.deleted, told.events.len()),
        (1, 1, 2),
        "{:?}",
        told.events
    );
    let mut paths: Vec<_> = told.errors.iter().map(|error| error.path.clone()).collect();
    paths.sort();
    assert_eq!(
        paths,
        ["closed", "listed/a", "listed/b", "listed/deep"].map(|name| lab.path(name))
    );
    assert_eq!(told.summary.errors.get(&ErrorKind::Permission), Some(&4));
    assert_eq!(told.summary.first_errors.len(), 4);
    chmod(&lab, "closed", 0o755);
    chmod(&lab, "listed", 0o755);
    assert_eq!(lab.scan().events, []);
    lab.assert_true();
}

#[test]
fn contents_that_cannot_be_read_leave_the_metadata() {
    if !is_unprivileged("errors::contents_that_cannot_be_read_leave_the_metadata") {
        return;
    }
    let mut lab = Lab::new();
    lab.write("file", "x");
    chmod(&lab, "file", 0o000);
    lab.request.mode = fsscan::Mode::Hash {
        algorithm: fsscan::Algorithm::Sha256,
    };
    lab.request.first_errors = 0;
    let told = lab.scan();
    assert_eq!(
        (told.summary.created, told.errors.len(), told.summary.first_errors.len()),
        (1, 1, 0)
    );
    assert_eq!(lab.server.files[&lab.path("file")].hash, None);
}

#[test]
fn an_unreadable_root_is_left_alone() {
    if !is_unprivileged("errors::an_unreadable_root_is_left_alone") {
        return;
    }
    let mut lab = Lab::new();
    lab.write("file", "x");
    lab.scan();
    chmod(&lab, "", 0o000);
    let told = lab.scan();
    assert!(matches!(
        told.summary.roots[0].outcome,
        fsscan::RootOutcome::Unreadable { .. }
    ));
    let root = lab.at("");
    assert!(matches!(lab.accept(&root), fsscan::Accepted::NextScan { .. }));
    chmod(&lab, "", 0o755);
    assert_eq!((told.events, lab.scan().events), (vec![], vec![]));
}

/// Runs a test again in a mount namespace of its own. False, with a message, where that is not permitted.
pub(crate) fn is_in_namespace(test: &str) -> Option<bool> {
    const CHILD: &str = "FSSCAN_NAMESPACE";
    if std::env::var_os(CHILD).is_some() {
        return Some(true);
    }
    let probe = Command::new("unshare")
        .args(["--mount", "--map-root-user", "mount", "-t", "tmpfs", "x", "/mnt"])
        .output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        eprintln!("{test} is skipped: no mount namespace can be made here");
        return None;
    }
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--map-root-user"])
        .arg(std::env::current_exe().unwrap());
    let output = command
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
    Some(false)
}

pub(crate) fn mount_at(path: &Path) {
    let done = Command::new("mount")
        .args(["-t", "tmpfs", "x"])
        .arg(path)
        .status()
        .unwrap();
    assert!(done.success());
}

pub(crate) fn unmount_at(path: &Path) {
    assert!(Command::new("umount").arg(path).status().unwrap().success());
}

fn mount(lab: &Lab, name: &str) {
    mount_at(&lab.at(name));
}

fn unmount(lab: &Lab, name: &str) {
    unmount_at(&lab.at(name));
}

#[test]
fn one_file_system_ends_at_mounts() {
    if is_in_namespace("errors::one_file_system_ends_at_mounts") != Some(true) {
        return;
    }
    let mut lab = Lab::new();
    lab.write("here/file", "x");
    fs::create_dir(lab.at("mounted")).unwrap();
    mount(&lab, "mounted");
    lab.write("mounted/file", "x");
    lab.request.roots[0].one_file_system = true;
    let told = lab.scan();
    assert_eq!((told.summary.created, told.summary.ignored), (1, 1));
    lab.request.roots[0].one_file_system = false;
    assert_eq!(lab.scan().summary.created, 1);
    lab.assert_true();
    assert_eq!(lab.scan().events, []);
    unmount(&lab, "mounted");
}

#[test]
fn a_root_that_is_unmounted_or_mounted_over_is_no_deletion() {
    if is_in_namespace("errors::a_root_that_is_unmounted_or_mounted_over_is_no_deletion") != Some(true) {
        return;
    }
    let mut lab = Lab::new();
    mount(&lab, "");
    lab.write_many("a", 200);
    lab.scan();
    unmount(&lab, "");
    for _ in 0..2 {
        let told = lab.scan();
        assert_eq!(
            (told.events, &told.summary.roots[0].outcome),
            (vec![], &fsscan::RootOutcome::Foreign)
        );
    }
    mount(&lab, "");
    lab.write("stranger", "x");
    let told = lab.scan();
    assert_eq!(
        (told.events, &told.summary.roots[0].outcome),
        (vec![], &fsscan::RootOutcome::Foreign)
    );
    assert_eq!(lab.server.files.len(), 200);
    unmount(&lab, "");
}

#[test]
fn a_volume_inside_the_root_that_is_unmounted_is_held() {
    if is_in_namespace("errors::a_volume_inside_the_root_that_is_unmounted_is_held") != Some(true) {
        return;
    }
    let mut lab = Lab::new();
    lab.write_many("own", 900);
    fs::create_dir(lab.at("mounted")).unwrap();
    let volume = lab.dir().join("volume");
    fs::create_dir(&volume).unwrap();
    mount(&lab, "../volume");
    lab.write_many("../volume", 150);
    let bind = |lab: &Lab| {
        let mut command = Command::new("mount");
        assert!(
            command
                .arg("--bind")
                .arg(&volume)
                .arg(lab.at("mounted"))
                .status()
                .unwrap()
                .success()
        );
    };
    bind(&lab);
    assert_eq!(lab.scan().summary.created, 1050);
    unmount(&lab, "mounted");
    for _ in 0..2 {
        let told = lab.scan();
        assert_eq!((told.events, told.summary.held), (vec![], 150));
    }
    bind(&lab);
    let told = lab.scan();
    assert_eq!((told.events, told.summary.held), (vec![], 0));
    // With the volume there, what is gone of it is gone.
    for number in 0..120 {
        fs::remove_file(lab.at(&format!("mounted/{number}"))).unwrap();
    }
    assert_eq!(lab.scan().summary.deleted, 120);
    lab.assert_true();
    unmount(&lab, "mounted");
    unmount(&lab, "../volume");
}
