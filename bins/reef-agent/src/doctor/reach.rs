//! Why clamd cannot be reached, and what helps.
use super::{
    processes,
    rights::{self, Rights},
};
use clamd_proto::{ClamError, Endpoint};
use core_model::chain;
use daemon_kit::doctor::Finding;
use std::{
    env, fs, io,
    os::unix::fs::{FileTypeExt as _, MetadataExt},
    path::{Path, PathBuf},
};

/// Where clamd listens by the configuration that it comes with: Debian and Arch, Alpine, Fedora and Red Hat, openSUSE, and
/// ClamAV's own container.
const SOCKETS: [&str; 5] = [
    "/run/clamav/clamd.ctl",
    "/run/clamav/clamd.sock",
    "/run/clamd.scan/clamd.sock",
    "/run/clamav/clamd-socket",
    "/tmp/clamd.sock",
];

/// Administrators' programs are not in everybody's `PATH`.
const PROGRAMS: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

/// What a failure to reach clamd means here.
pub(super) fn failure(check: &str, endpoint: &Endpoint, error: &ClamError, rights: Rights) -> Finding {
    match (error, endpoint) {
        (ClamError::NoSocket { .. }, _) => {
            Finding::failure(check, format!("there is no socket at {endpoint}"), absent(endpoint))
        }
        (ClamError::Refused { .. }, Endpoint::Unix(path)) => Finding::failure(
            check,
            format!("{endpoint} is there, and nobody listens: clamd has ended"),
            format!(
                "start it (Debian: `systemctl restart clamav-daemon`; Fedora: `systemctl restart clamd@scan`); its log, \
                 and the kernel's where it ran out of memory, says why it ended. `FixStaleSocket yes` in clamd.conf lets \
                 it replace {}",
                path.display()
            ),
        ),
        (ClamError::Refused { .. }, Endpoint::Tcp { .. }) => Finding::failure(
            check,
            format!("nobody listens at {endpoint}"),
            "start clamd there, with TCPSocket and TCPAddr in its clamd.conf, or name another in `clamd.endpoint`",
        ),
        (ClamError::PermissionDenied { .. }, Endpoint::Unix(path)) => {
            let user = rights.user_name();
            let found = format!("user {user} may not connect to {endpoint}");
            Finding::failure(check, found, Barrier::of(path).remedy(&user))
        }
        (ClamError::Busy { .. } | ClamError::Reloading { .. }, _) => Finding::failure(
            check,
            format!("clamd at {endpoint} is there and answers nothing: its queue is full, or it loads its signatures"),
            "try again in a minute; raise MaxThreads and MaxQueue in clamd.conf, and set `ConcurrentDatabaseReload yes` \
             there where there is memory for two sets of signatures",
        ),
        (ClamError::Reply(_) | ClamError::Frame(_) | ClamError::CommandRefused(_), _) => Finding::failure(
            check,
            format!("what answers at {endpoint} is no clamd: {}", chain(error)),
            "name the LocalSocket or TCPSocket of clamd.conf in `clamd.endpoint`",
        ),
        (_, Endpoint::Tcp { host, port }) => Finding::failure(
            check,
            chain(error),
            format!(
                "see that {host} is the right name in `clamd.endpoint`, and that no firewall keeps port {port} from this \
                 machine"
            ),
        ),
        (_, Endpoint::Unix(_)) => Finding::failure(check, chain(error), "look into clamd's own log"),
    }
}

/// What helps where there is no socket: another one that is there, or clamd itself.
fn absent(endpoint: &Endpoint) -> String {
    let is_socket = |path: &&&str| fs::metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if let Some(other) = SOCKETS.iter().find(is_socket) {
        return format!("write `clamd.endpoint = \"unix:{other}\"`, which is there");
    }
    if let Some(running) = processes::named(Path::new("/"), "clamd").first() {
        return format!(
            "clamd is running (process {}) and listens elsewhere: name the LocalSocket or TCPSocket of its clamd.conf in \
             `clamd.endpoint`",
            running.id
        );
    }
    if is_installed("clamd") {
        return format!(
            "start clamd (Debian: `systemctl enable --now clamav-daemon`, which waits until freshclam has brought its \
             first signatures; Fedora: `systemctl enable --now clamd@scan`) with {endpoint} as its LocalSocket, or name \
             another in `clamd.endpoint`"
        );
    }
    "install clamd (Debian: `apt install clamav-daemon`; Fedora: `dnf install clamd clamav-update`), or name one that \
     runs elsewhere in `clamd.endpoint`"
        .to_owned()
}

/// Whether there is a program of this name.
fn is_installed(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders = env::split_paths(&path).chain(PROGRAMS.map(PathBuf::from));
    folders.any(|folder| folder.join(name).is_file())
}

