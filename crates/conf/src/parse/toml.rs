//! TOML. The parser goes on after a mistake, so that every one is reported, with what could be read around them.

use std::ops::Range;

use toml::de::{DeInteger, DeTable, DeValue};

use super::{MAX_DEPTH, too_deep};
use crate::{
    problem::Problem,
    source::{Source, Span},
    tree::{Entry, Node, Value},
};

/// So often a text is read again without its broken lines, to find what stands behind them.
const MAX_ATTEMPTS: usize = 50;

pub(super) fn read(source: &Source) -> (Option<Node>, Vec<Problem>) {
    let mut problems: Vec<Problem> = Vec::new();
    let mut lost = Vec::new();
    let mut text = source.text().to_owned();
    for _ in 0..MAX_ATTEMPTS {
        let (_, errors) = DeTable::parse_recoverable(&text);
        let found = one_for_each_line(source, &errors);
        let mut is_mended = !found.is_empty();
        for problem in found {
            let at = problem.span.as_ref().map_or(0, |span| span.start);
            is_mended &= blank(&mut text, at, &mut lost);
            // Only the last reading, without the lines after it, shows where an unclosed list begins.
            if problem.message.ends_with("before this is not closed") {
                problems.retain(|known| known.message != problem.message);
            }
            problems.push(problem);
        }
        // Nothing is wrong any more, or what is wrong spans lines, so that leaving out one makes others wrong.
        if !is_mended {
            break;
        }
    }
    let (table, _) = DeTable::parse_recoverable(&text);
    let mut builder = Builder { source, problems, lost };
    let root = Node::new(source.span(table.span()), builder.table(table.get_ref(), 0));
    (Some(root), builder.problems)
}

/// The first problem of each line: the others mostly follow from it. An unclosed list says more than what it leads to.
fn one_for_each_line(source: &Source, errors: &[toml::de::Error]) -> Vec<Problem> {
    let mut problems: Vec<(usize, bool, Problem)> = Vec::new();
    for error in errors {
        let problem = syntax(source, error);
        let line = problem.place().map_or(0, |place| place.line);
        let is_unclosed = error.message().starts_with("unclosed");
        match problems.iter_mut().find(|(known, ..)| *known == line) {
            Some(known) if is_unclosed && !known.1 => *known = (line, true, problem),
            Some(_) => {}
            None => problems.push((line, is_unclosed, problem)),
        }
    }
    problems.into_iter().map(|(_, _, problem)| problem).collect()
}

/// Puts spaces for the line at `at`, if it is whole in itself. A section's name is left: its keys are `lost` instead,
/// for nobody can say where they belong.
fn blank(text: &mut String, at: usize, lost: &mut Vec<Range<usize>>) -> bool {
    let start = text
        .get(..at)
        .and_then(|before| before.rfind('\n'))
        .map_or(0, |newline| newline + 1);
    let line = text
        .get(start..)
        .and_then(|rest| rest.lines().next())
        .unwrap_or_default();
    let count = |c: char| line.matches(c).count();
    let is_whole = count('[') == count(']') && count('{') == count('}');
    if line.trim_start().starts_with('[') {
        let rest = text.get(start + line.len()..).unwrap_or_default();
        let next = rest.find("\n[").unwrap_or(rest.len());
        lost.push(start..start + line.len() + next);
    }
    if !is_whole
        || line.contains("\"\"\"")
        || line.contains("'''")
        || line.trim_start().starts_with('[')
        || line.trim().is_empty()
    {
        return false;
    }
    let spaces = " ".repeat(line.len());
    let end = start + line.len();
    text.replace_range(start..end, &spaces);
    true
}

struct Builder<'a> {
    source: &'a Source,
    problems: Vec<Problem>,
    /// Stretches whose keys are left out.
    lost: Vec<Range<usize>>,
}

