//! Owner, extended attributes, and who may put them back.
use super::*;
use crate::quarantine::Target;
use rustix::{
    fs::XattrFlags,
    process::{Gid, Uid},
};
use std::os::unix::fs::{PermissionsExt as _, chown};

/// `cap_net_raw+ep`, as the kernel writes it.
const NET_RAW: [u8; 20] = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// An access control list as the kernel writes it: rights of owner, user 4321, group, mask and others.
fn acl() -> Vec<u8> {
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, rights, id) in [
        (1_u16, 7_u16, u32::MAX),
        (2, 5, 4321),
        (4, 4, u32::MAX),
        (16, 5, u32::MAX),
        (32, 0, u32::MAX),
    ] {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(rights.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

fn set(path: &Path, name: &str, value: &[u8]) -> bool {
    match rustix::fs::setxattr(path, name, value, XattrFlags::empty()) {
        Ok(()) => true,
        Err(error) => {
            eprintln!("skipped: `{name}` cannot be set here: {error}");
            false
        }
    }
}

/// Makes a file with all attributes that can be had here, and says which extended ones.
fn adorned(site: &Site) -> (PathBuf, Vec<&'static str>) {
    let path = site.write("file", b"content");
    if is_root() {
        chown(&path, Some(4321), Some(5432)).unwrap();
    } else {
        eprintln!("skipped: only root gives a file away");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o6750)).unwrap();
    let acl = acl();
    let wanted: [(&str, &[u8]); 5] = [
        ("user.origin", b"https://example.org/\xff\x00"),
        ("user.empty", b""),
        ("system.posix_acl_access", &acl),
        ("security.capability", &NET_RAW),
        ("trusted.shoal", b"known to root alone"),
    ];
    let set = wanted
        .into_iter()
        .filter(|(name, value)| set(&path, name, value))
        .map(|(name, _)| name);
    let set = set.collect();
    (path, set)
}

#[test]
fn owner_lists_capabilities_and_attributes_come_back() {
    let site = site();
    let (path, names) = adorned(&site);
    let before = whole(&path);
    assert!(names.iter().all(|name| before.xattrs.contains_key(*name)), "{before:?}");
    fs::remove_file(&path).unwrap();
    let (path, _) = adorned(&site);
    let quarantine = site.open();
    let id = scan(&path).take(&quarantine).unwrap().manifest.id;
    let restored = quarantine.restore(&id, &Target::default()).unwrap();
    assert_eq!(restored.missing, []);
    assert_eq!(whole(&path), before);
}

#[test]
fn a_file_does_not_inherit_rights_from_its_directory_when_it_comes_back() {
    let site = site();
    if !set(&site.files, "system.posix_acl_default", &acl()) {
        return;
    }
    let path = site.write("file", b"content");
    rustix::fs::removexattr(&path, "system.posix_acl_access").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let quarantine = site.open();
    let id = scan(&path).take(&quarantine).unwrap().manifest.id;
    quarantine.restore(&id, &Target::default()).unwrap();
    let after = whole(&path);
    assert_eq!((after.xattrs.len(), after.mode & 0o7777), (0, 0o640));
}

#[test]
fn who_may_not_give_files_away_is_told_and_lends_nobody_rights() {
    if !is_root() {
        eprintln!("skipped: only root makes a file of another's");
        return;
    }
    let site = site();
    let (path, names) = adorned(&site);
    let id = scan(&path).take(&site.open()).unwrap().manifest.id;
    // The quarantine and the directory are given to somebody who is not the owner of the file.
    for place in [&site.files, &site.store]
        .into_iter()
        .cloned()
        .chain(names_in(&site.store).iter().map(|name| site.store.join(name)))
    {
        chown(place, Some(6543), Some(6543)).unwrap();
    }
    for above in [&site.files, &site.store] {
        fs::set_permissions(above.parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let restored = std::thread::scope(|scope| {
        let as_somebody = || {
            // Of this thread alone, by the kernel's own calls.
            rustix::thread::set_thread_groups(&[]).unwrap();
            rustix::thread::set_thread_gid(Gid::from_raw(6543)).unwrap();
            rustix::thread::set_thread_uid(Uid::from_raw(6543)).unwrap();
            site.open().restore(&id, &Target::default()).unwrap()
        };
        scope.spawn(as_somebody).join().unwrap()
    });
    let missing: Vec<&str> = restored
        .missing
        .iter()
        .map(|missing| missing.attribute.as_str())
        .collect();
    assert_eq!(missing[..2], ["owner", "group"], "{missing:?}");
    assert!(missing.contains(&"mode"), "{missing:?}");
    for name in ["security.capability", "trusted.shoal"] {
        assert_eq!(missing.contains(&name), names.contains(&name), "{name}");
    }
    let after = whole(&path);
    assert_eq!(
        (after.mode & 0o7777, after.owner),
        (0o750, (6543, 6543)),
        "neither set-user-ID nor set-group-ID"
    );
    assert_eq!(after.sha256, sha256(b"content"));
}
