//! What is written down of an item: enough to bring the file back as it was, and to say why it was taken.
use super::{Attributes, ItemId, Raw};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The form that this build writes. It reads no later one.
const FORM: u32 = 1;

/// What is written down of an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    /// Of the manifest itself.
    pub(crate) form: u32,
    pub(crate) id: ItemId,
    /// As the rule led to it.
    pub(crate) path: Raw,
    /// Where it lay, every link resolved.
    pub(crate) directory: Raw,
    /// Its name there.
    pub(crate) name: Raw,
    /// Other names of the same file that are known.
    pub(crate) other_names: Vec<Raw>,
    /// How many names it had: those that are left have the content still.
    pub(crate) links: u64,
    pub(crate) device: u64,
    pub(crate) inode: u64,
    /// In bytes.
    pub(crate) size: u64,
    /// Of the content, hexadecimal.
    pub(crate) sha256: String,
    pub(crate) attributes: Attributes,
    /// The names that clamd gave; never empty.
    pub(crate) signatures: Vec<String>,
    /// The rule that had it scanned.
    pub(crate) rule: String,
    /// Engine and signature database that judged.
    pub(crate) clamd: String,
    pub(crate) scanned_at: DateTime<Utc>,
    pub(crate) taken_at: DateTime<Utc>,
    pub(crate) host: String,
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManifestError {
    /// No JSON, or not of a manifest.
    #[error("the manifest is damaged")]
    Json(#[from] serde_json::Error),
    /// Of a later build.
    #[error("the manifest has form {0}; this build knows up to {FORM}: use a later one")]
    TooNew(u64),
    /// Its parts do not fit together.
    #[error("the manifest is damaged: {0}")]
    Wrong(&'static str),
}

impl Manifest {
    /// The form that this build writes.
    pub(super) const FORM: u32 = FORM;

    /// Reads one that lies under the name of `id`.
    pub(super) fn parse(bytes: &[u8], id: &ItemId) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Form {
            form: u64,
        }
        // Before all else, since a later form may have other fields.
        let Form { form } = serde_json::from_slice(bytes)?;
        if form > u64::from(FORM) {
            return Err(ManifestError::TooNew(form));
        }
        let manifest: Self = serde_json::from_slice(bytes)?;
        match manifest.fault(id) {
            Some(fault) => Err(ManifestError::Wrong(fault)),
            None => Ok(manifest),
        }
    }

    /// As it is written.
    pub(super) fn write(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// What no build would have written, and what a use of would lead astray.
    fn fault(&self, id: &ItemId) -> Option<&'static str> {
        let is_hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        let faults = [
            (self.form == 0, "it has no form"),
            (self.id != *id, "it is that of another item"),
            (!is_name(self.name.bytes()), "the name is none of a file"),
            (!is_absolute(self.directory.bytes()), "the directory is not absolute"),
            (!is_absolute(self.path.bytes()), "the path is not absolute"),
            (
                self.sha256.len() != 64 || !self.sha256.bytes().all(is_hex),
                "the hash is none",
            ),
            (self.attributes.mode > 0o7777, "the mode has more than permissions"),
            (self.signatures.is_empty(), "no signature is named"),
        ];
        faults.into_iter().find_map(|(is_so, fault)| is_so.then_some(fault))
    }
}

/// Whether it can be the name of a file in a directory.
pub(super) fn is_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && !name.iter().any(|byte| matches!(byte, b'/' | 0)) && name.len() <= 255
}

