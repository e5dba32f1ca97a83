//! Sections, lists and choices, one item at a time. An error without a place gets that of the item it arose in: serde
//! reads some types through buffers that know no places.

use std::collections::HashSet;

use serde::de::{self, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};

use super::{
    error::{Error, What},
    node::Reader,
    words,
};
use crate::{
    nearest::alternatives,
    tree::{Entry, Node, Value},
};

pub(super) struct Elements<'t> {
    rest: std::slice::Iter<'t, Node>,
    skip: &'t HashSet<u32>,
}

impl<'t> Elements<'t> {
    pub(super) fn new(elements: &'t [Node], skip: &'t HashSet<u32>) -> Self {
        Self {
            rest: elements.iter(),
            skip,
        }
    }
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let skip = self.skip;
        let Some(node) = self.rest.find(|node| !skip.contains(&node.id)) else {
            return Ok(None);
        };
        seed.deserialize(Reader::new(node, skip))
            .map(Some)
            .map_err(|error| error.at(node.id, false))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(
            self.rest
                .as_slice()
                .iter()
                .filter(|node| !self.skip.contains(&node.id))
                .count(),
        )
    }
}

pub(super) struct Entries<'t> {
    rest: std::slice::Iter<'t, Entry>,
    value: Option<&'t Entry>,
    skip: &'t HashSet<u32>,
    known: Option<&'static [&'static str]>,
}

impl<'t> Entries<'t> {
    pub(super) fn new(entries: &'t [Entry], skip: &'t HashSet<u32>, known: Option<&'static [&'static str]>) -> Self {
        Self {
            rest: entries.iter(),
            value: None,
            skip,
            known,
        }
    }
}

/// A key as a node, so that keys of any simple type can be read.
fn key_node(entry: &Entry) -> Node {
    Node {
        id: entry.node.id,
        at: entry.at.clone(),
        value: Value::Plain(entry.key.clone()),
    }
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let skip = self.skip;
        let Some(entry) = self.rest.find(|entry| !skip.contains(&entry.node.id)) else {
            return Ok(None);
        };
        self.value = Some(entry);
        if let Some(known) = self.known
            && !known.contains(&entry.key.as_str())
        {
            let what = What::UnknownKey {
                name: entry.key.clone(),
                known,
            };
            return Err(Error::new(what).at(entry.node.id, true));
        }
        let on_key = |mut error: Error| {
            // The reader of the key placed it at the id it shares with the value.
            error.spot = None;
            error.at(entry.node.id, true)
        };
        seed.deserialize(Reader::of_key(&key_node(entry), skip))
            .map(Some)
            .map_err(on_key)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        let Some(entry) = self.value.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        seed.deserialize(Reader::of_entry(entry, self.skip))
            .map_err(|error| error.at(entry.node.id, false))
    }
}

/// An externally tagged choice: a name, or a section with the name as its only key.
pub(super) struct Choice<'t> {
    name: Node,
    content: Option<&'t Node>,
    skip: &'t HashSet<u32>,
}

impl<'t> Choice<'t> {
    pub(super) fn new(reader: Reader<'t>, known: &'static [&'static str]) -> Result<Self, Error> {
        let (node, skip) = (reader.node, reader.skip);
        let wrong = |found: &str| {
            Err(Error::new(What::Type {
                expected: alternatives(known.iter().copied()),
                found: found.to_owned(),
            }))
        };
        match &node.value {
            Value::Str(_) | Value::Plain(_) => Ok(Self {
                name: node.clone(),
                content: None,
                skip,
            }),
            Value::Map(entries) => {
                let mut left = entries.iter().filter(|entry| !skip.contains(&entry.node.id));
                match (left.next(), left.next()) {
                    (Some(entry), None) if !known.contains(&entry.key.as_str()) => {
                        let found = format!("`{}`", words::short(&entry.key));
                        Err(Error::new(What::Choice { found, known }).at(entry.node.id, true))
                    }
                    (Some(entry), None) => Ok(Self {
                        name: key_node(entry),
                        content: Some(&entry.node),
                        skip,
                    }),
                    (None, _) => wrong("an empty section"),
                    (Some(_), Some(_)) => wrong("a section with several keys"),
                }
            }
            Value::Null => wrong("nothing"),
            Value::Bool(value) => wrong(&format!("`{value}`")),
            Value::Int(number) => wrong(&format!("the number `{number}`")),
            Value::Float(number) => wrong(&format!("the number `{number}`")),
            Value::Seq(_) => wrong("a list"),
        }
    }

    fn content(&self) -> Result<Reader<'t>, Error> {
        let needs = || {
            let name = self.name.text().unwrap_or_default();
            Error::new(What::Other(format!("`{name}` needs settings of its own")))
                .help(|| format!("write a section with the key `{name}` and its settings as the value"))
        };
        self.content.map(|node| Reader::new(node, self.skip)).ok_or_else(needs)
    }
}

impl<'de> EnumAccess<'de> for Choice<'_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Error> {
        let value = seed.deserialize(Reader::of_key(&self.name, self.skip))?;
        Ok((value, self))
    }
}

impl<'de> VariantAccess<'de> for Choice<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        match self.content {
            Some(node) if !matches!(node.value, Value::Null) => {
                let name = self.name.text().unwrap_or_default();
                Err(Error::new(What::Other(format!("`{name}` takes no settings of its own"))).at(node.id, false))
            }
            _ => Ok(()),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self.content()?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.content()?.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, known: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        self.content()?.deserialize_struct("", known, visitor)
    }
}
