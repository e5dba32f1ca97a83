//! The frame around every message of the link, whatever carries it.
use core_model::MessageId;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

/// A message on its way: a text frame of the socket, or one of the messages of a poll. Unknown fields are ignored, here
/// and in every payload, so that a later minor version may add some.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Envelope {
    /// What the payload is, such as `COMMAND`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The version of this type's payload, from 1. It grows only where an older reader would misunderstand.
    pub v: u32,
    /// The message's id: answers name it.
    pub id: MessageId,
    /// The payload, read by whoever knows the type.
    pub payload: Box<RawValue>,
}

/// A message that cannot be read. The link goes on without it, and the other side is told by an
/// [`ErrorMessage`](super::ErrorMessage).
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The type is not known: it is of a later version, or of the other side.
    #[error("messages of type `{kind}` are not known here")]
    UnknownType {
        /// The type.
        kind: String,
    },
    /// The payload's version is later than the one known here.
    #[error("`{kind}` of version {found} is not known here; version {known} is")]
    TooNew {
        /// The type.
        kind: String,
        /// The version that came.
        found: u32,
        /// The latest version known here.
        known: u32,
    },
    /// The payload is not what its type says.
    #[error("the payload of `{kind}` cannot be read")]
    Payload {
        /// The type.
        kind: String,
        /// Why.
        source: serde_json::Error,
    },
}

impl ReadError {
    /// A stable name of the reason: `unknown_type`, `unknown_version` or `invalid_payload`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownType { .. } => "unknown_type",
            Self::TooNew { .. } => "unknown_version",
            Self::Payload { .. } => "invalid_payload",
        }
    }
}

impl Envelope {
    /// Puts a payload into its frame.
    ///
    /// # Errors
    /// When the payload has no JSON form.
    pub(super) fn of<P: Serialize>(kind: &str, v: u32, id: MessageId, payload: &P) -> serde_json::Result<Self> {
        Ok(Self {
            kind: kind.to_owned(),
            v,
            id,
            payload: serde_json::value::to_raw_value(payload)?,
        })
    }

    /// Reads the payload as one of version `known` or earlier.
    pub(super) fn payload<P: DeserializeOwned>(&self, known: u32) -> Result<P, ReadError> {
        if self.v > known {
            return Err(ReadError::TooNew {
                kind: self.kind.clone(),
                found: self.v,
                known,
            });
        }
        serde_json::from_str(self.payload.get()).map_err(|source| ReadError::Payload {
            kind: self.kind.clone(),
            source,
        })
    }
}

/// An enum of messages, their names and versions: the one list of what one side says.
macro_rules! messages {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident($payload:ty) = $kind:literal, $v:literal;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_doc])* $variant($payload),)*
        }

        impl $name {
            /// Every type with the version of its payload.
            pub const TYPES: &'static [(&'static str, u32)] = &[$(($kind, $v)),*];

            /// The message's type on the wire.
            pub const fn kind(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $kind,)*
                }
            }

            /// The message in its frame.
            ///
            /// # Errors
            /// When a value in it has no JSON form.
            pub fn to_envelope(&self, id: core_model::MessageId) -> serde_json::Result<$crate::link::Envelope> {
                match self {
                    $(Self::$variant(payload) => $crate::link::Envelope::of($kind, $v, id, payload),)*
                }
            }

            /// Reads what is in a frame.
            ///
            /// # Errors
            /// When the type or its version is not known, or the payload is not of its type.
            pub fn of_envelope(envelope: &$crate::link::Envelope) -> Result<Self, $crate::link::ReadError> {
                match envelope.kind.as_str() {
                    $($kind => envelope.payload($v).map(Self::$variant),)*
                    _ => Err($crate::link::ReadError::UnknownType { kind: envelope.kind.clone() }),
                }
            }
        }
    };
}
pub(super) use messages;
