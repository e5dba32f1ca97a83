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

/// Prints `text` to standard output. That nobody reads any more, as in `… | head`, is no failure.
///
/// # Errors
/// When standard output cannot be written for another reason.
pub fn to_stdout(text: impl fmt::Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// A name or path as it may be shown: bytes that are no UTF-8 are replaced, control characters are written as escapes,
/// so that a file's name can neither break a line nor steer a terminal.
///
/// ```
/// assert_eq!(daemon_kit::printable(b"a\nb\x1b[31m"), "a\\nb\\u{1b}[31m");
/// assert_eq!(daemon_kit::printable("naïve".as_bytes()), "naïve");
/// ```
pub fn printable(bytes: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(bytes);
    if !text.chars().any(char::is_control) {
        return text;
    }
    let escape = |c: char| {
        if c.is_control() {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    };
    Cow::Owned(text.chars().map(escape).collect())
}
