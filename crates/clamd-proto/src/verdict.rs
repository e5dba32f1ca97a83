//! What became of a file.
use crate::refusal::Refusal;

/// What one reply says about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// `OK`.
    Clean,
    /// `NAME FOUND`: the name of one signature, or of a limit.
    Found(String),
    /// `REASON ERROR`.
    Refused(Refusal),
}

/// What clamd says about a whole file.
///
/// `Clean` means that no signature matched in what clamd looked at. Above its `MaxFileSize` it looks at nothing, and says
/// so only with `AlertExceedsMax yes`, which becomes [`LimitExceeded`](Self::LimitExceeded) here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing found.
    Clean,
    /// At least one signature matched.
    Infected {
        /// Their names, in the order of clamd's replies; never empty.
        signatures: Vec<String>,
    },
    /// Not looked at as a whole, because of a limit of clamd's. It is no malware, and no clean bill either.
    LimitExceeded {
        /// Which of clamd's limits, such as `MaxFileSize`.
        limit: String,
    },
}

/// How clamd names what it did not look into.
const LIMITS: &str = "Heuristics.Limits.Exceeded";

impl Verdict {
    /// The verdict out of the names that clamd reported; [`Clean`](Self::Clean) without any.
    ///
    /// ```
    /// use clamd_proto::Verdict;
    /// let limit = "Heuristics.Limits.Exceeded.MaxFileSize".to_owned();
    /// assert_eq!(Verdict::of(vec![limit.clone()]), Verdict::LimitExceeded { limit: "MaxFileSize".to_owned() });
    /// let both = Verdict::of(vec![limit, "Win.Test".to_owned()]);
    /// assert_eq!(both.signatures(), ["Win.Test"]);
    /// ```
    pub fn of(mut names: Vec<String>) -> Self {
        let Some(first) = names.iter().find_map(|name| limit(name)) else {
            return if names.is_empty() {
                Self::Clean
            } else {
                Self::Infected { signatures: names }
            };
        };
        let first = first.to_owned();
        names.retain(|name| limit(name).is_none());
        if names.is_empty() {
            Self::LimitExceeded { limit: first }
        } else {
            Self::Infected { signatures: names }
        }
    }

    /// The names of the signatures that matched.
    pub fn signatures(&self) -> &[String] {
        match self {
            Self::Infected { signatures } => signatures,
            Self::Clean | Self::LimitExceeded { .. } => &[],
        }
    }

    /// Whether a signature matched.
    pub const fn is_infected(&self) -> bool {
        matches!(self, Self::Infected { .. })
    }
}

/// The limit that a name stands for.
fn limit(name: &str) -> Option<&str> {
    let rest = name.strip_prefix(LIMITS)?;
    if rest.is_empty() {
        return Some("unnamed");
    }
    // A user's own signature has a suffix, and is one.
    rest.strip_prefix('.').filter(|limit| !limit.ends_with(".UNOFFICIAL"))
}
