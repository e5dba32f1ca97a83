//! Columns with headings for rows that are shown while they come.
use super::{PAGE, Shown};
use daemon_kit::Table;

/// Columns that are as wide as the first thousand rows need; what comes later and is wider moves its own line only, so that
/// no number of rows has to be held.
pub(super) struct Columns<C> {
    headings: &'static [&'static str],
    right: &'static [usize],
    cells: C,
    waiting: Vec<Vec<String>>,
    widths: Option<Vec<usize>>,
}

impl<C> Columns<C> {
    /// `cells` makes the cells of a row; `right` are the columns, from 0, that are aligned to the right.
    pub(super) fn new<T>(headings: &'static [&'static str], right: &'static [usize], cells: C) -> Self
    where
        C: FnMut(&T) -> Vec<String>,
    {
        Self {
            headings,
            right,
            cells,
            waiting: Vec::new(),
            widths: None,
        }
    }

    /// The headings and the rows that wait.
    fn begin(&mut self) -> String {
        let rows = std::mem::take(&mut self.waiting);
        let width = |column: usize, heading: &str| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells
                .map(|cell| cell.chars().count())
                .chain([heading.chars().count()])
                .max()
                .unwrap_or(0)
        };
        let widths = self
            .headings
            .iter()
            .enumerate()
            .map(|(column, heading)| width(column, heading));
        self.widths = Some(widths.collect());
        let mut table = Table::new(self.headings);
        for column in self.right {
            table = table.right(*column);
        }
        for row in rows {
            table.row(row);
        }
        table.to_string()
    }
}

fn line(cells: &[String], widths: &[usize], right: &[usize]) -> String {
    let mut line = String::new();
    for (column, cell) in cells.iter().enumerate() {
        let width = widths.get(column).copied().unwrap_or(0);
        line.push_str(if column == 0 { "" } else { "  " });
        line.push_str(&match right.contains(&column) {
            true => format!("{cell:>width$}"),
            false => format!("{cell:width$}"),
        });
    }
    line.truncate(line.trim_end().len());
    line + "\n"
}

impl<T, C: FnMut(&T) -> Vec<String>> Shown<T> for Columns<C> {
    fn row(&mut self, row: &T) -> String {
        let cells = (self.cells)(row);
        if let Some(widths) = &self.widths {
            return line(&cells, widths, self.right);
        }
        self.waiting.push(cells);
        if self.waiting.len() < PAGE {
            return String::new();
        }
        self.begin()
    }

    fn rest(&mut self) -> String {
        // As in the other lists, the headings stand where there are no rows, too.
        match self.widths {
            Some(_) => String::new(),
            None => self.begin(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_shown_once_below_one_line_of_headings_however_many_there_are() {
        for count in [0, 1, PAGE - 1, PAGE, PAGE + 2] {
            let cells = |n: &usize| vec![format!("n{n:04}"), n.to_string(), "end".to_owned()];
            let mut columns = Columns::new(&["NAME", "NUMBER", "LAST"], &[1], cells);
            let mut text: String = (0..count).map(|n| columns.row(&n)).collect();
            text += &Shown::<usize>::rest(&mut columns);
            let lines: Vec<&str> = text.lines().collect();
            assert_eq!(lines.len(), count + 1, "{count}");
            assert!(
                lines[0].starts_with("NAME") && lines[0].ends_with("LAST"),
                "{}",
                lines[0]
            );
            let at = lines[0].find("LAST");
            for (n, line) in lines[1..].iter().enumerate() {
                assert!(line.starts_with(&format!("n{n:04} ")), "{line}");
                assert_eq!(line.find("end"), at, "{line}");
            }
        }
    }
}
