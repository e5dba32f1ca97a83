//! What this process may do, found out without doing it.
use nix::unistd::{Gid, Group, Uid, User};
use rustix::fs::Access;
use std::{fs, path::Path};

/// Reads and enters what belongs to others.
const DAC_OVERRIDE: u8 = 1;
/// The same for reading alone.
const DAC_READ_SEARCH: u8 = 2;
/// Removes files of others from directories that protect them.
const FOWNER: u8 = 3;

/// What this process may do beside what owners and modes allow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rights {
    /// Capabilities, as capabilities(7) numbers them.
    effective: u64,
    user: u32,
}

impl Rights {
    pub(super) fn of_this_process() -> Self {
        let user = rustix::process::geteuid().as_raw();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        // Where there are no capabilities, root may do everything.
        let effective = effective(&status).unwrap_or(if user == 0 { u64::MAX } else { 0 });
        Self { effective, user }
    }

    const fn has(self, capability: u8) -> bool {
        self.effective >> capability & 1 == 1
    }

    /// Whether it may read every local file.
    pub(super) const fn reads_all(self) -> bool {
        self.has(DAC_OVERRIDE) || self.has(DAC_READ_SEARCH)
    }

    /// Whether it may remove every local file.
    pub(super) const fn removes_all(self) -> bool {
        self.has(DAC_OVERRIDE) && self.has(FOWNER)
    }

    /// The number of its user.
    pub(super) const fn user(self) -> u32 {
        self.user
    }

    /// The name of its user.
    pub(super) fn user_name(self) -> String {
        user_name(self.user)
    }
}

/// Of the line `CapEff:\t000001ffffffffff`.
fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// Whether this process may use `path` so, or why not. Nothing is opened.
pub(super) fn may(path: &Path, access: Access) -> std::io::Result<()> {
    Ok(rustix::fs::access(path, access)?)
}

/// What it takes to change the names in a directory.
pub(super) const CHANGE: Access = Access::WRITE_OK.union(Access::EXEC_OK);

/// A user's name, or number where it has none.
pub(super) fn user_name(user: u32) -> String {
    let found = User::from_uid(Uid::from_raw(user)).ok().flatten();
    found.map_or_else(|| user.to_string(), |user| user.name)
}

/// A group's name, or number where it has none, and whether `user` is listed in it.
pub(super) fn group(group: u32, user: &str) -> (String, bool) {
    let found = Group::from_gid(Gid::from_raw(group)).ok().flatten();
    found.map_or_else(
        || (group.to_string(), false),
        |group| {
            let is_member = group.mem.iter().any(|member| member == user);
            (group.name, is_member)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read_as_the_kernel_writes_them() {
        let of = |hex: &str| Rights {
            effective: effective(&format!("Name:\tx\nCapEff:\t{hex}\nCapBnd:\tffff\n")).unwrap(),
            user: 7,
        };
        let none = of("0000000000000000");
        assert!(!none.reads_all() && !none.removes_all());
        let reader = of("0000000000000004");
        assert!(reader.reads_all() && !reader.removes_all());
        assert!(!of("0000000000000002").removes_all() && of("000000000000000a").removes_all());
        assert!(of("000001ffffffffff").removes_all());
        assert_eq!(effective("Name:\tx\n"), None);
    }
}
