//! What a machine lacks on which no network can be built.
use std::path::PathBuf;

/// Why a network of namespaces cannot be built on this machine: a matter of the machine, not of the tests.
///
/// It is the source of an error of [`Namespace::new`](super::Namespace::new) and
/// [`Topology::new`](super::Topology::new), found by [`anyhow::Error::downcast_ref`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// The right to make a network namespace (`CAP_SYS_ADMIN`).
    #[error("no network namespace may be made here: run as root, or below `unshare --user --map-root-user`")]
    Permission,
    /// The program `ip`, which sets addresses and routes.
    #[error("the program `ip` is not installed: install the package iproute2")]
    Ip,
    /// The TUN driver, or the right to use it.
    #[error("no TUN device can be opened here: load the kernel's module `tun` and give this user /dev/net/tun")]
    Tun,
    /// IPv6, which every topology has.
    #[error("this kernel runs without IPv6: start it without `ipv6.disable=1`")]
    Ipv6,
}

/// Where `ip` lies: administrators' programs are not in everybody's `PATH`.
pub(super) fn ip_program() -> Result<PathBuf, Missing> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin"].map(PathBuf::from))
        .map(|folder| folder.join("ip"))
        .find(|program| program.is_file())
        .ok_or(Missing::Ip)
}
