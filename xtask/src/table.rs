//! Plain tables: columns as wide as their widest cell, two spaces apart; or Markdown.

use std::io::Write;

/// Prints to standard output; a reader that has gone away is no fault.
pub(crate) fn out(text: &str) {
    let _gone = std::io::stdout().write_all(text.as_bytes());
}

/// A paragraph in lines of at most 100 columns where its words allow it; those after the first begin with so many spaces.
pub(crate) fn wrapped(text: &str, indent: usize) -> String {
    const WIDTH: usize = 100;
    let mut lines = String::new();
    let mut column = 0;
    for word in text.split(' ') {
        let width = word.chars().count();
        if column > 0 && column + 1 + width > WIDTH {
            lines.push('\n');
            lines.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if column > 0 {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += width;
    }
    lines.push('\n');
    lines
}

/// A table of text.
#[derive(Debug, Clone)]
pub(crate) struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    /// A table with these headings.
    pub(crate) fn new(headings: [&str; N]) -> Self {
        Self { rows: vec![headings.map(ToOwned::to_owned)] }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: [&str; N]) {
        self.rows.push(cells.map(ToOwned::to_owned));
    }

    /// Text with a line a row, no space at the ends.
    pub(crate) fn render(&self) -> String {
        let width =
            |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; N] = std::array::from_fn(width);
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(widths) {
                line.push_str(cell);
                line.extend(std::iter::repeat_n(' ', width + 2 - cell.chars().count()));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// A Markdown table.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::new();
        for (index, row) in self.rows.iter().enumerate() {
            text.push_str(&format!("| {} |\n", row.join(" | ")));
            if index == 0 {
                text.push_str(&format!("|{}\n", " --- |".repeat(N)));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paragraph_keeps_its_words_and_its_width() {
        let word = "x".repeat(30);
        let text = wrapped(&[word.as_str(); 4].join(" "), 2);
        assert_eq!(text, format!("{word} {word} {word}\n  {word}\n"));
        assert_eq!(wrapped(&"y".repeat(120), 2), format!("{}\n", "y".repeat(120)), "a long word stays whole");
    }

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let mut table = Table::new(["a", "b"]);
        table.row(["long", "x"]);
        assert_eq!(table.render(), "a     b\nlong  x\n");
        assert_eq!(table.markdown(), "| a | b |\n| --- | --- |\n| long | x |\n");
    }
}
