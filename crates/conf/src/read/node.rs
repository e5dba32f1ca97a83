//! The deserializer over a tree.

use std::collections::HashSet;

use serde::{
    Deserializer,
    de::{self, Unexpected, Visitor},
    forward_to_deserialize_any,
};

use super::{
    access::{Choice, Elements, Entries},
    error::{Error, What},
    scalar, words,
};
use crate::tree::{Entry, Node, Value};

/// Reads one node. Nodes whose ids are in `skip` are taken for absent.
#[derive(Clone, Copy)]
pub(super) struct Reader<'t> {
    pub(super) node: &'t Node,
    pub(super) skip: &'t HashSet<u32>,
    /// A key of a map: text wherever text will do.
    is_key: bool,
    /// The key of this value, where it has one.
    key: Option<&'t str>,
}

impl<'t> Reader<'t> {
    pub(super) fn new(node: &'t Node, skip: &'t HashSet<u32>) -> Self {
        Self {
            node,
            skip,
            is_key: false,
            key: None,
        }
    }

    pub(super) fn of_key(node: &'t Node, skip: &'t HashSet<u32>) -> Self {
        Self {
            node,
            skip,
            is_key: true,
            key: None,
        }
    }

    pub(super) fn of_entry(entry: &'t Entry, skip: &'t HashSet<u32>) -> Self {
        Self {
            key: Some(&entry.key),
            ..Self::new(&entry.node, skip)
        }
    }

    /// Hands the value to the visitor as what it is; a plain text as what it looks like.
    fn as_it_is<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Int(number) => integer(*number, visitor),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Str(text) => visitor.visit_str(text),
            Value::Plain(text) if self.is_key => visitor.visit_str(text),
            Value::Plain(text) => match (scalar::boolean(text), scalar::whole(text), scalar::decimal(text)) {
                (Some(value), ..) => visitor.visit_bool(value),
                (_, Some(number), _) => integer(number, visitor),
                (.., Some(number)) => visitor.visit_f64(number),
                _ => visitor.visit_str(text),
            },
            Value::Seq(elements) => visitor.visit_seq(Elements::new(elements, self.skip)),
            Value::Map(entries) => visitor.visit_map(Entries::new(entries, self.skip, None)),
        }
    }

    /// As [`Self::as_it_is`], but plain text stays text.
    fn as_text<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        // No path, address or header can hold one: the system would end the name there, or refuse it much later.
        if self.node.text().is_some_and(|text| text.contains('\0')) {
            let what = What::Other("must not hold a NUL character".to_owned());
            return Err(Error::new(what));
        }
        if let Value::Plain(text) = &self.node.value {
            return visitor.visit_str(text);
        }
        let quotable = match &self.node.value {
            Value::Bool(value) => Some(value.to_string()),
            Value::Int(number) => Some(number.to_string()),
            Value::Float(number) => Some(number.to_string()),
            _ => None,
        };
        let result = self.as_it_is(visitor);
        match quotable {
            Some(text) => result.map_err(|error| error.help(|| format!("write it in quotes: `\"{text}\"`"))),
            None => result,
        }
    }

    fn whole<'de, V: Visitor<'de>>(self, kind: &'static str, visitor: V) -> Result<V::Value, Error> {
        let (number, text) = match &self.node.value {
            Value::Int(number) => (*number, number.to_string()),
            Value::Plain(text) => match scalar::whole(text) {
                Some(number) => (number, text.clone()),
                None => return visitor.visit_str(text).map_err(|error| error_in_number(error, text)),
            },
            Value::Float(number) if number.fract() != 0.0 => {
                let expected = expectation(&visitor);
                return Err(Error::new(What::Type {
                    expected,
                    found: format!("the number `{number}`"),
                }));
            }
            _ => return self.as_it_is(visitor).map_err(|error| self.quoted(error)),
        };
        let expected = expectation(&visitor);
        integer(number, visitor).map_err(|error| match error.what {
            // serde says `invalid value: integer`; the range says more.
            What::Type { .. } if words::whole_number(kind).is_some() => Error::new(What::Type {
                expected,
                found: format!("`{text}`"),
            }),
            _ => error,
        })
    }

    /// `"12"` for a number stays an error, with the remedy.
    fn quoted(&self, error: Error) -> Error {
        match &self.node.value {
            Value::Str(text) if scalar::decimal(text).is_some() && matches!(error.what, What::Type { .. }) => {
                error.help(|| format!("remove the quotes: `{text}`"))
            }
            _ => error,
        }
    }

    fn list<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Seq(elements) => visitor.visit_seq(Elements::new(elements, self.skip)),
            // One variable is one line: lists are written with commas in it.
            Value::Plain(text) if self.node.at.source.kind().is_single() => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                let parts = bracketed(text).unwrap_or_else(|| parts.map(str::to_owned).collect());
                let nodes: Vec<Node> = parts
                    .into_iter()
                    .map(|part| Node {
                        value: Value::Plain(part),
                        ..self.node.clone()
                    })
                    .collect();
                visitor.visit_seq(Elements::new(&nodes, self.skip))
            }
            Value::Null => {
                let error: Error = de::Error::invalid_type(Unexpected::Unit, &visitor);
                Err(error.help(|| "write `[]` for an empty list, or remove the key".to_owned()))
            }
            Value::Plain(text) | Value::Str(text) => {
                let result = visitor.visit_str(text);
                result.map_err(|error: Error| error.help(|| format!("write it as a list: `[{}]`", quote(text))))
            }
            _ => self.as_it_is(visitor),
        }
    }

    /// A section with known keys, or, without them, a map.
    fn section<'de, V: Visitor<'de>>(
        self,
        known: Option<&'static [&'static str]>,
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Map(entries) => visitor.visit_map(Entries::new(entries, self.skip, known)),
            // A section whose keys are all commented out.
            Value::Null => visitor.visit_map(Entries::new(&[], self.skip, known)),
            // serde would take a list for the fields in their order.
            Value::Seq(_) => Err(de::Error::invalid_type(Unexpected::Seq, &visitor)),
            Value::Str(text) | Value::Plain(text) => visitor.visit_str(text),
            _ => self.as_it_is(visitor),
        }
    }

    fn placed<T>(self, read: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        read().map_err(|error| error.at(self.node.id, false))
    }
}

