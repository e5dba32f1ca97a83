//! What serde reports while a tree is read, kept as data, with the node it concerns.

use std::fmt;

use serde::de::{self, Unexpected};

use super::words;

/// A node, or the key before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot {
    pub(crate) id: u32,
    pub(crate) on_key: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    UnknownKey {
        name: String,
        known: &'static [&'static str],
    },
    Missing(&'static str),
    Choice {
        found: String,
        known: &'static [&'static str],
    },
    Type {
        expected: String,
        found: String,
    },
    /// A key under two of its names.
    Twice(&'static str),
    Other(String),
}

/// One error of one reading.
#[derive(Clone, Debug)]
pub(crate) struct Error {
    pub(crate) what: What,
    pub(crate) spot: Option<Spot>,
    pub(crate) help: Option<String>,
}

impl Error {
    pub(crate) fn new(what: What) -> Self {
        Self {
            what,
            spot: None,
            help: None,
        }
    }

    /// Places the error at a node, unless something deeper has placed it already.
    pub(crate) fn at(mut self, id: u32, on_key: bool) -> Self {
        self.spot.get_or_insert(Spot { id, on_key });
        self
    }

    /// Adds a remedy, unless there is one.
    pub(crate) fn help(mut self, help: impl FnOnce() -> String) -> Self {
        self.help.get_or_insert_with(help);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::UnknownKey { name, .. } => write!(f, "unknown key `{name}`"),
            What::Missing(name) => write!(f, "the key `{name}` is missing"),
            What::Choice { found, known } => {
                write!(
                    f,
                    "expected {}, found {found}",
                    crate::nearest::alternatives(known.iter().copied())
                )
            }
            What::Type { expected, found } => write!(f, "expected {expected}, found {found}"),
            What::Twice(name) => write!(f, "the key `{name}` is given twice, under two of its names"),
            What::Other(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(What::Other(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(What::Type {
            expected: words::expected(&expected.to_string()),
            found: words::found(&found),
        })
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn invalid_length(length: usize, expected: &dyn de::Expected) -> Self {
        let found = if length == 1 {
            "1 value".to_owned()
        } else {
            format!("{length} values")
        };
        Self::new(What::Type {
            expected: words::expected(&expected.to_string()),
            found,
        })
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        Self::new(What::Choice {
            found: format!("`{}`", words::short(variant)),
            known,
        })
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::new(What::UnknownKey {
            name: field.to_owned(),
            known,
        })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(What::Missing(field))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(What::Twice(field))
    }
}
