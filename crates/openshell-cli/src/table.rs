//! Tables for people: aligned, as wide as the terminal at most, without spaces at the end of a line.

use crate::screen::{Screen, Style};

/// What stands between two columns.
const GAP: &str = "  ";
/// No column is cut below this to make a table fit.
const NARROWEST: usize = 8;

/// A cell.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A cell in a colour.
    pub(crate) fn styled(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(text, Style::Plain)
    }
}

/// A table in the making.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<Cell>>,
    /// The columns that may be cut, each by its place.
    elastic: Vec<usize>,
    /// Widths that rows of before have had.
    least: Vec<usize>,
}

impl Table {
    /// A table with a first line.
    pub(crate) fn with_headers<'a>(headers: impl IntoIterator<Item = &'a str>) -> Self {
        let mut table = Self::default();
        table.push(headers.into_iter().map(Cell::from));
        table
    }

    /// Lets a column be cut when the terminal is too narrow.
    pub(crate) fn elastic(mut self, column: usize) -> Self {
        self.elastic.push(column);
        self
    }

    /// Makes the first columns at least this wide.
    pub(crate) fn at_least(mut self, widths: impl Into<Vec<usize>>) -> Self {
        self.least = widths.into();
        self
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, row: impl IntoIterator<Item = Cell>) {
        self.rows.push(row.into_iter().collect());
    }

    /// Takes all rows out and remembers how wide their columns were: for rows that follow one by one.
    pub(crate) fn clear(&mut self) {
        self.least = self.widths();
        self.rows.clear();
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0).max(self.least.len());
        (0..columns)
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                let widest = cells.map(|cell| cell.text.chars().count()).max().unwrap_or(0);
                widest.max(self.least.get(column).copied().unwrap_or(0))
            })
            .collect()
    }

    /// The table as text.
    pub(crate) fn render(&self, screen: &Screen) -> String {
        let mut widths = self.widths();
        if let Some(limit) = screen.width {
            self.fit(&mut widths, limit);
        }
        let mut out = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                let text = cut(&cell.text, width);
                let padding = width - text.chars().count();
                line += &if screen.colour { cell.style.paint(&text) } else { text };
                if column + 1 < row.len() {
                    line += &" ".repeat(padding);
                    line += GAP;
                }
            }
            out += line.trim_end();
            out.push('\n');
        }
        out
    }

    /// Narrows the elastic columns, the widest first, until the table fits or nothing can give.
    fn fit(&self, widths: &mut [usize], limit: usize) {
        let total =
            |widths: &[usize]| widths.iter().sum::<usize>() + GAP.len() * widths.len().saturating_sub(1);
        while total(widths) > limit {
            let widest = self.elastic.iter().filter(|&&at| at < widths.len()).max_by_key(|&&at| widths[at]);
            match widest {
                Some(&at) if widths[at] > NARROWEST => widths[at] -= 1,
                _ => return,
            }
        }
    }
}

/// A text of at most `width` letters; what is left out is marked.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[[&str; 3]]) -> Table {
        let mut table = Table::default();
        for row in rows {
            table.push(row.map(Cell::from));
        }
        table
    }

    #[test]
    fn rows_line_up() {
        let table = table(&[["A", "LONG", "C"], ["äöü", "b", ""]]);
        assert_eq!(table.render(&Screen::none()), "A    LONG  C\näöü  b\n");
    }

    #[test]
    fn a_narrow_terminal_cuts_what_may_be_cut() {
        let table = table(&[["id-1234567890", "registry.example.org/image:1", "z"]]).elastic(1);
        let on = |width| table.render(&Screen { width: Some(width), ..Screen::none() });
        assert_eq!(on(80), "id-1234567890  registry.example.org/image:1  z\n");
        assert_eq!(on(30), "id-1234567890  registry.ex…  z\n");
        assert_eq!(on(3), "id-1234567890  registr…  z\n");
    }

    #[test]
    fn colours_do_not_count_as_letters() {
        let mut table = Table::default();
        table.push([Cell::styled("ready", Style::Good), "x".into()]);
        table.push(["stopping".into(), "y".into()]);
        let screen = Screen { colour: true, ..Screen::none() };
        assert_eq!(table.render(&screen), "\u{1b}[32mready\u{1b}[0m     x\nstopping  y\n");
    }

    #[test]
    fn rows_that_follow_keep_the_columns() {
        let mut table = table(&[["NAME", "PHASE", "ID"], ["a-long-one", "ready", "1"]]);
        table.clear();
        table.push(["b", "error", "2"].map(Cell::from));
        assert_eq!(table.render(&Screen::none()), "b           error  2\n");
    }
}
