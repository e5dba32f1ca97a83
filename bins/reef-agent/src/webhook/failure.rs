//! Why a detection did not arrive, and what follows. Pure.
use core_model::Secret;
use std::time::Duration;
use transport_http::SendError;

/// Why a detection did not arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    /// The error with its causes, without a secret.
    pub(super) text: String,
    /// When the receiver wants to be asked again.
    pub(super) retry_after: Option<Duration>,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The receiver will not have this one: after a few times it is given up.
    Refused,
    /// The receiver may be at fault, or this one: it is given up if others arrive.
    Doubtful,
    /// It arrives when the receiver is back, or a person has put the settings right.
    Later,
    /// The agent stops.
    Stopped,
}

impl Failure {
    pub(super) fn new(error: SendError, secrets: &[Secret]) -> Self {
        let (kind, retry_after) = (kind(&error), error.retry_after());
        Self {
            kind,
            retry_after,
            text: masked(format!("{:#}", anyhow::Error::new(error)), secrets),
        }
    }
}

fn kind(error: &SendError) -> Kind {
    match error {
        SendError::Cancelled { .. } => Kind::Stopped,
        SendError::Refused { status, .. } => match status.as_u16() {
            // The address, its token or the way is wrong, or the receiver is busy: it would refuse any other as well.
            401 | 403 | 404 | 405 | 407 | 408 | 410 | 425 | 429 => Kind::Later,
            _ => Kind::Refused,
        },
        SendError::Failed { status, .. } if status.as_u16() == 500 => Kind::Doubtful,
        _ => Kind::Later,
    }
}

/// `text` without what is secret in it: the error names the path, and a receiver may well repeat what it was sent.
fn masked(mut text: String, secrets: &[Secret]) -> String {
    let mut secrets: Vec<&str> = secrets.iter().map(Secret::reveal).collect();
    // The longest first: a part of it that was replaced would leave the rest.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    for secret in secrets {
        // Shorter ones are no secrets, and stand in every other text.
        for part in [secret, secret.rsplit(' ').next().unwrap_or_default()] {
            if part.len() >= 4 {
                text = text.replace(part, "***");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use transport_http::{Problem, StatusCode};

    fn answered(status: u16, detail: &str) -> SendError {
        let (endpoint, status) = (
            "https://chat.example.com/T1/hunter2".to_owned(),
            StatusCode::from_u16(status).unwrap(),
        );
        let problem = Some(Problem {
            detail: detail.to_owned(),
            ..Problem::default()
        });
        if status.is_client_error() {
            SendError::Refused {
                endpoint,
                status,
                problem,
                retry_after: Some(Duration::from_secs(7)),
            }
        } else {
            SendError::Failed {
                endpoint,
                status,
                problem,
                retry_after: None,
            }
        }
    }

    #[test]
    fn only_what_the_receiver_will_never_take_is_refused() {
        for (status, expected) in [
            (400, Kind::Refused),
            (413, Kind::Refused),
            (422, Kind::Refused),
            (401, Kind::Later),
            (404, Kind::Later),
            (410, Kind::Later),
            (429, Kind::Later),
            (500, Kind::Doubtful),
            (503, Kind::Later),
        ] {
            assert_eq!(Failure::new(answered(status, ""), &[]).kind, expected, "{status}");
        }
    }

    #[test]
    fn neither_the_address_nor_what_the_receiver_repeats_of_it_is_shown() {
        let secrets = ["/T1/hunter2", "Bearer letmein1"].map(Secret::new);
        let failure = Failure::new(answered(403, "no such token: letmein1 in /T1/hunter2"), &secrets);
        assert_eq!(
            failure.text,
            "https://chat.example.com*** refused the request (403 Forbidden): no such token: *** in ***"
        );
        assert_eq!(failure.retry_after, Some(Duration::from_secs(7)));
    }
}
