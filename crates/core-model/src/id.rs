//! Ids: UUIDv7 (RFC 9562, section 5.7), each kind its own type.
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// A text that is no UUID where an id was wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id: expected a UUID such as 0190a5c1-7e2b-7c11-8a3e-5b1d9f0c2d4e")]
pub struct ParseIdError {
    text: String,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Makes an id from the instant of its birth and 10 random bytes, both handed in.
            pub fn new(at: DateTime<Utc>, random: [u8; 10]) -> Self {
                let millis = u64::try_from(at.timestamp_millis()).unwrap_or(0);
                Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
            }

            /// Wraps a UUID read from a file, a database or the wire.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID inside.
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self).map_err(|_| ParseIdError { text: text.to_owned() })
            }
        }
    };
}

id! {
    /// An agent, given at enrolment and kept with its key.
    AgentId
}
id! {
    /// A sequence of records of one agent, made with its state file. A later stream sorts after an earlier one.
    StreamId
}
id! {
    /// One ingest request: the same id when it is sent again.
    BatchId
}
id! {
    /// A join token, or an operator's session.
    TokenId
}
id! {
    /// An operator of the controller.
    UserId
}
id! {
    /// A command to one or more agents: the same id however often it is delivered.
    CommandId
}
id! {
    /// The wish of an agent without credentials to be taken into a fleet.
    ClaimId
}
id! {
    /// A message on the link between an agent and the controller.
    MessageId
}
id! {
    /// One start of an agent's process: a cloned host has the same [`AgentId`] and another of these.
    InstanceId
}
id! {
    /// Something that an agent met with or did: the same id however often it is told.
    EventId
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    #[test]
    fn a_later_id_sorts_after_an_earlier_one_and_survives_text() {
        let at = |millis| Utc.timestamp_millis_opt(millis).unwrap();
        let early = StreamId::new(at(1_700_000_000_000), [0xff; 10]);
        let late = StreamId::new(at(1_700_000_000_001), [0; 10]);
        assert!(early < late);
        assert_eq!(late.as_uuid().get_version_num(), 7);
        assert_eq!(late.to_string().parse::<StreamId>().unwrap(), late);
        assert!(
            "nonsense"
                .parse::<StreamId>()
                .unwrap_err()
                .to_string()
                .contains("nonsense")
        );
    }
}
