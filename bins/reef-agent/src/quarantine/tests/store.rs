//! The directory itself, and items in it.
use super::*;
use crate::quarantine::{ItemError, ItemId, OpenError, Target};
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn what_is_no_malware_is_not_taken() {
    let site = site();
    let path = site.write("file", b"good");
    let quarantine = site.open();
    for names in [vec![], vec!["Heuristics.Limits.Exceeded.MaxFileSize".to_owned()]] {
        let mut scanned = scan(&path);
        scanned.signatures = names;
        assert!(matches!(scanned.take(&quarantine), Err(TakeError::NotMalware { .. })));
    }
    let scanned = scan(&path);
    let other = "0".repeat(64);
    let taken = Taken {
        sha256: Some(&other),
        ..scanned.taken()
    };
    assert!(
        matches!(quarantine.take(&taken, at(1)), Err(TakeError::Changed { .. })),
        "another content was scanned"
    );
    assert_eq!((site.names().len(), site.stored().len()), (1, 0));
}

#[test]
fn what_is_no_regular_file_is_not_taken() {
    let site = site();
    let dir = scan(&site.files);
    assert!(matches!(dir.take(&site.open()), Err(TakeError::NotAFile { .. })));
    for path in ["relative", "/", "/a/..", "/a/."] {
        let mut scanned = scan(&site.write("file", b"bad"));
        scanned.path = PathBuf::from(path);
        assert!(
            matches!(scanned.take(&site.open()), Err(TakeError::NotAFile { .. })),
            "{path}"
        );
    }
}

#[test]
fn a_quarantine_that_others_could_look_into_is_closed_to_them() {
    let site = site();
    fs::create_dir_all(&site.store).unwrap();
    fs::set_permissions(&site.store, fs::Permissions::from_mode(0o755)).unwrap();
    site.open();
    assert_eq!(site.store.metadata().unwrap().mode() & 0o7777, 0o700);
}

#[test]
fn a_directory_of_somebody_else_is_no_quarantine() {
    if !is_root() {
        eprintln!("skipped: only root gives a directory away");
        return;
    }
    let site = site();
    fs::create_dir_all(&site.store).unwrap();
    std::os::unix::fs::chown(&site.store, Some(4321), None).unwrap();
    let refused = Quarantine::open(&site.store).err().unwrap();
    assert!(matches!(refused, OpenError::Foreign { owner: 4321, .. }), "{refused:?}");
}

#[test]
fn a_key_that_is_gone_or_cut_is_said_and_never_made_anew_over_items() {
    let site = site();
    let item = scan(&site.write("file", b"bad")).take(&site.open()).unwrap();
    let key = site.store.join("key");
    let saved = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    assert!(matches!(
        Quarantine::open(&site.store).err(),
        Some(OpenError::KeyMissing { .. })
    ));
    assert!(!key.exists());
    fs::write(&key, &saved[1..]).unwrap();
    assert!(matches!(
        Quarantine::open(&site.store).err(),
        Some(OpenError::KeyDamaged { .. })
    ));
    fs::write(&key, saved).unwrap();
    site.open().restore(&item.manifest.id, &Target::default()).unwrap();
}

#[test]
fn all_who_open_a_new_quarantine_at_once_have_the_same_key() {
    let site = site();
    let start = std::sync::Barrier::new(8);
    let keys: Vec<_> = std::thread::scope(|scope| {
        let open = || {
            start.wait();
            site.open().store.key
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(keys.iter().all(|key| *key == keys[0]));
    assert_eq!(names_in(&site.store), ["key", "lock"]);
}

#[test]
fn only_what_lies_longer_than_it_is_kept_is_swept() {
    let site = site();
    let quarantine = site.open();
    let mut ids = Vec::new();
    for (name, taken_at) in [("old", 1000), ("young", 2000), ("ahead", 9000)] {
        let scanned = scan(&site.write(name, b"bad"));
        ids.push(quarantine.take(&scanned.taken(), at(taken_at)).unwrap().manifest.id);
    }
    let swept = quarantine.sweep(Duration::from_secs(1000), at(2500)).unwrap();
    assert_eq!(swept.iter().map(|item| item.manifest.id).collect::<Vec<_>>(), ids[..1]);
    assert_eq!(quarantine.ids().unwrap(), ids[1..]);
    assert_eq!(site.stored().len(), 4);
}

#[test]
fn what_is_deleted_is_gone_and_what_is_held_is_busy() {
    let site = site();
    let quarantine = site.open();
    let id = scan(&site.write("file", b"bad")).take(&quarantine).unwrap().manifest.id;
    let claimed = quarantine.store.claim(&id).unwrap();
    assert!(matches!(quarantine.delete(&id), Err(ItemError::Busy(_))));
    quarantine.restore(&id, &Target::default()).unwrap_err();
    drop(claimed);
    quarantine.delete(&id).unwrap();
    assert_eq!(site.stored(), [""; 0]);
    assert!(matches!(quarantine.delete(&id), Err(ItemError::Unknown(_))));
    let unknown = ItemId::new(at(1)).unwrap();
    assert!(matches!(quarantine.get(&unknown), Err(ItemError::Unknown(_))));
}

#[test]
fn a_damaged_manifest_hides_no_other_item() {
    let site = site();
    let quarantine = site.open();
    let [bad, good] = ["a", "b"].map(|name| scan(&site.write(name, b"bad")).take(&quarantine).unwrap().manifest.id);
    fs::write(site.store.join(format!("{bad}.json")), "{").unwrap();
    let listing = site.open().list().unwrap();
    assert_eq!(
        listing.items.iter().map(|item| item.manifest.id).collect::<Vec<_>>(),
        [good]
    );
    assert!(matches!(&listing.damaged[..], [ItemError::Manifest { id, .. }] if *id == bad));
    quarantine.delete(&bad).unwrap();
    assert_eq!(site.stored(), [format!("{good}.data"), format!("{good}.json")]);
}

#[test]
fn content_whose_item_is_deleted_goes_with_the_next_opening() {
    let site = site();
    let id = scan(&site.write("file", b"bad"))
        .take(&site.open())
        .unwrap()
        .manifest
        .id;
    fs::remove_file(site.store.join(format!("{id}.json"))).unwrap();
    site.open();
    assert_eq!(site.stored(), [""; 0]);
}
