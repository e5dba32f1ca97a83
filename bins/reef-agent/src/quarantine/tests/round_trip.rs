//! A file goes and comes back as it was.
use super::*;
use crate::quarantine::{RestoreError, Target};
use std::os::unix::fs::{PermissionsExt as _, symlink};

#[test]
fn a_file_comes_back_with_content_mode_and_times_to_the_nanosecond() {
    let site = site();
    let content = [b"\x7fELF".as_slice(), &[0x90; 200_000]].concat();
    let path = site.write("tool", &content);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4751)).unwrap();
    let before = whole(&path);
    assert_eq!(before.mode & 0o7777, 0o4751);
    // Reading moved the time of access: put it back, so that it is that of the file and not of this test.
    let path = site.write("tool", &content);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4751)).unwrap();

    let quarantine = site.open();
    let item = scan(&path).take(&quarantine).unwrap();
    assert!(item.is_settled && !path.exists() && site.names().is_empty());
    assert_eq!(quarantine.list().unwrap().items, std::slice::from_ref(&item));

    let restored = quarantine.restore(&item.manifest.id, &Target::default()).unwrap();
    assert_eq!(restored.missing, []);
    assert_eq!(restored.path.to_path(), path);
    assert_eq!(whole(&path), before);
    assert_eq!(site.names(), ["tool"]);
    assert_eq!(site.stored(), [""; 0]);
}

#[test]
fn what_is_in_the_store_cannot_be_run_read_by_others_or_recognised() {
    let site = site();
    let content = b"<?php system($_GET['c']); ?>".repeat(50);
    let path = site.write("shell.php", &content);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    let item = scan(&path).take(&site.open()).unwrap();
    let id = item.manifest.id;
    assert_eq!(site.stored(), [format!("{id}.data"), format!("{id}.json")]);
    let mode = |path: &Path| path.metadata().unwrap().mode() & 0o7777;
    assert_eq!(mode(&site.store), 0o700);
    for name in site.stored().into_iter().chain(["key".to_owned(), "lock".to_owned()]) {
        let file = site.store.join(&name);
        assert_eq!(mode(&file), 0o600, "{name}");
        let bytes = fs::read(file).unwrap();
        assert!(!bytes.windows(8).any(|window| window == &content[..8]), "{name}");
    }
}

#[test]
fn names_that_break_programs_go_and_come_back() {
    let site = site();
    let files = testkit::nasty_files(&site.files).unwrap();
    let quarantine = site.open();
    for file in &files {
        let item = scan(&file.path)
            .take(&quarantine)
            .unwrap_or_else(|error| panic!("{}: {error:?}", file.what));
        assert!(!file.path.exists(), "{}", file.what);
        let manifest = quarantine.get(&item.manifest.id).unwrap().manifest;
        assert_eq!(manifest.path.to_path(), file.path, "{}", file.what);
    }
    for item in quarantine.list().unwrap().items {
        quarantine.restore(&item.manifest.id, &Target::default()).unwrap();
    }
    for file in &files {
        assert_eq!(fs::read(&file.path).unwrap(), file.what.as_bytes(), "{}", file.what);
    }
}

#[test]
fn a_file_is_found_through_the_handle_of_a_root_that_is_a_link() {
    let site = site();
    fs::create_dir_all(site.files.join("real/deep")).unwrap();
    symlink(site.files.join("real"), site.files.join("link")).unwrap();
    site.write("real/deep/file", b"content");
    let path = site.files.join("link/deep/file");
    let (root, scanned) = (site.files.join("link"), scan(&path));
    let handle = std::os::fd::OwnedFd::from(File::open(&root).unwrap());
    let quarantine = site.open();
    let taken = Taken {
        root: Some((&handle, &root)),
        ..scanned.taken()
    };
    let item = quarantine.take(&taken, at(1_700_000_001)).unwrap();
    assert_eq!(item.manifest.path.to_path(), path);
    // It comes back although the path as it was scanned leads through a link.
    quarantine.restore(&item.manifest.id, &Target::default()).unwrap();
    assert_eq!(fs::read(site.files.join("real/deep/file")).unwrap(), b"content");
}

#[test]
fn the_position_of_the_descriptor_does_not_matter_and_does_not_move() {
    use std::io::{Seek as _, SeekFrom};
    let site = site();
    let mut scanned = scan(&site.write("file", b"0123456789"));
    scanned.file.seek(SeekFrom::Start(7)).unwrap();
    let quarantine = site.open();
    let item = scanned.take(&quarantine).unwrap();
    assert_eq!(scanned.file.stream_position().unwrap(), 7);
    let mut out = Vec::new();
    assert_eq!(quarantine.copy_out(&item.manifest.id, &mut out).unwrap(), item);
    assert_eq!(out, b"0123456789");
    assert_eq!(
        quarantine.list().unwrap().items,
        [item],
        "handing out takes nothing away"
    );
}