impl Builder<'_> {
    fn table(&mut self, table: &DeTable<'_>, depth: usize) -> Value {
        let entries = table.iter().filter_map(|(key, value)| {
            let at = self.source.span(key.span());
            if depth == 0 && self.lost.iter().any(|lost| lost.contains(&at.start)) {
                return None;
            }
            let node = self.node(value.get_ref(), self.source.span(value.span()), depth + 1)?;
            Some(Entry {
                key: key.get_ref().clone().into_owned(),
                at,
                node,
            })
        });
        Value::Map(entries.collect())
    }

    fn node(&mut self, value: &DeValue<'_>, at: Span, depth: usize) -> Option<Node> {
        if depth > MAX_DEPTH {
            self.problems.push(too_deep(&at));
            return None;
        }
        let value = match value {
            DeValue::String(text) => Value::Str(text.clone().into_owned()),
            DeValue::Boolean(value) => Value::Bool(*value),
            DeValue::Integer(number) => self.integer(number, &at),
            DeValue::Float(number) => self.float(number.as_str(), &at),
            // Settings know no dates of their own: who reads one decides what it is.
            DeValue::Datetime(date) => Value::Plain(date.to_string()),
            DeValue::Table(table) => self.table(table, depth),
            DeValue::Array(array) => {
                let elements = array.iter();
                let node = |element: &toml::Spanned<DeValue<'_>>| {
                    self.node(element.get_ref(), self.source.span(element.span()), depth + 1)
                };
                Value::Seq(elements.filter_map(node).collect())
            }
        };
        Some(Node::new(at, value))
    }

    fn integer(&mut self, number: &DeInteger<'_>, at: &Span) -> Value {
        if let Ok(number) = i128::from_str_radix(number.as_str(), number.radix()) {
            return Value::Int(number);
        }
        self.too_large(at)
    }

    fn float(&mut self, text: &str, at: &Span) -> Value {
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() || text.contains("inf") || text.contains("nan") => Value::Float(number),
            _ => self.too_large(at),
        }
    }

    fn too_large(&mut self, at: &Span) -> Value {
        let literal = self.source.text().get(at.start..at.end).unwrap_or_default();
        // A key without a value is read as an empty number; the parser has complained of it already.
        if !literal.is_empty() {
            self.problems
                .push(Problem::error(format!("the number `{literal}` is too large")).at(at));
        }
        Value::Int(0)
    }
}

fn syntax(source: &Source, error: &toml::de::Error) -> Problem {
    let range = error.span().unwrap_or(0..0);
    let at = source.span(range.clone());
    let said = error.message().lines().next().unwrap_or_default();
    let (message, help) = words(said, source.text().get(range).unwrap_or_default());
    let problem = Problem::syntax(message, &at);
    match help {
        Some(help) => problem.with_help(help),
        None => problem,
    }
}

/// The parser's message in our words, where it can be said more plainly. `text` is what it points at.
fn words(said: &str, text: &str) -> (String, Option<&'static str>) {
    let has = |part: &str| said.contains(part);
    let is_word = text.starts_with(|c: char| c.is_alphabetic());
    let quotes = "text stands in quotes: `\"info\"`; numbers, `true` and `false` without";
    let (message, help) = match said.split(", expected").next().unwrap_or_default() {
        "duplicate key" => {
            let key = text.trim_matches(['"', '\'']);
            return (format!("the key `{key}` is given twice"), Some("keep one of the two"));
        }
        "key with no value" => (
            "`=` and a value are missing after this key",
            Some("write `key = value`"),
        ),
        "missing value for key" | "missing value" => (
            "this key has no value",
            Some("write a value after `=`, or remove the key"),
        ),
        "extra `=`" => ("there is an `=` too many", Some("remove it")),
        "invalid unquoted key" => (
            "a key holds only letters, digits, `_` and `-`",
            Some("write `key = value`; put any other key in quotes"),
        ),
        "unclosed array" => ("a list before this is not closed", Some("write `]` at its end")),
        "unclosed table" => ("the name of this section is not closed", Some("write `]` after it")),
        "unclosed array table" => ("the name of this section is not closed", Some("write `]]` after it")),
        "unclosed inline table" => ("a section before this is not closed", Some("write `}` at its end")),
        "missing comma between array elements" => (
            "a comma is missing before this",
            Some("write `,` between the values of a list"),
        ),
        "extra comma in array" => ("there is a comma too many", Some("remove it")),
        _ if has("recurs") => ("sections and lists lie too deep in one another", None),
        _ if has("must be quoted") && text.is_empty() => (
            "this key has no value",
            Some("write a value after `=`, or remove the key"),
        ),
        _ if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") => {
            ("`true` and `false` are written in small letters", None)
        }
        _ if has("must be quoted") || is_word && said.starts_with("invalid ") => {
            ("this text is not in quotes", Some(quotes))
        }
        _ if has("escape") || has("unicode value") => (
            "this text holds a `\\` escape that TOML does not know",
            Some("write `\\\\` for a backslash, or use single quotes"),
        ),
        _ if said.starts_with("invalid basic string") => {
            ("this text has no closing quote", Some("write `\"` at its end"))
        }
        _ if said.starts_with("invalid literal string") => {
            ("this text has no closing quote", Some("write `'` at its end"))
        }
        _ if said.is_empty() => ("this cannot be read as TOML", None),
        _ => return (said.to_owned(), None),
    };
    (message.to_owned(), help)
}
