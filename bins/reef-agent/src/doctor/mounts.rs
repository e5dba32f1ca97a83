//! What is mounted where.
use fsscan::Mount;
use std::path::Path;

/// File systems that hold no files of anybody's.
const OF_THE_KERNEL: [&str; 22] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nsfs",
    "proc",
    "pstore",
    "ramfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "sysfs",
    "tracefs",
];

/// File systems that another machine or program may write to, of which this kernel does not hear.
const OF_OTHERS: [&str; 9] = ["nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "9p", "glusterfs", "afs"];

/// Whether others may change it without this machine's hearing of it.
pub(super) fn is_of_others(mount: &Mount) -> bool {
    OF_OTHERS.contains(&mount.kind.as_str()) || mount.kind.starts_with("fuse.") || mount.kind == "fuse"
}

/// The mounts of this process.
#[derive(Clone, Debug, Default)]
pub(super) struct Mounts(Vec<Mount>);

impl Mounts {
    /// Nothing where the system does not tell.
    pub(super) fn read() -> Self {
        Self(Mount::all().unwrap_or_default())
    }

    /// The mount that a path without links lies on: of several at one place, the last one hides the others.
    pub(super) fn of(&self, path: &Path) -> Option<&Mount> {
        let above = self.0.iter().filter(|mount| path.starts_with(&mount.point));
        above.max_by_key(|mount| mount.point.components().count())
    }

    /// Other file systems mounted below a path, but those of the kernel.
    pub(super) fn below(&self, path: &Path) -> Vec<&Mount> {
        let device = self.of(path).map(|mount| mount.device.as_str());
        let is_other = |mount: &&Mount| {
            mount.point != path
                && mount.point.starts_with(path)
                && Some(mount.device.as_str()) != device
                && !OF_THE_KERNEL.contains(&mount.kind.as_str())
        };
        let mut below: Vec<&Mount> = self.0.iter().filter(is_other).collect();
        below.sort_by(|one, other| one.point.cmp(&other.point));
        below.dedup_by(|one, other| one.point == other.point);
        below
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = br"22 1 8:1 / / rw - ext4 /dev/sda1 rw
23 22 0:5 / /proc rw - proc proc rw
24 22 8:2 / /srv/my\040data rw master:1 shared:2 - xfs /dev/sda2 rw
25 22 8:1 /var/www /srv/bound rw - ext4 /dev/sda1 rw
26 22 0:40 / /srv/nfs rw - nfs4 host:/x rw
broken";

    #[test]
    fn other_file_systems_below_a_path_are_found_and_those_of_the_kernel_are_not() {
        let mounts = Mounts(Mount::parse(TEXT));
        let below = |path: &str| -> Vec<_> {
            let below = mounts.below(Path::new(path)).into_iter();
            below.map(|mount| mount.point.display().to_string()).collect()
        };
        assert_eq!(below("/"), ["/srv/my data", "/srv/nfs"]);
        assert_eq!(below("/srv/nfs"), [""; 0]);
        assert_eq!(below("/home"), [""; 0]);
    }

    #[test]
    fn a_path_lies_on_the_innermost_mount() {
        let mounts = Mounts(Mount::parse(TEXT));
        let of = |path: &str| mounts.of(Path::new(path)).unwrap().clone();
        assert_eq!(of("/srv/my data/a").kind, "xfs");
        assert_eq!(of("/srv/my").kind, "ext4");
        assert!(is_of_others(&of("/srv/nfs/a")) && !is_of_others(&of("/srv")));
    }
}
