//! Where text came from, and places inside it.

use std::{fmt, ops::Range, sync::Arc};

/// What kind of layer a text belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Controller,
    Environment,
    CommandLine,
}

impl Kind {
    /// Variables and options are one line of text each, whose type the reader decides.
    pub(crate) fn is_single(self) -> bool {
        matches!(self, Self::Environment | Self::CommandLine)
    }
}

/// One named text. Cloning is cheap: the text is shared.
#[derive(Clone)]
pub(crate) struct Source(Arc<Inner>);

struct Inner {
    name: String,
    text: String,
    kind: Kind,
}

impl Source {
    pub(crate) fn new(name: impl Into<String>, text: impl Into<String>, kind: Kind) -> Self {
        let mut text = text.into();
        // Windows editors write a byte order mark, which no format counts as content.
        if text.starts_with('\u{feff}') {
            text.drain(..'\u{feff}'.len_utf8());
        }
        Self(Arc::new(Inner {
            name: name.into(),
            text,
            kind,
        }))
    }

    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    pub(crate) fn text(&self) -> &str {
        &self.0.text
    }

    pub(crate) fn kind(&self) -> Kind {
        self.0.kind
    }

    pub(crate) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// A span of this text; out-of-range ends are pulled onto character boundaries inside it.
    pub(crate) fn span(&self, range: Range<usize>) -> Span {
        let inside = |at: usize| {
            (0..=at.min(self.text().len()))
                .rev()
                .find(|&at| self.text().is_char_boundary(at))
        };
        let start = inside(range.start).unwrap_or(0);
        let end = inside(range.end).unwrap_or(0).max(start);
        Span {
            source: self.clone(),
            start,
            end,
        }
    }
}

/// A stretch of bytes of one source.
#[derive(Clone)]
pub(crate) struct Span {
    pub(crate) source: Source,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Span {
    pub(crate) fn place(&self) -> Place {
        let before = self.source.text().get(..self.start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place {
            file: self.source.name().to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        }
    }

    /// The part of this span on its first line, as a range of bytes: what a picture can underline.
    pub(crate) fn on_first_line(&self) -> Range<usize> {
        let text = self.source.text().get(self.start..self.end).unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        self.start..self.start + line.trim_end().len()
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.place())
    }
}

/// A place in a text that was handed in: what editors jump to.
///
/// An environment variable or an option of the command line is a text of one line that bears the variable's or
/// option's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The name under which the text was handed in: a file's path, a variable's name, `--option`.
    pub file: String,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters() {
        let source = Source::new("a.yaml", "x: 1\nnäme: ö", Kind::File);
        let span = source.span(12..14);
        assert_eq!(span.place().to_string(), "a.yaml:2:7");
    }

    #[test]
    fn a_byte_order_mark_is_not_content() {
        assert_eq!(Source::new("a", "\u{feff}x", Kind::File).text(), "x");
    }

    #[test]
    fn a_span_past_the_end_is_pulled_inside() {
        let span = Source::new("a", "aö", Kind::File).span(2..99);
        assert_eq!((span.start, span.end), (1, 3));
    }
}
