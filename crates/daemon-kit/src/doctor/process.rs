//! What this process is given, and who else is at work.

use crate::{doctor::Finding, surroundings::Surroundings};
use std::{fs, io, path::Path};

/// Whether this process may have at least `least` files open.
pub fn file_descriptors(least: u64) -> Finding {
    const CHECK: &str = "open files";
    match limit() {
        Limit::Unknown => Finding::skipped(CHECK, "the limit is not looked at on this system"),
        Limit::None => Finding::ok(CHECK, "no limit"),
        Limit::Files(limit) if limit >= least => {
            Finding::ok(CHECK, format!("{limit} may be open at once in this process"))
        }
        Limit::Files(limit) => Finding::warning(
            CHECK,
            format!("only {limit} may be open at once in this process; {least} are wanted"),
            format!("write `LimitNOFILE={least}` into the unit of the service, or run `ulimit -n {least}` before"),
        ),
    }
}

/// Whether another process holds the lock of the state, whose file is `lock`: the service, mostly. That is no fault, but
/// commands that need the state for themselves have to wait for it.
pub fn other_process(lock: &Path) -> Finding {
    const CHECK: &str = "other process";
    let file = match fs::File::open(lock) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Finding::ok(CHECK, "none has run yet"),
        Err(error) => return Finding::skipped(CHECK, format!("{}: {error}", lock.display())),
    };
    match file.try_lock_shared() {
        Ok(()) => Finding::ok(CHECK, "none is running"),
        Err(fs::TryLockError::WouldBlock) => {
            let text = io::read_to_string(&file).unwrap_or_default();
            let found = match text.split_whitespace().next() {
                Some(pid) => format!("process {pid} is running and holds {}", lock.display()),
                None => format!("a process is running and holds {}", lock.display()),
            };
            Finding::ok(CHECK, found)
        }
        Err(fs::TryLockError::Error(error)) => Finding::failure(
            CHECK,
            format!("{} cannot be locked: {error}", lock.display()),
            "keep the data directory on a file system that has locks; some network file systems have none",
        ),
    }
}

/// Which variables of the environment send requests through a proxy. Passwords in them are not shown.
pub fn proxy_variables(around: &Surroundings) -> Finding {
    const CHECK: &str = "proxy variables";
    let mut seen = Vec::new();
    for name in PROXIES.iter().chain(&["NO_PROXY", "no_proxy"]) {
        if let Some(value) = around.variable(name) {
            seen.push(format!("{name}={}", without_password(value)));
        }
    }
    if seen.is_empty() {
        Finding::ok(CHECK, "none is set")
    } else {
        Finding::ok(CHECK, seen.join("\n"))
    }
}

/// The variables by which a request may go through a proxy. That of plain HTTP is heeded in small letters only, since a
/// CGI program's environment holds the other as a header of the request.
pub(super) const PROXIES: [&str; 6] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// `http://user:password@proxy` without what stands before the `@`.
fn without_password(value: &str) -> String {
    let (scheme, rest) = value
        .split_once("://")
        .map_or(("", value), |(scheme, rest)| (scheme, rest));
    match rest.rsplit_once('@') {
        Some((_, host)) if scheme.is_empty() => format!("***@{host}"),
        Some((_, host)) => format!("{scheme}://***@{host}"),
        None => value.to_owned(),
    }
}

enum Limit {
    #[cfg_attr(unix, expect(dead_code, reason = "systems without limits of this kind have it"))]
    Unknown,
    #[cfg_attr(not(unix), expect(dead_code, reason = "systems with limits of this kind have it"))]
    None,
    #[cfg_attr(not(unix), expect(dead_code, reason = "systems with limits of this kind have it"))]
    Files(u64),
}

#[cfg(unix)]
fn limit() -> Limit {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current.map_or(Limit::None, Limit::Files)
}

#[cfg(not(unix))]
fn limit() -> Limit {
    Limit::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxys_password_is_not_shown() {
        let mut around = Surroundings::default();
        for (name, value) in [
            ("HTTPS_PROXY", "http://me:hunter2@proxy:3128"),
            ("all_proxy", "me:hunt@er2@proxy"),
            ("NO_PROXY", "localhost"),
        ] {
            around.variables.insert(name.to_owned(), value.to_owned());
        }
        let found = proxy_variables(&around).found;
        assert_eq!(
            found,
            "HTTPS_PROXY=http://***@proxy:3128\nall_proxy=***@proxy\nNO_PROXY=localhost"
        );
    }
}