#[test]
fn nothing_is_restored_over_what_is_there_unless_by_force() {
    let site = site();
    let (path, other) = (site.write("file", b"bad"), site.write("other", b"other"));
    let quarantine = site.open();
    let id = scan(&path).take(&quarantine).unwrap().manifest.id;
    let refused = |target: &Target<'_>| quarantine.restore(&id, target).unwrap_err();

    site.write("file", b"good");
    assert!(matches!(refused(&Target::default()), RestoreError::Occupied { .. }));
    assert_eq!(fs::read(&path).unwrap(), b"good");
    fs::remove_file(&path).unwrap();
    symlink("nowhere", &path).unwrap();
    assert!(
        matches!(refused(&Target::default()), RestoreError::Occupied { .. }),
        "a link counts"
    );
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let over = Target { force: true, to: None };
    assert!(matches!(refused(&over), RestoreError::Directory { .. }));
    fs::remove_dir(&path).unwrap();

    symlink(&other, &path).unwrap();
    quarantine.restore(&id, &over).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"bad");
    assert!(
        path.symlink_metadata().unwrap().is_file(),
        "the link itself was replaced"
    );
    assert_eq!(fs::read(&other).unwrap(), b"other", "not what it led to");
    assert_eq!(site.names(), ["file", "other"]);
}

#[test]
fn a_file_is_restored_elsewhere_where_the_directory_is_there() {
    let site = site();
    let path = site.write("file", b"content");
    let quarantine = site.open();
    let id = scan(&path).take(&quarantine).unwrap().manifest.id;
    for to in [site.files.join("no/such"), site.files.join("")] {
        let target = Target {
            to: Some(&to),
            force: true,
        };
        quarantine.restore(&id, &target).unwrap_err();
    }
    let to = site.files.join("copy");
    let target = Target {
        to: Some(&to),
        force: false,
    };
    let restored = quarantine.restore(&id, &target).unwrap();
    assert_eq!(restored.path.to_path(), to);
    assert_eq!(fs::read(to).unwrap(), b"content");
    assert_eq!((site.names(), site.stored()), (vec!["copy".to_owned()], vec![]));
}

#[test]
fn a_place_that_is_reached_by_a_link_now_is_not_restored_to() {
    let site = site();
    for dir in ["dir", "secret"] {
        fs::create_dir(site.files.join(dir)).unwrap();
    }
    let quarantine = site.open();
    let id = scan(&site.write("dir/file", b"content"))
        .take(&quarantine)
        .unwrap()
        .manifest
        .id;
    fs::remove_dir(site.files.join("dir")).unwrap();
    let refused = || quarantine.restore(&id, &Target::default()).unwrap_err();
    assert!(matches!(refused(), RestoreError::NoDirectory { .. }));
    symlink("secret", site.files.join("dir")).unwrap();
    assert!(matches!(refused(), RestoreError::NoDirectory { .. }));
    assert_eq!(names_in(&site.files.join("secret")), [""; 0]);
    assert!(quarantine.get(&id).is_ok());
}

#[test]
fn a_damaged_content_is_not_restored_and_stays() {
    let site = site();
    let path = site.write("file", &[7; 100_000]);
    let quarantine = site.open();
    let id = scan(&path).take(&quarantine).unwrap().manifest.id;
    let data = site.store.join(format!("{id}.data"));
    let mut bytes = fs::read(&data).unwrap();
    bytes[80_000] ^= 1;
    fs::write(&data, &bytes).unwrap();
    let refused = quarantine.restore(&id, &Target::default()).unwrap_err();
    assert!(matches!(refused, RestoreError::Damaged { .. }), "{refused:?}");
    assert_eq!(site.names(), [""; 0], "not even a part of it");
    assert!(matches!(
        quarantine.copy_out(&id, &mut std::io::sink()),
        Err(RestoreError::Damaged { .. })
    ));
    assert_eq!(site.stored(), [format!("{id}.data"), format!("{id}.json")]);
    bytes[80_000] ^= 1;
    fs::write(&data, &bytes).unwrap();
    quarantine.restore(&id, &Target::default()).unwrap();
    assert_eq!(fs::read(&path).unwrap(), [7; 100_000]);
}
