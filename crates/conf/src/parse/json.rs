//! JSON with comments and trailing commas; nothing else is lax.

use std::collections::HashMap;

use jsonc_parser::{
    CollectOptions, ParseOptions, ParseStringErrorKind, ast,
    common::Ranged,
    errors::{ParseError, ParseErrorKind},
    parse_to_ast,
};

use super::{MAX_DEPTH, too_deep, twice};
use crate::{
    problem::Problem,
    source::{Source, Span},
    tree::{Entry, Node, Value},
};

pub(super) fn read(source: &Source) -> (Option<Node>, Vec<Problem>) {
    let options = ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    match parse_to_ast(source.text(), &CollectOptions::default(), &options) {
        Ok(parsed) => {
            let mut builder = Builder {
                source,
                problems: Vec::new(),
            };
            let root = match &parsed.value {
                Some(value) => builder.node(value, 0),
                None => Some(Node::new(source.span(0..0), Value::Map(Vec::new()))),
            };
            (root, builder.problems)
        }
        Err(error) => (None, vec![syntax(source, &error)]),
    }
}

struct Builder<'a> {
    source: &'a Source,
    problems: Vec<Problem>,
}

impl Builder<'_> {
    fn node(&mut self, value: &ast::Value<'_>, depth: usize) -> Option<Node> {
        let at = self.span(value);
        if depth > MAX_DEPTH {
            self.problems.push(too_deep(&at));
            return None;
        }
        let value = match value {
            ast::Value::NullKeyword(_) => Value::Null,
            ast::Value::BooleanLit(literal) => Value::Bool(literal.value),
            ast::Value::StringLit(literal) => Value::Str(literal.value.clone().into_owned()),
            ast::Value::NumberLit(literal) => self.number(literal.value, &at),
            ast::Value::Array(array) => Value::Seq(
                array
                    .elements
                    .iter()
                    .filter_map(|element| self.node(element, depth + 1))
                    .collect(),
            ),
            ast::Value::Object(object) => Value::Map(self.entries(object, depth)),
        };
        Some(Node::new(at, value))
    }

    fn entries(&mut self, object: &ast::Object<'_>, depth: usize) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen: HashMap<&str, Span> = HashMap::new();
        for property in &object.properties {
            let (key, at) = (property.name.as_str(), self.span(&property.name));
            let node = self.node(&property.value, depth + 1);
            if let Some(first) = seen.get(key) {
                self.problems.push(twice(key, &at, first));
            } else if let Some(node) = node {
                seen.insert(key, at.clone());
                entries.push(Entry {
                    key: key.to_owned(),
                    at,
                    node,
                });
            }
        }
        entries
    }

    fn number(&mut self, literal: &str, at: &Span) -> Value {
        let whole = !literal.contains(['.', 'e', 'E']);
        match (literal.parse::<i128>(), literal.parse::<f64>()) {
            (Ok(number), _) if whole => Value::Int(number),
            (_, Ok(number)) if number.is_finite() && !whole => Value::Float(number),
            _ => {
                self.problems
                    .push(Problem::error(format!("the number `{literal}` is too large")).at(at));
                Value::Int(0)
            }
        }
    }

    fn span(&self, at: &impl Ranged) -> Span {
        self.source.span(at.start()..at.end())
    }
}

fn syntax(source: &Source, error: &ParseError) -> Problem {
    let range = error.range();
    let at = source.span(range.start..range.end.max(range.start + 1));
    let (message, help) = words(error.kind());
    let problem = Problem::syntax(message, &at);
    match help {
        Some(help) => problem.with_help(help),
        None => problem,
    }
}

fn words(kind: &ParseErrorKind) -> (String, Option<&'static str>) {
    use ParseErrorKind as E;
    let (message, help) = match kind {
        E::ExpectedComma => (
            "a comma is missing before this",
            Some("write `,` after the value before it"),
        ),
        E::ExpectedColonAfterObjectKey => ("`:` is missing after this key", None),
        E::ExpectedObjectValue => (
            "this key has no value",
            Some("write a value after `:`, or remove the key"),
        ),
        E::ExpectedStringObjectProperty | E::UnexpectedWord => (
            "this text is not in quotes",
            Some("write keys and text in double quotes: `\"info\"`"),
        ),
        E::SingleQuotedStringsNotAllowed => (
            "single quotes are not allowed in JSON",
            Some("write double quotes: `\"`"),
        ),
        E::String(ParseStringErrorKind::UnterminatedStringLiteral) => {
            ("this text has no closing quote", Some("write `\"` at its end"))
        }
        E::String(_) => (
            "this text holds a `\\` escape that JSON does not know",
            Some("write `\\\\` for a backslash"),
        ),
        E::HexadecimalNumbersNotAllowed => (
            "hexadecimal numbers are not allowed in JSON",
            Some("write it in decimal"),
        ),
        E::UnaryPlusNumbersNotAllowed => ("numbers must not begin with `+` in JSON", Some("remove the `+`")),
        E::BareDecimalPointNumbersNotAllowed | E::ExpectedDigit => (
            "a number needs digits on both sides of its point",
            Some("write `0.5`, not `.5` or `5.`"),
        ),
        E::NonFiniteNumbersNotAllowed => ("`Infinity` and `NaN` are not allowed in JSON", None),
        E::MultipleRootJsonValues => (
            "there is more text after the end of the settings",
            Some("one file holds one `{ … }`"),
        ),
        E::UnterminatedArray => ("this list is not closed", Some("write `]` at its end")),
        E::UnterminatedObject => ("this section is not closed", Some("write `}` at its end")),
        E::UnterminatedCommentBlock => ("this comment is not closed", Some("write `*/` at its end")),
        E::UnexpectedCloseBrace => ("there is a `}` too many, or a `]` is missing before it", None),
        E::UnexpectedCloseBracket => ("there is a `]` too many, or a `}` is missing before it", None),
        E::UnexpectedComma => ("there is a comma too many", Some("remove it")),
        E::UnexpectedColon => ("`:` is not expected here", None),
        E::NestingDepthExceeded => ("sections and lists lie too deep in one another", None),
        _ => ("this cannot be read as JSON", None),
    };
    (message.to_owned(), help)
}
