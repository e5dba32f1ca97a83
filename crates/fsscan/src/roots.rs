//! Which roots are asked for, which are known, and whether what lies there now may be trusted.
use crate::{
    RootOutcome, RootRequest, ScanError,
    rules::Rules,
    sys::{self, OpenRoot},
};
use core_model::{KnownRoot, RootId, RootIdentity};
use std::{
    io,
    path::{Component, Path, PathBuf},
};

/// A root of the request.
pub(crate) struct Plan<'a> {
    pub(crate) request: &'a RootRequest,
    pub(crate) rules: Rules,
    /// Its path in its shortest form.
    pub(crate) path: Vec<u8>,
    pub(crate) id: RootId,
    pub(crate) known: Option<KnownRoot>,
    pub(crate) state: RootState,
}

/// What was found at a root's path.
pub(crate) enum RootState {
    /// The directory that is to be scanned.
    Open(OpenRoot),
    /// Nothing, and the operator said that this is right: all its files are gone.
    AcceptedGone(RootOutcome),
    /// Being walked.
    Walking,
    /// Nothing that may be scanned.
    Failed(RootOutcome),
}

impl Plan<'_> {
    /// Whether the operator said that any share of it may be gone.
    pub(crate) fn is_accepted(&self) -> bool {
        self.known.as_ref().is_some_and(|known| known.accepted)
    }
}

/// What is wrong with the paths of roots.
pub(crate) enum BadRoots {
    /// One is relative or holds `..`.
    Path(PathBuf),
    /// One lies in another.
    Nested { outer: PathBuf, inner: PathBuf },
}

impl<E: std::error::Error + 'static> From<BadRoots> for ScanError<E> {
    fn from(bad: BadRoots) -> Self {
        match bad {
            BadRoots::Path(path) => Self::Path { path },
            BadRoots::Nested { outer, inner } => Self::Nested { outer, inner },
        }
    }
}

/// The roots, each once, with their paths in their shortest form.
pub(crate) fn distinct(roots: &[RootRequest]) -> Result<Vec<(Vec<u8>, &RootRequest)>, BadRoots> {
    let mut wanted: Vec<(Vec<u8>, &RootRequest)> = Vec::new();
    for root in roots {
        let path = normal_path(&root.path)?;
        if wanted.iter().any(|(other, _)| *other == path) {
            continue;
        }
        for (other, outer) in &wanted {
            let (outer, inner) = if contains(other, &path) {
                (outer, root)
            } else if contains(&path, other) {
                (&root, *outer)
            } else {
                continue;
            };
            return Err(BadRoots::Nested {
                outer: outer.path.clone(),
                inner: inner.path.clone(),
            });
        }
        wanted.push((path, root));
    }
    Ok(wanted)
}

/// A root's path without repeated or trailing slashes, and without `.`.
pub(crate) fn normal_path(path: &Path) -> Result<Vec<u8>, BadRoots> {
    let has_dots = path.components().any(|part| part == Component::ParentDir);
    if !path.is_absolute() || has_dots {
        return Err(BadRoots::Path(path.to_owned()));
    }
    Ok(sys::bytes_of(&path.components().collect::<PathBuf>()).into_owned())
}

/// A path without a slash at its end; that of `/` is empty.
pub(crate) fn prefix(path: &[u8]) -> &[u8] {
    path.strip_suffix(b"/").unwrap_or(path)
}

/// Whether `inner` is `outer` or lies in it.
pub(crate) fn contains(outer: &[u8], inner: &[u8]) -> bool {
    let rest = inner.strip_prefix(prefix(outer));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// The number of a root's volume: that of its file system where there is one, else that of its device.
pub(crate) fn volume_of(identity: &RootIdentity) -> u64 {
    if identity.fs_id == 0 {
        identity.device
    } else {
        identity.fs_id
    }
}

/// Looks at what lies at a root's path and compares it with what was there.
pub(crate) fn examine(path: &Path, known: Option<&KnownRoot>) -> Result<OpenRoot, RootOutcome> {
    let unreadable = |error: io::Error| RootOutcome::Unreadable {
        detail: error.to_string(),
    };
    let open = sys::open_root(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => RootOutcome::Missing,
        io::ErrorKind::NotADirectory => RootOutcome::NotADirectory,
        _ => unreadable(error),
    })?;
    let Some(known) = known else { return Ok(open) };
    if known
        .identity
        .is_some_and(|identity| !identity.is_same_volume(&open.identity))
    {
        return Err(RootOutcome::Foreign);
    }
    if known.files > 0 && !known.accepted && sys::is_empty(&open.handle).map_err(unreadable)? {
        return Err(RootOutcome::TurnedUpEmpty);
    }
    Ok(open)
}

/// Looks at a root that is to be scanned.
pub(crate) fn examine_for_scan(path: &Path, known: Option<&KnownRoot>) -> RootState {
    match examine(path, known) {
        Ok(open) => RootState::Open(open),
        Err(outcome @ (RootOutcome::Missing | RootOutcome::NotADirectory))
            if known.is_some_and(|known| known.accepted) =>
        {
            RootState::AcceptedGone(outcome)
        }
        Err(outcome) => RootState::Failed(outcome),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_lies_in_another_by_whole_names() {
        let inside = |outer: &str, inner: &str| contains(outer.as_bytes(), inner.as_bytes());
        assert!(inside("/", "/data") && inside("/data", "/data") && inside("/data", "/data/x"));
        assert!(!inside("/data", "/database") && !inside("/data/x", "/data"));
    }

    #[cfg(unix)]
    #[test]
    fn paths_are_brought_to_one_form() {
        let normal = |path: &str| normal_path(Path::new(path)).map_err(drop);
        assert_eq!(normal("//data/./x//"), Ok(b"/data/x".to_vec()));
        assert_eq!(normal("/"), Ok(b"/".to_vec()));
        assert_eq!((normal("data"), normal("/data/../x")), (Err(()), Err(())));
    }
}
