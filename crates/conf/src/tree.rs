//! The tree that every format becomes: values, each with its place.

use crate::{
    path::{KeyPath, Segment},
    problem::Problem,
    source::{Place, Span},
};

/// A value and its place in a text.
#[derive(Clone, Debug)]
pub struct Node {
    /// Numbers the nodes of one tree, so that an error can say which it concerns. 0 until [`Tree::new`] has numbered.
    pub(crate) id: u32,
    pub(crate) at: Span,
    pub(crate) value: Value,
}

/// What a [`Node`] holds.
#[derive(Clone, Debug)]
pub enum Value {
    /// `null`, or nothing where YAML expects a value.
    Null,
    /// `true` or `false`, as TOML and JSON write them.
    Bool(bool),
    /// A whole number of TOML or JSON.
    Int(i128),
    /// A number with a fraction or an exponent of TOML or JSON.
    Float(f64),
    /// Text in quotes.
    Str(String),
    /// Text whose type its reader decides: a YAML scalar without quotes, an environment variable, an option of the
    /// command line, and whatever came out of `${…}`.
    Plain(String),
    /// A list.
    Seq(Vec<Node>),
    /// A section: keys with their values, in the order of the text, no key twice.
    Map(Vec<Entry>),
}

/// A key of a section and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    pub(crate) key: String,
    pub(crate) at: Span,
    pub(crate) node: Node,
}

impl Entry {
    /// The key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The key's place.
    pub fn place(&self) -> Place {
        self.at.place()
    }

    /// The value.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// A problem that is shown at the key.
    pub fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::error(message).at(&self.at)
    }
}

impl Node {
    pub(crate) fn new(at: Span, value: Value) -> Self {
        Self { id: 0, at, value }
    }

    /// What the node holds.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Where it stands.
    pub fn place(&self) -> Place {
        self.at.place()
    }

    /// The entries of a section; none for any other value.
    pub fn entries(&self) -> &[Entry] {
        if let Value::Map(entries) = &self.value {
            entries
        } else {
            &[]
        }
    }

    /// The elements of a list; none for any other value.
    pub fn elements(&self) -> &[Self] {
        if let Value::Seq(elements) = &self.value {
            elements
        } else {
            &[]
        }
    }

    /// The text of a quoted or plain scalar.
    pub fn text(&self) -> Option<&str> {
        if let Value::Str(text) | Value::Plain(text) = &self.value {
            Some(text)
        } else {
            None
        }
    }

    /// The value of a key of this section.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// A problem that is shown at this value.
    pub fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::error(message).at(&self.at)
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    fn step(&self, segment: &Segment) -> Option<&Self> {
        match segment {
            Segment::Key(key) => self.get(key),
            Segment::Index(index) => self.elements().get(*index),
        }
    }

    /// Calls `visit` with every node, parents before children.
    pub(crate) fn walk<'a>(&'a self, path: &mut KeyPath, visit: &mut impl FnMut(&KeyPath, &'a Self)) {
        visit(path, self);
        for entry in self.entries() {
            path.0.push(Segment::Key(entry.key.clone()));
            entry.node.walk(path, visit);
            path.0.pop();
        }
        for (index, element) in self.elements().iter().enumerate() {
            path.0.push(Segment::Index(index));
            element.walk(path, visit);
            path.0.pop();
        }
    }

    pub(crate) fn each_mut(&mut self, visit: &mut impl FnMut(&mut Self)) {
        visit(self);
        match &mut self.value {
            Value::Map(entries) => entries.iter_mut().for_each(|entry| entry.node.each_mut(visit)),
            Value::Seq(elements) => elements.iter_mut().for_each(|element| element.each_mut(visit)),
            _ => {}
        }
    }

    /// Puts `above` over this node: sections join, anything else replaces.
    pub(crate) fn overlay(&mut self, above: Self) {
        match (&mut self.value, above.value) {
            (Value::Map(mine), Value::Map(theirs)) => {
                for entry in theirs {
                    match mine.iter_mut().find(|known| known.key == entry.key) {
                        Some(known) if matches!(known.node.value, Value::Map(_)) => known.node.overlay(entry.node),
                        Some(known) => *known = entry,
                        None => mine.push(entry),
                    }
                }
            }
            // A section whose keys are all commented out says nothing, so it takes nothing away.
            (Value::Map(_), Value::Null) => {}
            (_, value) => *self = Self::new(above.at, value),
        }
    }

    /// Takes out the entry at `keys`, if it is there.
    pub(crate) fn remove(&mut self, keys: &[&str]) -> Option<Entry> {
        let Value::Map(entries) = &mut self.value else {
            return None;
        };
        let (first, rest) = keys.split_first()?;
        let position = entries.iter().position(|entry| entry.key == *first)?;
        if rest.is_empty() {
            return Some(entries.remove(position));
        }
        let section = &mut entries.get_mut(position)?.node;
        let removed = section.remove(rest);
        // A section of which nothing is left goes with its last key: it may be known by nothing else.
        if removed.is_some() && matches!(&section.value, Value::Map(left) if left.is_empty()) {
            entries.remove(position);
        }
        removed
    }
}

/// A parsed text, or several laid over one another.
///
/// [`parse`](crate::parse) makes one; [`from_tree`](crate::from_tree) makes a typed value of it.
#[derive(Clone, Debug)]
pub struct Tree {
    root: Node,
}

impl Tree {
    pub(crate) fn new(mut root: Node) -> Self {
        let mut next = 0;
        root.each_mut(&mut |node| {
            next += 1;
            node.id = next;
        });
        Self { root }
    }

    /// The outermost value: a section, unless the text holds something else.
    pub fn root(&self) -> &Node {
        &self.root
    }

    pub(crate) fn root_mut(&mut self) -> &mut Node {
        &mut self.root
    }

    /// The value at a path such as `scanner.scan_paths[0]`.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.at(&KeyPath::parse(key))
    }

    pub(crate) fn at(&self, path: &KeyPath) -> Option<&Node> {
        path.0.iter().try_fold(&self.root, Node::step)
    }

    /// The node at `path`, or the nearest above it: the root has no place worth showing, so it does not count.
    pub(crate) fn nearest_above(&self, path: &KeyPath) -> Option<(&Node, Option<&Entry>)> {
        let (mut node, mut found) = (&self.root, None);
        for segment in &path.0 {
            let entry = if let Segment::Key(key) = segment {
                node.entry(key)
            } else {
                None
            };
            let Some(next) = node.step(segment) else { break };
            node = next;
            found = Some((next, entry));
        }
        found
    }

    pub(crate) fn find(&self, id: u32) -> Option<(KeyPath, &Node)> {
        let mut found = None;
        self.root.walk(&mut KeyPath::default(), &mut |path, node| {
            if node.id == id {
                found = Some((path.clone(), node));
            }
        });
        found
    }
}
