//! YAML 1.2: one document, no merge keys, no tags but those of the core schema, aliases within a budget.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, StrInput, Tag};

use super::{MAX_DEPTH, too_deep, twice};
use crate::{
    problem::Problem,
    source::{Source, Span},
    tree::{Entry, Node, Value},
};

/// How many values aliases may add to a text: nine lists of nine aliases each would otherwise make 400 million.
const ALIAS_BUDGET: usize = 10_000;

pub(super) fn read(source: &Source) -> (Option<Node>, Vec<Problem>) {
    let mut builder = Builder {
        source,
        offsets: Offsets::new(source.text()),
        parser: Parser::new_from_str(source.text()),
        anchors: HashMap::new(),
        budget: ALIAS_BUDGET,
        problems: Vec::new(),
    };
    match builder.stream() {
        Ok(root) => (Some(root), builder.problems),
        Err(fatal) => {
            builder.problems.push(*fatal);
            (None, builder.problems)
        }
    }
}

type Fatal = Box<Problem>;

struct Builder<'a> {
    source: &'a Source,
    offsets: Offsets,
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    budget: usize,
    problems: Vec<Problem>,
}

impl<'a> Builder<'a> {
    fn stream(&mut self) -> Result<Node, Fatal> {
        let empty = Node::new(self.source.span(0..0), Value::Map(Vec::new()));
        let mut root = None;
        loop {
            let (event, at) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(root.unwrap_or(empty)),
                Event::DocumentStart(_) if root.is_some() => {
                    return Err(Box::new(
                        Problem::syntax("a second document begins here", &at).with_help(
                            "settings are one document: remove `---` and what follows, or use a file of its own",
                        ),
                    ));
                }
                Event::DocumentStart(_) => {
                    let (event, at) = self.next()?;
                    let node = self.node(event, at, 0)?;
                    // A file of nothing but comments is an empty section.
                    root = Some(if matches!(node.value, Value::Null) {
                        empty.clone()
                    } else {
                        node
                    });
                }
                _ => {}
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Fatal> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                let range = self.offsets.byte(span.start.index())..self.offsets.byte(span.end.index());
                Ok((event, self.source.span(range)))
            }
            Some(Err(error)) => Err(Box::new(self.syntax(&error))),
            None => Ok((Event::StreamEnd, self.source.span(0..0))),
        }
    }

    fn node(&mut self, event: Event<'a>, at: Span, depth: usize) -> Result<Node, Fatal> {
        if depth > MAX_DEPTH {
            return Err(Box::new(too_deep(&at)));
        }
        let (anchor, node) = match event {
            Event::Alias(anchor) => (0, self.alias(anchor, &at)?),
            Event::Scalar(text, style, anchor, tag) => {
                let value = self.scalar(text.into_owned(), style, tag.as_deref(), &at);
                (anchor, Node::new(at, value))
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), &["seq"], &at);
                let (elements, end) = self.elements(depth)?;
                (
                    anchor,
                    Node::new(self.source.span(at.start..end.end), Value::Seq(elements)),
                )
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), &["map"], &at);
                let (entries, end) = self.entries(depth)?;
                (
                    anchor,
                    Node::new(self.source.span(at.start..end.end), Value::Map(entries)),
                )
            }
            _ => return Err(Box::new(Problem::syntax("a value is missing here", &at))),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn elements(&mut self, depth: usize) -> Result<(Vec<Node>, Span), Fatal> {
        let mut elements = Vec::new();
        loop {
            let (event, at) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok((elements, at));
            }
            elements.push(self.node(event, at, depth + 1)?);
        }
    }

    fn entries(&mut self, depth: usize) -> Result<(Vec<Entry>, Span), Fatal> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen: HashMap<String, Span> = HashMap::new();
        loop {
            let (event, at) = self.next()?;
            if event == Event::MappingEnd {
                return Ok((entries, at));
            }
            let is_merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
            let key = self.node(event, at.clone(), depth + 1)?;
            let (event, value_at) = self.next()?;
            let node = self.node(event, value_at, depth + 1)?;
            let key = match key.value {
                _ if is_merge => {
                    let problem = Problem::error("merge keys (`<<`) are not supported").at(&at);
                    self.problems
                        .push(problem.with_help("write the keys out, or use an alias for a whole value"));
                    continue;
                }
                Value::Str(text) | Value::Plain(text) => text,
                Value::Null => {
                    self.problems
                        .push(Problem::error("a key is missing before this `:`").at(&at));
                    continue;
                }
                _ => {
                    self.problems
                        .push(Problem::error("a key must be text, not a list or a section").at(&at));
                    continue;
                }
            };
            match seen.get(&key) {
                Some(first) => self.problems.push(twice(&key, &at, first)),
                None => {
                    seen.insert(key.clone(), at.clone());
                    entries.push(Entry { key, at, node });
                }
            }
        }
    }

    fn alias(&mut self, anchor: usize, at: &Span) -> Result<Node, Fatal> {
        let Some(mut node) = self.anchors.get(&anchor).cloned() else {
            return Err(Box::new(Problem::syntax(
                "this alias stands for a value that contains it",
                at,
            )));
        };
        let mut size = 0;
        node.each_mut(&mut |_| size += 1);
        match self.budget.checked_sub(size) {
            Some(left) => self.budget = left,
            None => {
                return Err(Box::new(Problem::syntax(
                    "the aliases of this text stand for too many values",
                    at,
                )));
            }
        }
        Ok(node)
    }

    fn scalar(&mut self, text: String, style: ScalarStyle, tag: Option<&Tag>, at: &Span) -> Value {
        match tag {
            Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => return Value::Str(text),
            Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "null" => return Value::Null,
            Some(tag) if tag.handle.is_empty() && tag.suffix == "!" => return Value::Str(text),
            Some(_) => self.check_tag(tag, &["int", "float", "bool"], at),
            None => {}
        }
        if style != ScalarStyle::Plain {
            return Value::Str(text);
        }
        match text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Value::Null,
            _ => Value::Plain(text),
        }
    }

    fn check_tag(&mut self, tag: Option<&Tag>, known: &[&str], at: &Span) {
        let Some(tag) = tag else { return };
        if tag.is_yaml_core_schema() && known.contains(&tag.suffix.as_str()) {
            return;
        }
        let name = if tag.is_yaml_core_schema() {
            format!("!!{}", tag.suffix)
        } else {
            format!("{}{}", tag.handle, tag.suffix)
        };
        self.problems.push(
            Problem::error(format!("the tag `{name}` has no meaning here"))
                .at(at)
                .with_help("remove it"),
        );
    }

    fn syntax(&self, error: &ScanError) -> Problem {
        let start = self.offsets.byte(error.marker().index());
        let at = self.source.span(start..start);
        let text = self.source.text();
        let line_start = text
            .get(..at.start)
            .and_then(|before| before.rfind('\n'))
            .map_or(0, |newline| newline + 1);
        let line = text
            .get(line_start..)
            .and_then(|rest| rest.lines().next())
            .unwrap_or_default();
        let indent = line.len() - line.trim_start().len();
        if let Some(tab) = line.get(..indent).and_then(|indent| indent.find('\t')) {
            let at = self.source.span(line_start + tab..line_start + tab + 1);
            return Problem::syntax("this line is indented by a tab", &at).with_help("indent by spaces");
        }
        let (message, help) = words(error.info());
        let problem = Problem::syntax(message, &at);
        match help {
            Some(help) => problem.with_help(help),
            None => problem,
        }
    }
}

