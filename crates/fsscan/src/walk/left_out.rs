//! What a walk leaves out, and why.
use super::FileStat;
use crate::{
    entry::FileKind,
    explain::Rule,
    found_rules::FoundRules,
    listing::{Here, Left, Why},
    summary::ErrorKind,
    sys::Look,
};
use std::sync::Arc;

/// Why something is left out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// By a rule.
    Excluded(Rule),
    /// It is a regular file of more bytes than `max_file_size`.
    TooLarge,
    /// It is a symbolic link, and links are not followed, or this one leads out of the root, nowhere, or in a circle.
    Symlink,
    /// It is a pipe, a socket or a device.
    Special(FileKind),
    /// It could not be read.
    Unreadable(ErrorKind),
    /// It was listed, and gone when it was to be looked at.
    Vanished,
    /// It is a directory on another file system than its root.
    OtherFileSystem,
}

impl Reason {
    /// A stable name: `excluded`, `hidden`, `too_large`, `symlink`, `special`, `unreadable`, `vanished` or
    /// `other_file_system`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Excluded(Rule::Hidden) => "hidden",
            Self::Excluded(_) => "excluded",
            Self::TooLarge => "too_large",
            Self::Symlink => "symlink",
            Self::Special(_) => "special",
            Self::Unreadable(_) => "unreadable",
            Self::Vanished => "vanished",
            Self::OtherFileSystem => "other_file_system",
        }
    }
}

/// A name in a directory that is not given to the visitor as a file.
#[derive(Clone, Copy)]
pub struct LeftOut<'d> {
    name: &'d [u8],
    is_dir: bool,
    stat: FileStat,
    why: Cause<'d>,
}

#[derive(Clone, Copy)]
enum Cause<'d> {
    Listing(&'d Here<'d, 'd, ()>, Option<&'d Arc<FoundRules>>, Why),
    Kind,
}

impl<'d> LeftOut<'d> {
    pub(super) fn of(
        here: &'d Here<'d, 'd, ()>,
        rules: Option<&'d Arc<FoundRules>>,
        name: &'d [u8],
        left: &Left,
    ) -> Self {
        Self {
            name,
            is_dir: left.is_dir,
            stat: FileStat::from(&left.listed.look),
            why: Cause::Listing(here, rules, left.why),
        }
    }

    pub(super) fn other(name: &'d [u8], look: &Look) -> Self {
        Self {
            name,
            is_dir: false,
            stat: FileStat::from(look),
            why: Cause::Kind,
        }
    }

    /// Its name, as raw bytes.
    pub fn name(&self) -> &'d [u8] {
        self.name
    }

    /// Whether it is a directory, so that nothing below is walked either.
    pub fn is_directory(&self) -> bool {
        self.is_dir
    }

    /// Its length in bytes if it is a regular file and could be looked at, else 0.
    pub fn bytes(&self) -> u64 {
        if self.stat.kind() == FileKind::File {
            self.stat.size
        } else {
            0
        }
    }

    /// How it looks; `None` for a directory and for what could not be looked at.
    pub fn stat(&self) -> Option<&FileStat> {
        (self.stat != FileStat::default()).then_some(&self.stat)
    }

    /// Why. Names the rule, and so takes a little time where there is one.
    pub fn reason(&self) -> Reason {
        let Cause::Listing(here, rules, why) = self.why else {
            return match self.stat.kind() {
                FileKind::Symlink => Reason::Symlink,
                kind => Reason::Special(kind),
            };
        };
        match why {
            Why::Hidden => Reason::Excluded(Rule::Hidden),
            Why::Pattern(place) => Reason::Excluded(here.root.rules.rule(place)),
            Why::IgnoreFile => {
                let rule = rules.and_then(|rules| rules.rule(&here.child(self.name), self.is_dir));
                Reason::Excluded(rule.unwrap_or(Rule::Hidden))
            }
            Why::TooLarge => Reason::TooLarge,
            Why::Vanished => Reason::Vanished,
            Why::Unreadable(kind) => Reason::Unreadable(kind),
        }
    }
}

/// A directory that is not walked, with everything below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotWalked<'w> {
    /// The place of its root in [`WalkRequest::roots`](super::WalkRequest::roots).
    pub root: usize,
    /// Its path, as raw bytes.
    pub path: &'w [u8],
    /// Why.
    pub reason: Reason,
}