/// The texts of a list that is written as in a file, `["a", "b"]`. Without quotes the brackets may belong to the text, as
/// in a pattern.
fn bracketed(text: &str) -> Option<Vec<String>> {
    let mut rest = text.trim().strip_prefix('[')?.strip_suffix(']')?.trim();
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let quote = rest.chars().next().filter(|first| matches!(first, '"' | '\''))?;
        let (part, after) = rest.strip_prefix(quote)?.split_once(quote)?;
        parts.push(part.to_owned());
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(next) => next.trim_start(),
            None if after.is_empty() => after,
            None => return None,
        };
    }
    Some(parts)
}

fn integer<'de, V: Visitor<'de>>(number: i128, visitor: V) -> Result<V::Value, Error> {
    if let Ok(number) = u64::try_from(number) {
        visitor.visit_u64(number)
    } else if let Ok(number) = i64::try_from(number) {
        visitor.visit_i64(number)
    } else {
        let expected = expectation(&visitor);
        let result = visitor.visit_i128(number);
        // The default of that method knows neither the number nor the expectation in our words.
        result.map_err(|_: Error| {
            Error::new(What::Type {
                expected,
                found: format!("the number `{number}`"),
            })
        })
    }
}

/// What a visitor says it expects, in our words.
fn expectation<'de, V: Visitor<'de>>(visitor: &V) -> String {
    let expected: &dyn de::Expected = visitor;
    words::expected(&expected.to_string())
}

fn error_in_number(error: Error, text: &str) -> Error {
    let digits = text.trim_start_matches('0');
    let leading_zero =
        digits.len() < text.len() && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if leading_zero {
        return error.help(|| format!("write `{digits}`, or `0o{digits}` if it is octal"));
    }
    error
}

fn quote(text: &str) -> String {
    format!("\"{}\"", words::short(text).escape_default())
}

macro_rules! whole_numbers {
    ($($method:ident $kind:literal)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.placed(|| self.whole($kind, visitor))
        })*
    };
}

macro_rules! placed {
    ($($method:ident => $read:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.placed(|| self.$read(visitor))
        })*
    };
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Error;

    whole_numbers! {
        deserialize_u8 "u8" deserialize_u16 "u16" deserialize_u32 "u32" deserialize_u64 "u64" deserialize_u128 "u128"
        deserialize_i8 "i8" deserialize_i16 "i16" deserialize_i32 "i32" deserialize_i64 "i64" deserialize_i128 "i128"
    }

    placed! {
        deserialize_any => as_it_is
        deserialize_str => as_text
        deserialize_string => as_text
        deserialize_char => as_text
        deserialize_identifier => as_text
        deserialize_seq => list
    }

    forward_to_deserialize_any! { bytes byte_buf }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.placed(|| {
            let (Value::Plain(text) | Value::Str(text)) = &self.node.value else {
                return self.as_it_is(visitor);
            };
            let is_plain = matches!(self.node.value, Value::Plain(_));
            match scalar::boolean(text).filter(|_| is_plain) {
                Some(value) => visitor.visit_bool(value),
                None => visitor
                    .visit_str(text)
                    .map_err(|error: Error| match scalar::nearly_boolean(text) {
                        Some(meant) if is_plain => error.help(|| format!("write `{meant}`")),
                        Some(meant) => error.help(|| format!("write `{meant}`, without quotes")),
                        None => error,
                    }),
            }
        })
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.placed(|| match &self.node.value {
            Value::Plain(text) => match scalar::decimal(text) {
                Some(number) => visitor.visit_f64(number),
                None => visitor.visit_str(text),
            },
            _ => self.as_it_is(visitor).map_err(|error| self.quoted(error)),
        })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.placed(|| match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        })
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_any(visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_any(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        self.placed(|| visitor.visit_newtype_struct(self))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.placed(|| self.section(None, visitor))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.placed(|| self.section(Some(known), visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.placed(|| visitor.visit_enum(Choice::new(self, known)?))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        // A derived struct ignores the value of a key that it does not know: so it was read by way of a map.
        if let Some(key) = self.key {
            let (name, known) = (key.to_owned(), &[] as &[&str]);
            return Err(Error::new(What::UnknownKey { name, known }).at(self.node.id, true));
        }
        visitor.visit_unit()
    }
}