/// The parser's message in our words, where it can be said more plainly.
fn words(said: &str) -> (String, Option<&'static str>) {
    let has = |part: &str| said.contains(part);
    let (message, help) = if has("mapping values are not allowed") {
        (
            "a `:` is not expected here",
            Some("check that this line is indented like its neighbours; put text that holds `: ` in quotes"),
        )
    } else if has("simple key expect") {
        (
            "a `:` is missing after a key",
            Some("write `key: value`; close every quote and bracket before"),
        )
    } else if has("quoted scalar") && !has("escape") && !has("trailing") {
        (
            "this text has no closing quote",
            Some("close the quote; further lines of a long text must be indented"),
        )
    } else if has("illegal placement of ':'") {
        (
            "a `:` is not expected here",
            Some("close the brackets and quotes before it"),
        )
    } else if has("unexpected end of stream") || has("unexpected end of plain") {
        ("the text ends inside quotes or brackets", Some("close them"))
    } else if has("flow sequence") {
        (
            "this list is not closed, or a comma is missing",
            Some("write `,` between its values and `]` at its end"),
        )
    } else if has("flow mapping") {
        (
            "this section is not closed, or a comma is missing",
            Some("write `,` between its keys and `}` at its end"),
        )
    } else if has("tab") {
        ("a tab stands where only spaces may", Some("use spaces"))
    } else if has("indentation") || has("block collection") || has("block mapping") {
        (
            "this line is not indented like its neighbours",
            Some("keys of one section begin in the same column"),
        )
    } else if has("flow construct") {
        (
            "this line stands inside brackets that are not closed",
            Some("close them, or indent the line"),
        )
    } else if has("unknown escape") {
        (
            "this text holds a `\\` escape that YAML does not know",
            Some("write `\\\\` for a backslash, or use single quotes"),
        )
    } else if has("trailing content") {
        (
            "there is more text after the closing quote",
            Some("put the whole value in quotes, or add a space before `#`"),
        )
    } else if has("misplaced bracket") {
        ("there is a closing bracket too many", None)
    } else if has("recursion limit") {
        ("sections and lists lie too deep in one another", None)
    } else if has("unknown anchor") {
        (
            "this alias names no anchor before it",
            Some("define it with `&name` first, or put text that begins with `*` in quotes"),
        )
    } else if has("cannot start any token") || has("unexpected character") {
        (
            "a value cannot begin with this character",
            Some("put the value in quotes"),
        )
    } else {
        return (said.to_owned(), None);
    };
    (message.to_owned(), help)
}

/// The parser counts characters; everything else counts bytes.
struct Offsets(Option<Vec<usize>>);

impl Offsets {
    fn new(text: &str) -> Self {
        Self((!text.is_ascii()).then(|| text.char_indices().map(|(at, _)| at).chain([text.len()]).collect()))
    }

    fn byte(&self, character: usize) -> usize {
        match &self.0 {
            None => character,
            Some(table) => table.get(character).or(table.last()).copied().unwrap_or(0),
        }
    }
}
