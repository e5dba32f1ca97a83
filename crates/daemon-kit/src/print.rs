//! Columns for people, and names that cannot harm a terminal.
use std::{
    borrow::Cow,
    fmt,
    io::{self, Write},
};

/// Rows of cells in columns, as wide as they need to be.
///
/// ```
/// use daemon_kit::Table;
/// let mut table = Table::new(&["NAME", "SIZE"]).right(1);
/// table.row(["a.txt", "12"]);
/// table.row(["report.pdf", "3400"]);
/// assert_eq!(table.to_string(), "NAME        SIZE\na.txt         12\nreport.pdf  3400\n");
/// ```
#[derive(Clone, Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
    right: Vec<usize>,
}

impl Table {
    /// A table with these headings.
    pub fn new(headings: &[&str]) -> Self {
        Self {
            rows: vec![headings.iter().map(|heading| (*heading).to_owned()).collect()],
            right: Vec::new(),
        }
    }

    /// Aligns a column, counted from 0, to the right: numbers want it.
    #[must_use]
    pub fn right(mut self, column: usize) -> Self {
        self.right.push(column);
        self
    }

    /// Adds a row.
    pub fn row<C: Into<String>>(&mut self, cells: impl IntoIterator<Item = C>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// Whether there are no rows but the headings.
    pub fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let gap = " ".repeat(widths[column] - cell.chars().count());
                let (before, after) = if self.right.contains(&column) {
                    (gap, String::new())
                } else {
                    (String::new(), gap)
                };
                line.push_str(&format!("{}{before}{cell}{after}", if column == 0 { "" } else { "  " }));
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Prints `text` to standard output, with what could steer a terminal [`escaped`]. That nobody reads any more, as in
/// `… | head`, is no failure.
///
/// # Errors
/// When standard output cannot be written for another reason.
pub fn to_stdout(text: impl fmt::Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let text = text.to_string();
    let written = out.write_all(escaped(&text).as_bytes());
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// `text` with DEL, the control characters after ASCII and those of writing direction as `\u009b`. In JSON they can only
/// stand in strings, where that is the same character: writers of JSON escape those below the space alone. Line breaks,
/// tabs and colours stay.
///
/// ```
/// assert_eq!(daemon_kit::escaped("{\"path\":\"a\u{9b}31m\u{202e}\"}\n"), "{\"path\":\"a\\u009b31m\\u202e\"}\n");
/// ```
pub fn escaped(text: &str) -> Cow<'_, str> {
    let steers = |c: char| c > '\u{1f}' && steers(c);
    // Most text is ASCII, and a look at its bytes is many times cheaper than one at its characters.
    if text.is_ascii() && !text.as_bytes().contains(&0x7f) {
        return Cow::Borrowed(text);
    }
    if !text.chars().any(steers) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 6);
    for c in text.chars() {
        if steers(c) {
            escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

/// Whether a terminal may obey a character rather than show it: control characters, those that turn the direction of
/// writing (so that `exe.txt` may stand for another name), and those that break lines.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{2028}' | '\u{2029}'
        )
}

/// A name or path as it may be shown: bytes that are no UTF-8 are replaced, control characters and those that turn the
/// direction of writing are written as escapes, so that a file's name can neither break a line nor steer a terminal.
///
/// ```
/// assert_eq!(daemon_kit::printable(b"a\nb\x1b[31m"), "a\\nb\\u{1b}[31m");
/// assert_eq!(daemon_kit::printable("naïve".as_bytes()), "naïve");
/// ```
pub fn printable(bytes: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(bytes);
    if !text.chars().any(steers) {
        return text;
    }
    let escape = |c: char| {
        if steers(c) {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    };
    Cow::Owned(text.chars().map(escape).collect())
}

/// `text` in `most` characters, the last of them `…` where some had to go.
pub(crate) fn shortened(text: String, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text,
        Some(_) => text.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_is_shown_raw() {
        let all = ('\u{7f}'..='\u{9f}')
            .chain('\u{202a}'..='\u{202e}')
            .chain('\u{2066}'..='\u{2069}')
            .chain(['\u{200e}', '\u{200f}', '\u{61c}', '\u{2028}', '\u{2029}']);
        for c in all {
            let name = format!("a{c}b");
            assert_eq!(printable(name.as_bytes()), format!("a\\u{{{:x}}}b", u32::from(c)));
            let json = serde_json::to_string(&name).unwrap();
            let shown = escaped(&json);
            assert!(shown.is_ascii() && !shown.contains('\u{7f}'), "{shown:?}");
            assert_eq!(
                serde_json::from_str::<String>(&shown).unwrap(),
                name,
                "it is the same text"
            );
        }
        assert_eq!(escaped("ä\t\u{1b}[1m\n"), "ä\t\u{1b}[1m\n");
    }

    #[test]
    fn what_is_too_long_is_cut_by_characters() {
        assert_eq!(shortened("äöü".to_owned(), 3), "äöü");
        assert_eq!(shortened("äöüß".to_owned(), 3), "äö…");
    }
}
