//! Names for people: owners, groups and MIME types.
use crate::request::MimeOptions;
use std::{borrow::Cow, collections::HashMap};

/// Names of users and groups, each asked for once.
#[derive(Default)]
pub(crate) struct Owners {
    users: HashMap<u32, Option<Box<str>>>,
    groups: HashMap<u32, Option<Box<str>>>,
}

impl Owners {
    /// The names of a user and of a group.
    pub(crate) fn names(&mut self, uid: u32, gid: u32) -> (Option<&str>, Option<&str>) {
        let user = self.users.entry(uid).or_insert_with(|| user_name(uid));
        let group = self.groups.entry(gid).or_insert_with(|| group_name(gid));
        (user.as_deref(), group.as_deref())
    }
}

#[cfg(unix)]
fn user_name(uid: u32) -> Option<Box<str>> {
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)).ok()??;
    Some(user.name.into())
}

#[cfg(unix)]
fn group_name(gid: u32) -> Option<Box<str>> {
    let group = nix::unistd::Group::from_gid(nix::unistd::Gid::from_raw(gid)).ok()??;
    Some(group.name.into())
}

#[cfg(not(unix))]
fn user_name(_uid: u32) -> Option<Box<str>> {
    None
}

#[cfg(not(unix))]
fn group_name(_gid: u32) -> Option<Box<str>> {
    None
}

/// The MIME type that a path's extension stands for.
pub(crate) fn mime<'a>(options: &'a MimeOptions, path: &[u8]) -> Option<&'a str> {
    let name = path.rsplit(|byte| *byte == b'/').next()?;
    let dot = name.iter().rposition(|byte| *byte == b'.').filter(|dot| *dot > 0)?;
    let extension = std::str::from_utf8(&name[dot + 1..]).ok()?;
    if !options.extensions.is_empty() {
        let lower = if extension.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(extension.to_ascii_lowercase())
        } else {
            Cow::Borrowed(extension)
        };
        if let Some(own) = options.extensions.get(&*lower) {
            return Some(own);
        }
    }
    mime_guess::from_ext(extension).first_raw()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_come_from_extensions_and_own_ones_go_first() {
        let own = [
            ("dwg".to_owned(), "image/vnd.dwg".to_owned()),
            ("txt".to_owned(), "text/x-own".to_owned()),
        ];
        let options = MimeOptions {
            extensions: HashMap::from(own),
            content: false,
        };
        let plain = MimeOptions::default();
        assert_eq!(mime(&options, b"/x/PLAN.DWG"), Some("image/vnd.dwg"));
        assert_eq!(mime(&options, b"/x/a.txt"), Some("text/x-own"));
        assert_eq!(mime(&plain, b"/x/a.txt"), Some("text/plain"));
        assert_eq!(mime(&plain, b"/x/a.tar.gz"), Some("application/gzip"));
        assert_eq!(mime(&plain, b"/x.d/.bashrc"), None);
        assert_eq!(mime(&plain, b"/x.txt/name"), None);
        assert_eq!(mime(&plain, b"/x/a.\xff"), None);
    }

    #[cfg(unix)]
    #[test]
    fn the_first_user_is_root() {
        assert_eq!(Owners::default().names(0, u32::MAX - 7), (Some("root"), None));
    }
}