fn is_absolute(path: &[u8]) -> bool {
    path.starts_with(b"/") && !path.contains(&0) && !path.split(|byte| *byte == b'/').any(|name| name == b"..")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::quarantine::{attributes::Xattr, stamp::FileTime};
    use proptest::{collection::vec, option, prelude::*};

    prop_compose! {
        fn some_time()(secs in any::<i64>(), nanos in 0..1_000_000_000_u32) -> FileTime {
            FileTime { secs, nanos }
        }
    }

    prop_compose! {
        fn some_raw(longest: usize)(
            bytes in vec(any::<u8>().prop_filter("a part of a name", |byte| !matches!(byte, 0 | b'/')), 3..longest),
        ) -> Raw {
            Raw::new(bytes)
        }
    }

    prop_compose! {
        fn some_attributes()(
            (mode, uid, gid) in (0..=0o7777_u32, any::<u32>(), any::<u32>()),
            (owner, group) in (option::of(".*"), option::of(".*")),
            (atime, mtime, ctime) in (some_time(), some_time(), some_time()),
            xattrs in vec((some_raw(20), vec(any::<u8>(), 0..50)), 0..3),
            unread_xattrs in vec(some_raw(20), 0..2),
        ) -> Attributes {
            let xattrs = xattrs.into_iter().map(|(name, value)| Xattr { name, value }).collect();
            Attributes { mode, uid, gid, owner, group, atime, mtime, ctime, xattrs, unread_xattrs }
        }
    }

    prop_compose! {
        fn some_manifest()(
            attributes in some_attributes(),
            (name, dir, other) in (some_raw(255), some_raw(300), vec(some_raw(30), 0..3)),
            (links, device, inode, size) in (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>()),
            sha256 in "[0-9a-f]{64}",
            (signatures, rule, clamd, host) in (vec(".*", 1..4), ".*", ".*", ".*"),
            (scanned, taken) in (0..4_000_000_000_000_i64, 0..4_000_000_000_000_i64),
        ) -> Manifest {
            let at = |millis| DateTime::from_timestamp_millis(millis).unwrap();
            let directory = Raw::new([b"/", dir.bytes()].concat());
            let path = Raw::new([directory.bytes(), b"/", name.bytes()].concat());
            Manifest {
                form: FORM, id: ItemId::new(at(taken)).unwrap(), path, directory, name, other_names: other, links,
                device, inode, size, sha256, attributes, signatures, rule, clamd, scanned_at: at(scanned),
                taken_at: at(taken), host,
            }
        }
    }

    proptest! {
        #[test]
        fn a_manifest_comes_back_as_it_was_written(manifest in some_manifest()) {
            let bytes = manifest.write().unwrap();
            prop_assert_eq!(Manifest::parse(&bytes, &manifest.id).unwrap(), manifest);
        }

        #[test]
        fn a_damaged_manifest_is_an_error_or_still_fit_for_use(
            manifest in some_manifest(),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = manifest.write().unwrap();
            let cut = &bytes[..cut.index(bytes.len() - 1)];
            prop_assert!(Manifest::parse(cut, &manifest.id).is_err(), "cut");
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(read) = Manifest::parse(&bytes, &manifest.id) {
                prop_assert!(is_name(read.name.bytes()) && is_absolute(read.directory.bytes()));
                prop_assert!(read.id == manifest.id && !read.signatures.is_empty() && read.attributes.mode <= 0o7777);
            }
        }

        #[test]
        fn no_bytes_are_a_manifest_by_chance(bytes in vec(any::<u8>(), 0..200)) {
            prop_assert!(Manifest::parse(&bytes, &ItemId::new(Utc::now()).unwrap()).is_err());
        }

        #[test]
        fn what_would_lead_astray_is_refused(
            manifest in some_manifest(),
            name in prop::sample::select(vec!["", ".", "..", "a/b", "../x", "a\0"]),
            directory in prop::sample::select(vec!["", "etc", "/a/../b", "/a\0"]),
        ) {
            let changed = |change: &dyn Fn(&mut Manifest)| {
                let mut changed = manifest.clone();
                change(&mut changed);
                Manifest::parse(&changed.write().unwrap(), &manifest.id)
            };
            prop_assert!(changed(&|_| {}).is_ok(), "unchanged");
            prop_assert!(changed(&|it| it.name = Raw::new(name)).is_err());
            prop_assert!(changed(&|it| it.directory = Raw::new(directory)).is_err());
            prop_assert!(changed(&|it| it.attributes.mode |= 0o100_000).is_err());
            prop_assert!(changed(&|it| it.signatures.clear()).is_err());
            let later = changed(&|it| it.form = FORM + 1);
            prop_assert!(matches!(later, Err(ManifestError::TooNew(_))));
            let other = ItemId::new(Utc::now()).unwrap();
            prop_assert!(Manifest::parse(&manifest.write().unwrap(), &other).is_err());
        }
    }

    #[test]
    fn a_text_that_differs_from_its_bytes_is_refused() {
        let raw = serde_json::to_string(&Raw::new(b"/srv/a".as_slice())).unwrap();
        assert!(serde_json::from_str::<Raw>(&raw).is_ok());
        assert!(serde_json::from_str::<Raw>(&raw.replace("/srv/a", "/srv/b")).is_err());
    }
}
