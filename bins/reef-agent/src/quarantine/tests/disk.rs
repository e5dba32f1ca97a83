//! File systems that are full, small or shut.
use super::*;
use crate::quarantine::{
    Failed,
    take::{STEPS, Step, Taking},
};
use std::io::{ErrorKind, Write as _};
use testkit::Program;

/// A small file system, gone when this is dropped.
struct Mount(PathBuf);

impl Mount {
    /// `None`, and a word about it, where whoever runs the test may not mount.
    fn new(place: &Path, options: &str) -> Option<Self> {
        fs::create_dir_all(place).unwrap();
        let mount = Program::at("mount")
            .args(["-t", "tmpfs", "-o", options, "shoal-test"])
            .arg(place);
        match mount.run() {
            Ok(output) if output.code() == Some(0) => Some(Self(place.to_owned())),
            other => {
                eprintln!("skipped: no file system can be mounted here: {other:?}");
                None
            }
        }
    }

    /// Takes all room that is left.
    fn fill(&self) {
        let mut filler = File::create(self.0.join("filler")).unwrap();
        while filler.write_all(&[0xff; 4096]).is_ok() {}
    }

    fn set(&self, option: &str) {
        let options = format!("remount,{option}");
        let output = Program::at("mount").args(["-o", &options]).arg(&self.0).run().unwrap();
        assert_eq!(output.code(), Some(0), "{}", output.stderr());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        Program::at("umount").arg("--lazy").arg(&self.0).run().ok();
    }
}

fn failure(taken: Result<Item, TakeError>) -> (Failed, String) {
    let error = taken.unwrap_err();
    let text = error.to_string();
    match error {
        TakeError::Failed { source, .. } => (source, text),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_for_which_there_is_no_room_stays_where_it_was() {
    let site = site();
    let Some(mount) = Mount::new(&site.store, "size=1m,mode=700") else {
        return;
    };
    let path = site.write("file", &vec![1; 2 << 20]);
    let before = scan(&path).stamp;
    let quarantine = site.open();
    let (failed, text) = failure(scan(&path).take(&quarantine));
    assert_eq!(failed.kind(), ErrorKind::StorageFull);
    assert!(
        text.contains("stays where it was") && failed.to_string().contains("quarantine.path"),
        "{text}: {failed}"
    );
    // It is said before the disk is full.
    assert!(rustix::fs::statvfs(&mount.0).unwrap().f_bavail > 100);
    assert!(before.is_unchanged(&scan(&path).stamp), "not even looked at twice");
    assert_eq!(site.stored(), [""; 0]);
}

#[test]
fn a_disk_that_fills_up_at_any_step_costs_nothing() {
    for at_step in STEPS {
        let site = site();
        let Some(mount) = Mount::new(&site.store, "size=1m,mode=700") else {
            return;
        };
        let path = site.write("file", &vec![1; 300_000]);
        let quarantine = site.open();
        let scanned = scan(&path);
        let taken = scanned.taken();
        let mut taking = Taking::prepare(&quarantine.store, &taken, at(1)).unwrap();
        let mut failed = None;
        for step in STEPS {
            if step == at_step {
                mount.fill();
            }
            if let Err(error) = taking.step(step) {
                failed = Some(taking.undo(error));
                break;
            }
        }
        drop(taking);
        fs::remove_file(mount.0.join("filler")).unwrap();
        let items = site.open().list().unwrap().items;
        match failed {
            Some(error) => {
                assert_eq!(failure(Err(error)).0.kind(), ErrorKind::StorageFull, "{at_step:?}");
                assert!(scanned.stamp.is_unchanged(&scan(&path).stamp), "{at_step:?}");
                assert_eq!((site.names().len(), site.stored().len()), (1, 0), "{at_step:?}");
            }
            None => {
                assert!(at_step > Step::Describe, "{at_step:?}");
                assert!(items[0].is_settled && site.names().is_empty());
            }
        }
    }
}

#[test]
fn a_file_on_a_full_disk_is_taken_or_stays() {
    let site = site();
    let Some(mount) = Mount::new(&site.files, "size=1m,mode=700") else {
        return;
    };
    let path = site.write("file", &[1; 3000]);
    mount.fill();
    match scan(&path).take(&site.open()) {
        Ok(item) => assert!(item.is_settled && site.names() == ["filler"]),
        Err(error) => {
            assert_eq!(failure(Err(error)).0.kind(), ErrorKind::StorageFull);
            assert_eq!(site.names(), ["file", "filler"]);
            assert_eq!(site.stored(), [""; 0]);
        }
    }
}

#[test]
fn a_file_on_a_read_only_file_system_stays_and_the_remedy_is_said() {
    let site = site();
    let Some(mount) = Mount::new(&site.files, "size=1m,mode=700") else {
        return;
    };
    let path = site.write("file", b"bad");
    mount.set("ro");
    let (failed, _) = failure(scan(&path).take(&site.open()));
    assert_eq!(failed.kind(), ErrorKind::ReadOnlyFilesystem);
    assert!(failed.to_string().contains("read-only"), "{failed}");
    assert_eq!((fs::read(&path).unwrap(), site.stored()), (b"bad".to_vec(), vec![]));
}

#[test]
fn a_restore_for_which_there_is_no_room_leaves_the_item_and_no_half_file() {
    use crate::quarantine::Target;
    let site = site();
    let Some(mount) = Mount::new(&site.files, "size=1m,mode=700") else {
        return;
    };
    let path = site.write("file", &vec![1; 300_000]);
    let quarantine = site.open();
    let id = scan(&path).take(&quarantine).unwrap().manifest.id;
    mount.fill();
    quarantine.restore(&id, &Target::default()).unwrap_err();
    assert_eq!(site.names(), ["filler"]);
    fs::remove_file(mount.0.join("filler")).unwrap();
    quarantine.restore(&id, &Target::default()).unwrap();
    assert_eq!(fs::read(&path).unwrap(), vec![1; 300_000]);
}

#[test]
#[cfg(target_os = "linux")]
fn what_must_not_be_changed_is_named_with_what_would_allow_it() {
    use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
    let site = site();
    let path = site.write("file", b"bad");
    for (guarded, flag) in [
        (&path, IFlags::IMMUTABLE),
        (&path, IFlags::APPEND),
        (&site.files, IFlags::APPEND),
    ] {
        let open = File::open(guarded).unwrap();
        let set = ioctl_getflags(&open).and_then(|flags| ioctl_setflags(&open, flags | flag).map(|()| flags));
        let flags = match set {
            Ok(flags) => flags,
            Err(error) => {
                eprintln!("skipped: no such attribute can be set here: {error}");
                return;
            }
        };
        let refused = scan(&path).take(&site.open());
        ioctl_setflags(&open, flags).unwrap();
        let refused = refused.unwrap_err();
        let letter = if flag == IFlags::APPEND {
            "chattr -a"
        } else {
            "chattr -i"
        };
        assert!(refused.to_string().contains(letter), "{refused}");
        assert!(matches!(refused, TakeError::Guarded { guarded: named, .. } if named == *guarded));
        assert_eq!((site.names(), site.stored()), (vec!["file".to_owned()], vec![]));
    }
}