/// What keeps this process from a socket: itself, or a directory on the way.
#[derive(Debug, PartialEq, Eq)]
struct Barrier {
    path: PathBuf,
    is_directory: bool,
    mode: u32,
    group: u32,
}

impl Barrier {
    /// The first on the way to `path` that cannot be passed.
    fn of(path: &Path) -> Self {
        let mut at = path;
        let metadata = loop {
            match (fs::metadata(at), at.parent()) {
                (Ok(metadata), _) => break Some(metadata),
                (Err(error), Some(parent)) if error.kind() == io::ErrorKind::PermissionDenied => at = parent,
                (Err(_), _) => break None,
            }
        };
        Self {
            path: at.to_owned(),
            is_directory: metadata.as_ref().is_some_and(fs::Metadata::is_dir),
            mode: metadata.as_ref().map_or(0, |metadata| metadata.mode() & 0o7777),
            group: metadata.as_ref().map_or(0, MetadataExt::gid),
        }
    }

    fn remedy(&self, user: &str) -> String {
        let (group, is_member) = rights::group(self.group, user);
        let shown = self.path.display();
        // A socket is written to, a directory entered.
        let bit = if self.is_directory { 0o010 } else { 0o020 };
        if self.mode & bit == 0 {
            return if self.is_directory {
                format!(
                    "run `chmod g+x {shown}` (its group {group} may not enter it), and `usermod -aG {group} {user}`"
                )
            } else {
                format!(
                    "write `LocalSocketMode 660` and `LocalSocketGroup {group}` into clamd.conf and start clamd anew: the \
                     mode of {shown} is {:04o}; then `usermod -aG {group} {user}`",
                    self.mode
                )
            };
        }
        if is_member {
            return format!("{user} is in the group {group} by now: start the agent anew, or log in again");
        }
        format!(
            "run `usermod -aG {group} {user}` as root ({shown} is for the group {group}) and start the agent anew; in a \
             systemd unit, `SupplementaryGroups={group}` does the same"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{os::unix::fs::PermissionsExt as _, os::unix::net::UnixListener, sync::Arc};

    const USER: &str = "nobody-of-this-name";

    fn barrier(is_directory: bool, mode: u32) -> String {
        let barrier = Barrier {
            path: "/run/clamav/clamd.ctl".into(),
            is_directory,
            mode,
            // The one group of this number that every system has.
            group: 0,
        };
        barrier.remedy(USER)
    }

    #[test]
    fn the_group_of_a_closed_socket_is_named_with_the_command_that_joins_it() {
        let (group, _) = rights::group(0, USER);
        assert!(barrier(false, 0o660).contains(&format!("usermod -aG {group} {USER}")));
        assert!(barrier(false, 0o600).contains("LocalSocketMode 660"));
        assert!(barrier(true, 0o750).contains(&format!("usermod -aG {group} {USER}")));
        assert!(barrier(true, 0o700).contains("chmod g+x"));
    }

    #[test]
    fn the_barrier_is_the_socket_itself_where_it_can_be_looked_at() {
        let top = tempfile::tempdir().unwrap();
        let path = top.path().join("socket");
        let _listener = UnixListener::bind(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let found = Barrier::of(&path);
        assert_eq!((found.is_directory, found.mode, &found.path), (false, 0o640, &path));
    }

    #[test]
    fn each_kind_of_failure_has_a_remedy_of_its_own() {
        let socket: Endpoint = "unix:/nowhere/clamd.ctl".parse().unwrap();
        let remote: Endpoint = "tcp:scanner.example:3310".parse().unwrap();
        let source = || Arc::new(io::Error::from(io::ErrorKind::NotFound));
        let rights = Rights::of_this_process();
        let remedies: Vec<_> = [
            (
                ClamError::NoSocket {
                    endpoint: socket.clone(),
                    source: source(),
                },
                &socket,
                "clamd.endpoint",
            ),
            (
                ClamError::Refused {
                    endpoint: socket.clone(),
                    source: source(),
                },
                &socket,
                "FixStaleSocket",
            ),
            (
                ClamError::Refused {
                    endpoint: remote.clone(),
                    source: source(),
                },
                &remote,
                "TCPAddr",
            ),
            (
                ClamError::Connect {
                    endpoint: remote.clone(),
                    source: source(),
                },
                &remote,
                "firewall",
            ),
            (
                ClamError::Busy {
                    endpoint: socket.clone(),
                },
                &socket,
                "MaxQueue",
            ),
        ]
        .into_iter()
        .map(|(error, endpoint, expected)| {
            let remedy = failure("clamd", endpoint, &error, rights).remedy.unwrap();
            assert!(remedy.contains(expected), "{remedy}");
            remedy
        })
        .collect();
        assert_eq!(
            remedies.iter().collect::<std::collections::BTreeSet<_>>().len(),
            remedies.len()
        );
    }
}
