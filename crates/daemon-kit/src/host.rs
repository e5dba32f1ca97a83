//! What the machine is.
use std::path::Path;
use sysinfo::System;

/// The machine by name and version of what runs on it. Looking costs some files read and no process started.
///
/// ```
/// let host = daemon_kit::Host::look();
/// assert_eq!(host.architecture, std::env::consts::ARCH);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// The operating system by name and version, such as `Debian GNU/Linux 12`, where it tells.
    pub os: Option<String>,
    /// The kernel's version, such as `6.1.0-18-amd64`.
    pub kernel: Option<String>,
    /// The processor's architecture, such as `x86_64`.
    pub architecture: String,
    /// Container engines whose socket is there, such as `docker`.
    pub container_engines: Vec<String>,
}

/// Where the engines listen for their clients by default.
const ENGINES: [(&str, &str); 5] = [
    ("containerd", "run/containerd/containerd.sock"),
    ("cri-o", "run/crio/crio.sock"),
    ("docker", "run/docker.sock"),
    ("incus", "var/lib/incus/unix.socket"),
    ("podman", "run/podman/podman.sock"),
];

impl Host {
    /// This machine as it is now.
    pub fn look() -> Self {
        let os = match (System::name(), System::os_version()) {
            (Some(name), Some(version)) => Some(format!("{name} {version}")),
            (name, _) => name,
        };
        Self {
            os,
            kernel: System::kernel_version(),
            architecture: std::env::consts::ARCH.to_owned(),
            container_engines: engines_under(Path::new("/")),
        }
    }
}

fn engines_under(root: &Path) -> Vec<String> {
    let there = ENGINES.iter().filter(|(_, socket)| root.join(socket).exists());
    there.map(|(name, _)| (*name).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_there_where_its_socket_is() {
        let root = tempfile::tempdir().unwrap();
        assert!(engines_under(root.path()).is_empty());
        for socket in ["run/podman/podman.sock", "run/docker.sock"] {
            let socket = root.path().join(socket);
            std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
            std::fs::write(socket, "").unwrap();
        }
        assert_eq!(engines_under(root.path()), ["docker", "podman"]);
    }

    #[test]
    fn this_machine_says_what_it_is() {
        let host = Host::look();
        assert!(host.os.is_some_and(|os| !os.trim().is_empty()));
        assert!(host.kernel.is_some_and(|kernel| kernel.contains('.')));
    }
}
